"""What a page or a bridge must know about the line. `inspectd config` says it, so that it needs none of the line's code."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inspectd.errors import ConfigError

_WITHIN_S = 60


@dataclass(frozen=True, slots=True)
class LineFacts:
    """One line, from its config file."""

    file: Path
    name: str
    journal: Path
    archive: Path | None
    """The folder of the images; None if the line keeps none."""
    control: Path | None
    """The control socket; None if the line has none, so it can not be asked."""
    engine: Path
    """The bundle, or the link to it."""
    config: dict[str, Any]
    """The whole config as JSON, without passwords."""
    schema: dict[str, Any]
    """Its JSON schema, with a sentence per key."""


def read_line_facts(file: Path) -> LineFacts:
    """Raises ConfigError with what is wrong in the line's config."""
    command = [sys.executable, "-m", "inspectd", "config", "--config", str(file)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_WITHIN_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"line: {file}: `inspectd config` has not read it within {_WITHIN_S} s") from error
    if done.returncode:
        raise ConfigError(done.stderr.strip().removeprefix("inspectd: "))
    said = json.loads(done.stdout)
    config = said["config"]
    return LineFacts(
        file=file,
        name=config["name"],
        journal=Path(config["journal"]["path"]),
        archive=Path(config["archive"]["folder"]) if config["archive"] else None,
        control=Path(config["control"]["socket"]) if config["control"] else None,
        engine=Path(config["engine"]),
        config=config,
        schema=said["schema"],
    )
