"""One YAML file configures one line. Loading returns the whole config or every error at once."""

import json
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from inspectd.archive import ArchiveConfig
from inspectd.camera import CameraConfig
from inspectd.gate import GateConfig
from inspectd.inference import InferenceConfig
from inspectd.journal import JournalConfig
from inspectd.progress import WatchdogConfig
from inspectd.section import ConfigPath, Section
from inspectd.yaml_file import read_yaml, refused, unknown_key


class Config(Section):
    """Everything `inspectd run` needs to know about one line."""

    name: str = Field(default="line", pattern=r"^[A-Za-z0-9._-]{1,40}$")
    """Name of this line in logs, records and reports."""
    engine: ConfigPath
    """Folder of the engine bundle, or a link to it that `inspectd engines activate` switches."""
    camera: CameraConfig
    inference: InferenceConfig = InferenceConfig()
    gate: GateConfig
    journal: JournalConfig
    archive: ArchiveConfig | None = None
    """Leave out to keep no images."""
    watchdog: WatchdogConfig = WatchdogConfig()

    @model_validator(mode="after")
    def _frames_expire_before_the_gate_acts(self) -> "Config":
        if self.camera.max_age_ms > self.gate.delay_ms:
            raise ValueError(
                f"camera.max_age_ms ({self.camera.max_age_ms:g}) must not exceed gate.delay_ms ({self.gate.delay_ms:g}): "
                "an older frame could never be judged in time"
            )
        if self.gate.pitch_ms is None and (period_ms := self.camera.known_period_ms()) is not None:
            self.gate.fits(period_ms)
        if self.gate.output.kind == "camera" and self.camera.kind != "pylon":
            raise ValueError(
                "gate.output.kind 'camera' drives the output line of a Basler camera: it needs camera.kind 'pylon'"
            )
        return self


def load_config(path: Path) -> Config:
    """Read and check a line config.

    Raises ConfigError naming the file and, for every wrong key, its value and what is allowed.
    """
    values = read_yaml(path, "'engine', 'camera' and 'gate'")
    try:
        return Config.model_validate(values, context={"folder": path.resolve().parent})
    except ValidationError as error:
        raise refused(path, error, lambda detail: _explain(detail, values)) from error


def config_schema() -> str:
    """JSON schema of the config file, for editors."""
    return json.dumps(Config.model_json_schema(), indent=2)


def _explain(detail: ErrorDetails, values: Any) -> str:
    location = [part for part in detail["loc"] if _is_key(part, values)]
    key = ".".join(str(part) for part in location) or "(file)"
    if detail["type"] == "extra_forbidden":
        return unknown_key(key, detail["loc"], Config)
    if detail["type"] == "missing":
        return f"{key}: missing"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error" and isinstance(detail["input"], dict):  # of a section, and it names the keys
        return message
    return f"{key}: {detail['input']!r} is not allowed: {message}"


def _is_key(part: int | str, values: Any) -> bool:
    """Union members put their tag ('pylon') into pydantic's location; no user wrote it as a key."""
    return part not in {"pylon", "replay", "opencv", "simulated", "modbus", "gpio"} or part in values
