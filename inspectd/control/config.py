"""Settings of the control socket."""

import os
from pathlib import Path

from pydantic import field_validator

from inspectd.section import ConfigPath, Section

_LONGEST_PATH = 107
"""unix(7): `sun_path` has 108 bytes, with a NUL at the end."""


class ControlConfig(Section):
    """Where people and programs on this computer ask the running line for its status, a reload, or the end of a latched stop."""

    socket: ConfigPath
    """The Unix socket of this line, such as /run/inspectd/control.sock. Its folder must exist. The socket belongs to the user
    and the group of the line. Only this user, members of this group and root may use it. Its full path has at most 107 bytes."""

    @field_validator("socket")
    @classmethod
    def _fits(cls, socket: Path) -> Path:
        if len(os.fsencode(socket)) > _LONGEST_PATH:
            raise ValueError(f"must have at most {_LONGEST_PATH} bytes, with its folder")
        return socket
