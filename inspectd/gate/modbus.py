"""The reject output on a Modbus TCP device: a bus coupler's coils, or a PLC's.

A pulse costs one write (function 5); every refresh writes and reads back all signals. The heartbeat register counts, so
that a plant can tell a living line from a frozen one.
"""

import socket
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from inspectd.errors import OutputError
from inspectd.gate.output import SAFE, Signals
from inspectd.section import Section

if TYPE_CHECKING:
    from pymodbus.client import ModbusTcpClient


class CouplerWatchdog(Section):
    """The register in which the device keeps its own output watchdog, e.g. 0x1000 (time in 100 ms) on a WAGO 750-352,
    0x1120 (time in ms) on a Beckhoff BK9000."""

    register_address: int = Field(ge=0, le=65535)
    unit_ms: float = Field(gt=0)
    """What one count of the register means."""


class ModbusConfig(Section):
    kind: Literal["modbus"]
    host: str
    port: int = Field(default=502, ge=1, le=65535)
    unit: int = Field(default=1, ge=0, le=255)
    actuator_coil: int = Field(ge=0, le=65535)
    run_permit_coil: int | None = Field(default=None, ge=0, le=65535)
    heartbeat_register: int | None = Field(default=None, ge=0, le=65535)
    confirmation_input: int | None = Field(default=None, ge=0, le=65535)
    """Discrete input that the plant sets when the reject has happened."""
    active_low: bool = False
    """Of the coils."""
    timeout_ms: float = Field(default=50, ge=5, le=1000)
    """A device that takes longer has failed: run permit off."""
    watchdog: CouplerWatchdog | None = None

    def create(self, _: object) -> "ModbusOutput":
        return ModbusOutput(self)


class ModbusOutput:
    def __init__(self, config: ModbusConfig) -> None:
        self._config = config
        self._client: ModbusTcpClient | None = None
        self._written: Signals | None = None
        self._count = 0

    def open(self) -> None:
        self._connect()
        self.write(SAFE)

    def write(self, signals: Signals) -> None:
        if self._client is None:
            self._connect()
        try:
            if self._written is None or signals == self._written:
                self._refresh(signals)
            else:
                self._change(signals, self._written)
        except OutputError:
            self._disconnect()
            raise
        self._written = signals

    def confirmed(self) -> bool:
        if self._config.confirmation_input is None:
            raise OutputError("gate.output.confirmation_input: missing")
        answer = self._ask("read_discrete_inputs", self._config.confirmation_input, count=1)
        return bool(answer.bits[0])

    def close(self) -> None:
        try:
            if self._client is not None:
                self.write(SAFE)
        except OutputError:
            pass  # it does not answer; its own watchdog must let the outputs fall
        self._disconnect()

    def warnings(self) -> list[str]:
        notes = []
        if self._config.run_permit_coil is None:
            notes.append("run permit is not wired: nothing stops the belt on a fault of the line")
        if self._config.heartbeat_register is None:
            notes.append("the heartbeat is not wired: the plant can't see that the line is alive")
        if self._config.watchdog is None:
            notes.append("the coupler's watchdog is not known: outputs may stay as they are when the network is cut")
            return notes
        answer = self._ask("read_holding_registers", self._config.watchdog.register_address, count=1)
        timeout_ms = answer.registers[0] * self._config.watchdog.unit_ms
        if timeout_ms == 0:
            notes.append("the coupler's watchdog is off: its outputs stay as they are when the network is cut")
        return notes

    def _change(self, signals: Signals, before: Signals) -> None:
        if signals.actuator != before.actuator:
            self._write_coil(self._config.actuator_coil, signals.actuator)
        if signals.run_permit != before.run_permit:
            self._write_coil(self._config.run_permit_coil, signals.run_permit)
        if signals.heartbeat != before.heartbeat:
            self._write_heartbeat(count_up=True)

    def _refresh(self, signals: Signals) -> None:
        self._write_coil(self._config.actuator_coil, signals.actuator)
        self._write_coil(self._config.run_permit_coil, signals.run_permit)
        self._write_heartbeat(count_up=False)
        self._read_back(self._config.actuator_coil, signals.actuator)
        self._read_back(self._config.run_permit_coil, signals.run_permit)

    def _write_coil(self, coil: int | None, level: bool) -> None:
        if coil is not None:
            self._ask("write_coil", coil, level != self._config.active_low)

    def _write_heartbeat(self, *, count_up: bool) -> None:
        self._count = (self._count + count_up) % 65536
        if self._config.heartbeat_register is not None:
            self._ask("write_register", self._config.heartbeat_register, self._count)

    def _read_back(self, coil: int | None, level: bool) -> None:
        if coil is None:
            return
        found = bool(self._ask("read_coils", coil, count=1).bits[0]) != self._config.active_low
        if found != level:
            raise OutputError(f"{self._name}: coil {coil} was written {level}, reads back {found}")

    def _ask(self, function: str, *args: Any, **kwargs: Any) -> Any:
        from pymodbus.exceptions import ModbusException

        if self._client is None:
            raise OutputError(f"{self._name}: not connected")
        try:
            answer = getattr(self._client, function)(*args, device_id=self._config.unit, **kwargs)
        except (ModbusException, OSError) as error:
            raise OutputError(f"{self._name}: {function} {args[0]}: {error}") from error
        if answer.isError():
            raise OutputError(f"{self._name}: {function} {args[0]} is refused: {answer}")
        return answer

    def _connect(self) -> None:
        try:
            from pymodbus.client import ModbusTcpClient
        except ImportError as error:
            raise OutputError("gate.output.kind 'modbus' needs pymodbus: pip install inspectd[modbus]") from error
        client = ModbusTcpClient(
            self._config.host, port=self._config.port, timeout=self._config.timeout_ms / 1000, retries=0
        )
        if not client.connect():
            raise OutputError(f"{self._name}: no answer within {self._config.timeout_ms:g} ms")
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client = client
        self._written = None

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None
        self._written = None

    @property
    def _name(self) -> str:
        return f"modbus {self._config.host}:{self._config.port}"
