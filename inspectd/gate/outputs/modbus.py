"""The reject output on a Modbus TCP device: the coils of a bus coupler or a PLC.

A pulse takes two writes (function 5) and up to two reads (function 1). Every refresh reads and writes all signals. The
heartbeat register counts, so a plant can distinguish a living line from a frozen one.

When line and gate die together (power, kernel, out of memory), only the device's own watchdog can switch the outputs off.
"""

import logging
import socket
import struct
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from inspectd.errors import OutputError
from inspectd.gate.outputs.base import SAFE, Signals, refuse_shared
from inspectd.section import Section

if TYPE_CHECKING:
    from pymodbus.client import ModbusTcpClient


_WHY_A_WATCHDOG = "when line and gate die together, its outputs would stay as they are, run permit included"
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of socket(7): on, for 0 seconds."""


class CouplerWatchdog(Section):
    """The device's own output watchdog, such as register 0x1000 (time in 100 ms) on a WAGO 750-352, or 0x1120 (time in ms)
    on a Beckhoff BK9000."""

    register_address: int = Field(ge=0, le=65535)
    """The holding register that keeps the watchdog's time. `inspectd check` reads it: 0 means that the watchdog is off."""
    unit_ms: float = Field(gt=0, le=60_000)
    """One count of the register, in milliseconds."""


def check_host(host: str) -> str:
    """`host` as it is. Raises ValueError if it can't be the name of a machine or its address."""
    try:
        is_name = bool(host.encode("idna")) and not set(host) & set(" /@")
    except UnicodeError:
        is_name = False
    if not is_name:
        raise ValueError("must be a name or an address, such as plc-3.local or 192.168.0.20")
    return host


class ModbusConfig(Section):
    """A bus coupler or a PLC, by Modbus TCP."""

    kind: Literal["modbus"]
    """Drive coils of a Modbus TCP device."""
    host: Annotated[str, AfterValidator(check_host)]
    """The name or address of the device."""
    port: int = Field(default=502, ge=1, le=65535)
    """The TCP port of the device."""
    unit: int = Field(default=1, ge=0, le=255)
    """The Modbus unit number behind this address; most couplers ignore it."""
    actuator_coil: int = Field(ge=0, le=65535)
    """The coil that drives the rejector (pulse_to_reject) or opens the good path (pulse_to_release)."""
    run_permit_coil: int | None = Field(default=None, ge=0, le=65535)
    """The coil that lets the belt run. Without it nothing stops the belt on a fault of the line."""
    heartbeat_register: int | None = Field(default=None, ge=0, le=65535)
    """The holding register that counts up every `gate.heartbeat_ms` while the belt may run. Without it the plant can't see
    that the line is alive."""
    confirmation_input: int | None = Field(default=None, ge=0, le=65535)
    """The discrete input that the plant sets when a reject has really happened. It is needed if `gate.confirmation` is set."""
    active_low: bool = False
    """Whether the coils are off when a signal is on."""
    timeout_ms: float = Field(default=50, ge=5, le=1000)
    """A device that does not answer within this many milliseconds has failed, and run permit drops. Larger: a slow device
    is tolerated, but its answers may hold up the next pulse."""
    watchdog: CouplerWatchdog | None = None
    """The device's own watchdog. Nothing else drops run permit when line and gate die together or the cable is cut, so
    `inspectd check` demands it, or `watchdog_waiver`."""
    watchdog_waiver: str | None = Field(default=None, min_length=10, max_length=500)
    """Who accepts a device without a watchdog, and why; for example "PLC program stops the belt when the heartbeat stops
    (JM)"."""

    @model_validator(mode="after")
    def _has_a_channel_per_signal(self) -> "ModbusConfig":
        refuse_shared({"actuator_coil": self.actuator_coil, "run_permit_coil": self.run_permit_coil})
        watchdog_register = None if self.watchdog is None else self.watchdog.register_address
        refuse_shared({"heartbeat_register": self.heartbeat_register, "watchdog.register_address": watchdog_register})
        return self

    @property
    def longest_wait_ms(self) -> float:
        """One turn of the gate with a device that has failed: a new connection and two answers."""
        return 3 * self.timeout_ms

    @property
    def missing_confirmation(self) -> str | None:
        return "gate.output.confirmation_input: missing" if self.confirmation_input is None else None

    @property
    def devices(self) -> list[str]:
        """What one process owns at a time: each coil and register, since two lines may share one coupler."""
        try:
            address = _address(self.host)
        except OSError:  # it is not reachable either
            address = self.host
        channels = {
            "coil": (self.actuator_coil, self.run_permit_coil),
            "register": (self.heartbeat_register,),
        }
        return [
            f"output modbus {address}:{self.port} unit {self.unit} {kind} {number}"
            for kind, numbers in channels.items()
            for number in numbers
            if number is not None
        ]

    def create(self, _: object) -> "ModbusOutput":
        return ModbusOutput(self)


@cache
def _address(host: str) -> str:
    """Looked up once: when the network is cut, the name server may be cut off too, and a look-up then takes 10 s or longer.

    Raises OSError.
    """
    try:
        return socket.gethostbyname(host)
    except OSError:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])


class ModbusOutput:
    def __init__(self, config: ModbusConfig) -> None:
        self._config = config
        self._client: ModbusTcpClient | None = None
        self._written: Signals | None = None
        self._count = 0

    def open(self) -> None:
        self.close()
        self._connect()
        self.write(SAFE)

    def write(self, signals: Signals) -> None:
        if self._client is None:
            self._connect()
        if self._written is None or signals == self._written:
            self._write_all(signals)
        else:
            self._change(signals, self._written)
        self._written = signals

    def actuator(self) -> bool:
        return self._read_coil(self._config.actuator_coil)

    def run_permit(self) -> bool | None:
        return None if self._config.run_permit_coil is None else self._read_coil(self._config.run_permit_coil)

    def confirmed(self) -> bool:
        if self._config.confirmation_input is None:
            raise OutputError("gate.output.confirmation_input: missing")
        return self._bit(self._ask("read_discrete_inputs", self._config.confirmation_input, count=1))

    def close(self) -> None:
        self._drop()
        self._written = None

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None

    def warnings(self) -> list[str]:
        notes = []
        if self._config.run_permit_coil is None:
            notes.append("run permit is not wired: nothing stops the belt on a fault of the line")
        if self._config.heartbeat_register is None:
            notes.append("the heartbeat is not wired: the plant can't see that the line is alive")
        if self._config.watchdog_waiver is not None:
            notes.append(f"no watchdog of the device is demanded: {self._config.watchdog_waiver}")
        return notes

    def problems(self) -> list[str]:
        watchdog = self._config.watchdog
        if watchdog is None:
            return [] if self._config.watchdog_waiver else [f"gate.output.watchdog: missing; {_WHY_A_WATCHDOG}"]
        answer = self._ask("read_holding_registers", watchdog.register_address, count=1)
        if not answer.registers:
            raise OutputError(f"{self._name}: answered a read without data")
        if answer.registers[0] == 0:
            return [f"the device's watchdog is off (register {watchdog.register_address} is 0); {_WHY_A_WATCHDOG}"]
        return []

    def _change(self, signals: Signals, before: Signals) -> None:
        if signals.actuator != before.actuator:
            self._write_coil(self._config.actuator_coil, signals.actuator)
        if signals.run_permit != before.run_permit:
            self._write_coil(self._config.run_permit_coil, signals.run_permit)
        if signals.heartbeat != before.heartbeat:
            self._write_heartbeat(count_up=True)

    def _write_all(self, signals: Signals) -> None:
        self._write_coil(self._config.actuator_coil, signals.actuator)
        self._write_coil(self._config.run_permit_coil, signals.run_permit)
        self._write_heartbeat(count_up=False)

    def _write_coil(self, coil: int | None, level: bool) -> None:
        if coil is not None:
            self._ask("write_coil", coil, level != self._config.active_low)

    def _write_heartbeat(self, *, count_up: bool) -> None:
        self._count = (self._count + count_up) % 65536
        if self._config.heartbeat_register is not None:
            self._ask("write_register", self._config.heartbeat_register, self._count)

    def _read_coil(self, coil: int) -> bool:
        return self._bit(self._ask("read_coils", coil, count=1)) != self._config.active_low

    def _bit(self, answer: Any) -> bool:
        if not answer.bits:
            raise OutputError(f"{self._name}: answered a read without data")
        return bool(answer.bits[0])

    def _ask(self, function: str, *args: Any, **kwargs: Any) -> Any:
        """An error ends the connection: a late answer must not be taken for the answer to the next question. Some devices
        end a connection now and then; then it is opened again, once. What the device forgot meanwhile does not read back."""
        try:
            answer = self._ask_once(function, *args, **kwargs)
        except ConnectionError:
            self._connect()
            try:
                answer = self._ask_once(function, *args, **kwargs)
            except ConnectionError as error:
                raise OutputError(f"{self._name}: {function} {args[0]}: {error}") from error
        if answer.isError():
            self.close()
            raise OutputError(f"{self._name}: {function} {args[0]} was refused: {answer}")
        return answer

    def _ask_once(self, function: str, *args: Any, **kwargs: Any) -> Any:
        """Raises ConnectionError if the device has ended the connection, OutputError for all else."""
        from pymodbus.exceptions import ConnectionException

        if self._client is None:
            raise OutputError(f"{self._name}: not connected")
        try:
            return getattr(self._client, function)(*args, device_id=self._config.unit, **kwargs)
        except (ConnectionException, ConnectionError) as error:
            self._drop()
            raise ConnectionError(str(error)) from error
        except Exception as error:  # a device may answer anything, and the library then raises anything
            self.close()
            raise OutputError(f"{self._name}: {function} {args[0]}: {error}") from error

    def _connect(self) -> None:
        try:
            from pymodbus.client import ModbusTcpClient
        except ImportError as error:
            raise OutputError("gate.output.kind 'modbus' needs pymodbus: pip install inspectd[modbus]") from error
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # it would log again what the errors say
        try:
            address = _address(self._config.host)
        except OSError as error:
            raise OutputError(f"{self._name}: has no address: {error}") from error
        timeout_s = self._config.timeout_ms / 1000
        try:
            connection = socket.create_connection((address, self._config.port), timeout_s)
        except ConnectionRefusedError as error:
            raise OutputError(f"{self._name}: connection refused: nothing listens on this port") from error
        except TimeoutError as error:
            raise OutputError(f"{self._name}: no answer within {self._config.timeout_ms:g} ms") from error
        except OSError as error:
            raise OutputError(f"{self._name}: {error.strerror or error}") from error
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # closing it resets it: what a cut cable holds back must not reach the device later
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        client = ModbusTcpClient(address, port=self._config.port, timeout=timeout_s, retries=0)
        client.socket = connection  # its own `connect` hides why a connection failed
        self._client = client

    @property
    def _name(self) -> str:
        return f"modbus {self._config.host}:{self._config.port}"
