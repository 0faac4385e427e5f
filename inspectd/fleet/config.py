"""Settings of `inspectd engines pull`: where a line fetches its engine and reader from."""

import json
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from inspectd.files.yaml_file import read_yaml
from inspectd.section import ConfigPath, Section, checked

_URL = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?|file:///[^?#]*")


def _url(text: str) -> str:
    if not _URL.fullmatch(text):
        raise ValueError(
            "must be http://, https:// or file:/// with a host or a folder, such as http://engines.plant.example/inspectd"
        )
    return text if text.endswith("/") else f"{text}/"


class PullConfig(Section):
    """Everything `inspectd engines pull` needs to know."""

    line: ConfigPath
    """The config file of the line, such as /etc/inspectd/line.yaml. Its `name` decides which bundles are fetched."""
    url: Annotated[str, AfterValidator(_url)]
    """Where the repository is: http:// or https:// for a web server, file:/// for a mounted folder or a USB stick. Everything is signed,
    so the web server needs no encryption."""
    trusted_root: ConfigPath
    """The file root.json that `inspectd repository init` has made. Bring it to this computer by hand: all trust begins with it."""
    ca: ConfigPath | None = None
    """Certificates in PEM form that sign for an https:// server, if this computer does not know them."""
    state: ConfigPath = Path("/var/lib/inspectd-pull")
    """Folder that keeps the bundles, what was seen of the repository, and the last result. The user of the line must be able to
    read the bundles."""
    activate: bool = True
    """Whether the line is switched to a new bundle. false: bundles are only fetched and checked, and `inspectd engines activate`
    puts one on the line."""
    keep: int = Field(default=3, ge=1, le=100)
    """How many bundles are kept beside those in use and the ones before them."""
    within_minutes: float = Field(default=10, gt=0, le=600)
    """Longest time for the download. A slow server can't hold it up for longer."""

    @property
    def bundles(self) -> Path:
        """Where the bundles are, one folder each."""
        return self.state / "engines"


def pull_schema() -> str:
    """JSON schema of the config file, for editors."""
    return json.dumps(PullConfig.model_json_schema(), indent=2)


def load_pull_config(path: Path) -> PullConfig:
    """Read and check the config. Raises ConfigError naming the file and, for every wrong key, its value and what is allowed."""
    return checked(PullConfig, read_yaml(path, "'line', 'url' and 'trusted_root'"), path)
