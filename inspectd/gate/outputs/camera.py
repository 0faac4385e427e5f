"""The reject output on the camera: its user output line drives the rejector. For lines without any other I/O."""

from typing import ClassVar, Literal

from pydantic import model_validator

from inspectd.errors import CameraError, OutputError
from inspectd.gate.outputs.base import SAFE, HasUserOutput, Signals, refuse_shared
from inspectd.section import Section


class CameraOutputConfig(Section):
    """An output of the line's own Basler camera."""

    kind: Literal["camera"]
    """Drive an output of the line's own camera."""
    line: str = "UserOutput1"
    """The camera's user output for the actuator. Connect it to a physical line in the feature file (LineSource)."""
    permit_line: str | None = None
    """A second user output, which lets the belt run. Without it nothing stops the belt when the camera is gone."""
    active_high: bool = True
    """Whether the outputs are high when a signal is on."""

    longest_wait_ms: ClassVar[float] = 0
    missing_confirmation: ClassVar[str] = "gate.output.kind 'camera' has none"
    devices: ClassVar[list[str]] = []
    """Nothing beside the camera, which the line owns."""

    @model_validator(mode="after")
    def _has_a_line_per_signal(self) -> "CameraOutputConfig":
        refuse_shared({"line": self.line, "permit_line": self.permit_line})
        return self

    def create(self, camera: object) -> "CameraOutput":
        if not isinstance(camera, HasUserOutput):
            raise OutputError("gate.output.kind 'camera' needs a camera with a user output line (camera.kind: pylon)")
        return CameraOutput(self, camera)


class CameraOutput:
    """Used in the line's process, by the gate's thread."""

    def __init__(self, config: CameraOutputConfig, camera: HasUserOutput) -> None:
        self._config = config
        self._camera = camera

    def open(self) -> None:
        self.write(SAFE)

    def write(self, signals: Signals) -> None:
        try:
            self._camera.set_user_output(self._config.line, signals.actuator is self._config.active_high)
            if self._config.permit_line is not None:
                self._camera.set_user_output(self._config.permit_line, signals.run_permit is self._config.active_high)
        except CameraError as error:
            raise OutputError(f"camera output: {error}") from error

    def actuator(self) -> bool:
        return self._level(self._config.line)

    def run_permit(self) -> bool | None:
        return None if self._config.permit_line is None else self._level(self._config.permit_line)

    def confirmed(self) -> bool:
        raise OutputError("a camera output has no confirmation input")

    def close(self) -> None:
        """The line closes the camera."""

    def _level(self, line: str) -> bool:
        try:
            return self._camera.user_output(line) is self._config.active_high
        except CameraError as error:
            raise OutputError(f"camera output: {error}") from error

    def warnings(self) -> list[str]:
        notes = [
            "the camera output shares the line's process: its pulses may be some ms later than those of other outputs"
        ]
        if self._config.permit_line is None:
            notes.append(
                "run permit is not wired: nothing stops the belt when the camera is gone; prefer pulse_to_release"
            )
        notes.append("the heartbeat is not wired: the plant can't see that the line is alive")
        return notes

    def problems(self) -> list[str]:
        return []
