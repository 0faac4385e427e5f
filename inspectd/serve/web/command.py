"""Run a command of `inspectd` for a page: as a process of its own, with a list of arguments and no shell, at the lowest priority.

The page needs none of the line's code in its own process, and a command that hangs or takes all memory can be ended.
"""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from inspectd.errors import InspectdError

_LONGEST_ANSWER = 4 << 20
_LONGEST_COMPLAINT = 4000
_ENDS_WITHIN_S = 5.0
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")

_BAR = re.compile(r"\s*[━╸╺]+\s*")
_SHOWS_PROGRESS = {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "120"}
"""Progress bars move only if a terminal is there, or if these say so (https://force-color.org)."""


class CommandError(InspectdError):
    """The command did not end by itself, or did not say what it must."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    answer: str
    """Its standard output."""
    complaint: str
    """The end of its standard error, without control characters."""

    def json(self) -> Any:
        """The answer, which is JSON. Raises CommandError with what the command said instead."""
        try:
            return json.loads(self.answer)
        except ValueError as error:
            raise CommandError(self.complaint or "the command gave no answer that this page understands") from error


async def inspectd(*arguments: str, within_s: float, progress: Callable[[str], None] | None = None) -> Done:
    """Run `inspectd ARGUMENTS...`. `progress` gets each new last line of its standard error.

    Raises CommandError if it does not end within `within_s` seconds: then it is ended.
    """
    process = await asyncio.create_subprocess_exec(
        *("nice", "-n", "19", sys.executable, "-m", "inspectd", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | (_SHOWS_PROGRESS if progress is not None else {}),
        start_new_session=True,
        umask=0o022,  # the line's user must be able to read the engines that are written
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(within_s):
            answer, complaint = await asyncio.gather(_all(process.stdout), _end_of(process.stderr, progress))
            return Done(await process.wait(), answer, complaint)
    except TimeoutError as error:
        raise CommandError(
            f"the command `inspectd {arguments[0]}` has not ended within {within_s:g} s; it was ended"
        ) from error
    finally:
        await _end(process)


async def _all(stream: asyncio.StreamReader) -> str:
    said = bytearray()
    while data := await stream.read(65_536):
        said += data
        if len(said) > _LONGEST_ANSWER:
            raise CommandError(f"the command has said more than {_LONGEST_ANSWER >> 20} MB; it was ended")
    return said.decode(errors="replace")


async def _end_of(stream: asyncio.StreamReader, progress: Callable[[str], None] | None) -> str:
    said = ""
    while data := await stream.read(65_536):
        said = _CONTROL.sub("", said + data.decode(errors="replace").replace("\r", "\n"))[-_LONGEST_COMPLAINT:]
        lines = said.split("\n")
        if progress is not None and (last := next((line.strip() for line in reversed(lines) if line.strip()), "")):
            progress(_BAR.sub(" ", last))
    return said.strip()


async def _end(process: asyncio.subprocess.Process) -> None:
    """End it and all that it has started. Nothing happens if it has ended."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _ENDS_WITHIN_S)
