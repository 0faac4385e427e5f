"""One YAML file configures one line. Loading returns the whole config or every error at once."""

import json
from pathlib import Path

from pydantic import Field, model_validator

from inspectd.camera import CameraConfig
from inspectd.control.config import ControlConfig
from inspectd.files.yaml_file import read_yaml
from inspectd.gate import GateConfig
from inspectd.inference import InferenceConfig
from inspectd.records.archive import ArchiveConfig
from inspectd.records.journal import JournalConfig
from inspectd.section import ConfigPath, Section, checked
from inspectd.text.config import TextConfig


class WatchdogConfig(Section):
    """When a stage counts as stalled. The time after which systemd kills the line is `WatchdogSec` in the unit file."""

    stall_ms: float = Field(default=1000, ge=100, le=10_000)
    """If a stage (acquire, inspect, gate) makes no progress for this many milliseconds, run permit drops and the systemd
    watchdog is no longer fed. Smaller: the belt stops sooner after a stall, but also at a short pause of a busy machine."""
    exit_after_s: float = Field(default=30, ge=5, le=600)
    """If a stage makes no progress for this many seconds, the process ends with exit code 70, so that whatever started it
    can start it again. It is meant for lines that run without systemd: the unit file's `WatchdogSec` (10 s) is shorter."""


class Config(Section):
    """Everything `inspectd run` needs to know about one line."""

    name: str = Field(default="line", pattern=r"^[A-Za-z0-9._-]{1,40}$")
    """Name of this line in the table of `inspectd check`: up to 40 letters, digits, dots, underscores and hyphens."""
    engine: ConfigPath
    """Folder of the engine bundle, or a link to it, which `inspectd engines activate` changes. A relative path starts at
    the folder of the config file."""
    camera: CameraConfig
    """The camera that takes one image per label."""
    inference: InferenceConfig = InferenceConfig()
    """How the engine runs on this machine."""
    gate: GateConfig
    """When and how labels are rejected."""
    journal: JournalConfig
    """Where the verdict on every label is recorded."""
    archive: ArchiveConfig | None = None
    """Which images are kept. Leave the section out to keep none."""
    text: TextConfig | None = None
    """What the text and the codes on a label must say. Leave the section out to verify no text."""
    watchdog: WatchdogConfig = WatchdogConfig()
    """When a stage counts as stalled."""
    control: ControlConfig | None = None
    """Where the running line can be asked for something. Leave the section out to have no control socket."""

    @model_validator(mode="after")
    def _frames_expire_before_the_gate_acts(self) -> "Config":
        if self.camera.max_age_ms > self.gate.delay_ms:
            raise ValueError(
                f"camera.max_age_ms ({self.camera.max_age_ms:g}) must not exceed gate.delay_ms ({self.gate.delay_ms:g}): "
                "the gate would act before an older image is judged"
            )
        if self.gate.pitch_ms is None and (period_ms := self.camera.known_period_ms()) is not None:
            self.gate.fits(period_ms)
        if self.gate.output.kind == "camera" and self.camera.kind != "pylon":
            raise ValueError(
                "gate.output.kind: 'camera' drives the output line of a Basler camera, so camera.kind must be 'pylon'"
            )
        return self


def load_config(path: Path) -> Config:
    """Read and check a line config.

    Raises ConfigError naming the file and, for every wrong key, its value and what is allowed.
    """
    return checked(Config, read_yaml(path, "'engine', 'camera' and 'gate'"), path)


def config_schema() -> str:
    """JSON schema of the config file, for editors."""
    return json.dumps(Config.model_json_schema(), indent=2)
