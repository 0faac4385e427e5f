"""One YAML file configures one line. Loading returns the whole config or every error at once."""

import difflib
import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from inspectd.archive import ArchiveConfig
from inspectd.camera import CameraConfig
from inspectd.errors import ConfigError
from inspectd.gate import GateConfig
from inspectd.inference import InferenceConfig
from inspectd.journal import JournalConfig
from inspectd.progress import WatchdogConfig
from inspectd.section import ConfigPath, Section


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
        if self.gate.output.kind == "camera" and self.camera.kind != "pylon":
            raise ValueError(
                "gate.output.kind 'camera' drives the output line of a Basler camera: it needs camera.kind 'pylon'"
            )
        return self


def load_config(path: Path) -> Config:
    """Read and check a line config.

    Raises ConfigError naming the file and, for every wrong key, its value and what is allowed.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is no valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must hold keys such as 'engine', 'camera' and 'gate', got {type(values).__name__}")
    try:
        return Config.model_validate(values, context={"folder": path.resolve().parent})
    except ValidationError as error:
        lines = [f"  {_explain(detail, values)}" for detail in error.errors(include_url=False)]
        raise ConfigError("\n".join([f"{path}: {len(lines)} error(s)", *lines])) from error


def config_schema() -> str:
    """JSON schema of the config file, for editors."""
    return json.dumps(Config.model_json_schema(), indent=2)


def _explain(detail: ErrorDetails, values: Any) -> str:
    location = [part for part in detail["loc"] if _is_key(part, values)]
    key = ".".join(str(part) for part in location) or "(file)"
    if detail["type"] == "extra_forbidden":
        return f"{key}: unknown key{_suggestion(detail['loc'])}"
    if detail["type"] == "missing":
        return f"{key}: missing"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error" and not location:
        return message
    return f"{key}: {detail['input']!r} is not allowed: {message}"


def _is_key(part: int | str, values: Any) -> bool:
    """Union members put their tag ('pylon') into pydantic's location; no user wrote it as a key."""
    return part not in {"pylon", "replay", "opencv", "simulated", "modbus", "gpio"} or part in values


def _suggestion(location: tuple[int | str, ...]) -> str:
    close = difflib.get_close_matches(str(location[-1]), sorted(_all_keys(Config)), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _all_keys(model: type[BaseModel]) -> set[str]:
    schema = model.model_json_schema()
    sections = [schema, *schema.get("$defs", {}).values()]
    return {key for section in sections for key in section.get("properties", {})}
