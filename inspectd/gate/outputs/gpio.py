"""The reject output on GPIO lines of this machine, through the kernel's character device (libgpiod v2)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from inspectd.errors import OutputError
from inspectd.gate.outputs.base import SAFE, Signals, refuse_shared
from inspectd.section import Section

if TYPE_CHECKING:
    import gpiod

GpioLine = Annotated[int, Field(ge=0, le=65_535)] | str


class GpioConfig(Section):
    """GPIO lines of this machine."""

    kind: Literal["gpio"]
    """Drive GPIO lines of this machine."""
    chip: str = "/dev/gpiochip0"
    """The GPIO chip's device file."""
    actuator_line: GpioLine
    """The line that drives the rejector (pulse_to_reject) or opens the good path (pulse_to_release), by its number or name
    on the chip."""
    run_permit_line: GpioLine | None = None
    """The line that lets the belt run. Without it nothing stops the belt on a fault of the line."""
    heartbeat_line: GpioLine | None = None
    """The line that changes its level every `gate.heartbeat_ms` while the belt may run. Without it the plant can't see that
    the line is alive."""
    confirmation_line: GpioLine | None = None
    """The input that the plant sets when a reject has really happened. It is needed if `gate.confirmation` is set."""
    active_low: bool = False
    """Whether the three outputs are low when a signal is on, as many relay boards need it."""
    drive: Literal["push_pull", "open_drain", "open_source"] = "push_pull"
    """The electrical kind of the outputs. With `open_drain` the line only pulls down, with `open_source` only up; a resistor
    does the rest."""
    confirmation_active_low: bool = False
    """Whether the confirmation input is low when a reject is confirmed."""
    confirmation_debounce_ms: float = Field(default=1, ge=0, le=100)
    """A change of the confirmation input that lasts less than this many milliseconds is ignored. Larger: noise on the cable
    is ignored, but a short signal may be missed."""

    longest_wait_ms: ClassVar[float] = 0

    @model_validator(mode="after")
    def _has_a_line_per_signal(self) -> "GpioConfig":
        """A line that is given by its name here and by its number there is found when the lines are requested."""
        refuse_shared(
            {
                "actuator_line": self.actuator_line,
                "run_permit_line": self.run_permit_line,
                "heartbeat_line": self.heartbeat_line,
                "confirmation_line": self.confirmation_line,
            }
        )
        return self

    @property
    def missing_confirmation(self) -> str | None:
        return "gate.output.confirmation_line: missing" if self.confirmation_line is None else None

    @property
    def devices(self) -> list[str]:
        """What one process owns at a time; the kernel enforces it too."""
        return [f"output gpio {Path(self.chip).resolve()} line {self.actuator_line}"]

    def create(self, _: object) -> "GpioOutput":
        return GpioOutput(self)


class GpioOutput:
    """Owns its lines exclusively. When the process dies, the kernel releases them. What a pin then does depends on the
    controller, so wire the safe state with a pull resistor."""

    def __init__(self, config: GpioConfig) -> None:
        self._config = config
        self._request: gpiod.LineRequest | None = None

    def open(self) -> None:
        try:
            import gpiod
            from gpiod.line import Bias, Direction, Drive, Value
        except ImportError as error:
            raise OutputError("gate.output.kind 'gpio' needs libgpiod: pip install inspectd[gpio]") from error
        from datetime import timedelta

        self.close()
        outputs = gpiod.LineSettings(
            direction=Direction.OUTPUT,
            active_low=self._config.active_low,
            drive=Drive[self._config.drive.upper()],
            output_value=Value.INACTIVE,
        )
        lines: dict[int | str, gpiod.LineSettings] = dict.fromkeys(self._outputs(), outputs)
        if self._config.confirmation_line is not None:
            lines[self._config.confirmation_line] = gpiod.LineSettings(
                direction=Direction.INPUT,
                active_low=self._config.confirmation_active_low,
                bias=Bias.AS_IS,
                debounce_period=timedelta(milliseconds=self._config.confirmation_debounce_ms),
            )
        try:
            self._request = gpiod.request_lines(self._config.chip, consumer="inspectd", config=lines)
        except (OSError, ValueError) as error:
            raise OutputError(f"{self._config.chip}: lines {list(lines)} are not available: {error}") from error
        self.write(SAFE)

    def write(self, signals: Signals) -> None:
        from gpiod.line import Value

        if self._request is None:
            raise OutputError(f"{self._config.chip}: not open")
        levels = {line: Value.ACTIVE if level else Value.INACTIVE for line, level in self._levels(signals).items()}
        try:
            self._request.set_values(levels)
            read_back = dict(zip(levels, self._request.get_values(list(levels)), strict=True))
        except OSError as error:
            raise OutputError(f"{self._config.chip}: {error.strerror}") from error
        if read_back != levels:
            raise OutputError(f"{self._config.chip}: wrote {levels}, read back {read_back}")

    def actuator(self) -> bool:
        return self._level(self._config.actuator_line)

    def run_permit(self) -> bool | None:
        return None if self._config.run_permit_line is None else self._level(self._config.run_permit_line)

    def confirmed(self) -> bool:
        if self._config.confirmation_line is None:
            raise OutputError("gate.output.confirmation_line: missing")
        return self._level(self._config.confirmation_line)

    def close(self) -> None:
        if self._request is not None:
            self._request.release()
        self._request = None

    def warnings(self) -> list[str]:
        missing = [
            name
            for name, line in (
                ("run permit", self._config.run_permit_line),
                ("heartbeat", self._config.heartbeat_line),
            )
            if line is None
        ]
        return [f"{name} is not wired: the plant can't see a fault of the line" for name in missing]

    def problems(self) -> list[str]:
        return []

    def _level(self, line: int | str) -> bool:
        from gpiod.line import Value

        if self._request is None:
            raise OutputError(f"{self._config.chip}: not open")
        try:
            return bool(self._request.get_value(line) is Value.ACTIVE)
        except OSError as error:
            raise OutputError(f"{self._config.chip}: {error.strerror}") from error

    def _outputs(self) -> list[int | str]:
        return list(self._levels(SAFE))

    def _levels(self, signals: Signals) -> dict[int | str, bool]:
        wired = {
            self._config.actuator_line: signals.actuator,
            self._config.run_permit_line: signals.run_permit,
            self._config.heartbeat_line: signals.heartbeat,
        }
        return {line: level for line, level in wired.items() if line is not None}
