"""An output that only writes to a file what it would have done: for the demo, tests, and trials beside a running line."""

import json
import os
import time
from typing import ClassVar, Literal

from inspectd.errors import OutputError
from inspectd.gate.outputs.base import SAFE, Signals
from inspectd.section import ConfigPath, Section


class SimulatedConfig(Section):
    """No device: the signals are only written to a file."""

    kind: Literal["simulated"]
    """Write the signals to a file. Nothing is rejected for real."""
    record: ConfigPath
    """The file, with one JSON line per change of a signal: `t_ns` (monotonic), `t_utc_ns`, `actuator`, `run_permit`,
    `heartbeat`."""
    confirms: bool = True
    """Whether the simulated plant confirms each reject."""

    longest_wait_ms: ClassVar[float] = 0
    missing_confirmation: ClassVar[None] = None

    @property
    def devices(self) -> list[str]:
        """What one process owns at a time."""
        return [f"output simulated {self.record.resolve()}"]

    def create(self, _: object) -> "SimulatedOutput":
        return SimulatedOutput(self)


class SimulatedOutput:
    def __init__(self, config: SimulatedConfig) -> None:
        self._config = config
        self._file: int | None = None
        self._written: Signals | None = None

    def open(self) -> None:
        self.close()
        try:
            self._config.record.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._config.record, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise OutputError(f"{self._config.record}: can't be written: {error.strerror}") from error
        self.write(SAFE)

    def write(self, signals: Signals) -> None:
        if self._file is None:
            raise OutputError(f"{self._config.record}: not open")
        if signals == self._written:
            return
        line = {
            "t_ns": time.monotonic_ns(),
            "t_utc_ns": time.time_ns(),
            "actuator": signals.actuator,
            "run_permit": signals.run_permit,
            "heartbeat": signals.heartbeat,
        }
        data = json.dumps(line).encode() + b"\n"
        try:
            written = os.write(self._file, data)
        except OSError as error:
            raise OutputError(f"{self._config.record}: {error.strerror}") from error
        if written < len(data):
            raise OutputError(f"{self._config.record}: the disk is full")
        self._written = signals

    def actuator(self) -> bool:
        return self._written is not None and self._written.actuator

    def run_permit(self) -> bool:
        return self._written is not None and self._written.run_permit

    def confirmed(self) -> bool:
        return self._config.confirms and self.actuator()

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file = None
        self._written = None

    def warnings(self) -> list[str]:
        return ["nothing is rejected for real: gate.output.kind is 'simulated'"]

    def problems(self) -> list[str]:
        return []
