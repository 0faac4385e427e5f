"""Settings of the operator's page. They are in a file of their own, because the page is a process of its own."""

from pathlib import Path

from pydantic import Field

from inspectd.files.yaml_file import read_yaml
from inspectd.section import ConfigPath, Section, checked


class WebConfig(Section):
    """Everything `inspectd serve web` needs to know."""

    line: ConfigPath
    """The config file of the line that the page shows, such as /etc/inspectd/line.yaml."""
    state: ConfigPath = Path("/var/lib/inspectd-web")
    """The folder in which the page keeps its users, its audit trail, the reviews and the engines that were learned."""
    host: str = "127.0.0.1"
    """The address at which the page listens. 127.0.0.1: only browsers on this computer."""
    port: int = Field(default=8440, ge=0, le=65_535)
    """The port at which the page listens. 0: any free port, which the log names."""
    anonymous_viewer: bool = False
    """Whether people may look without a login. They can't change anything."""
    audit_share: float = Field(default=0.01, ge=0, le=1)
    """The share of passed labels with an image that Review shows, chosen at random: they show what the line passes wrongly."""


def load_web_config(path: Path) -> WebConfig:
    """Read and check the page's config.

    Raises ConfigError naming the file and, for every wrong key, its value and what is allowed.
    """
    return checked(WebConfig, read_yaml(path, "'line' and 'port'"), path)
