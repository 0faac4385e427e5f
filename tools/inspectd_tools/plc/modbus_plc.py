"""A Modbus TCP server in place of the PLC or bus coupler of a plant: records what the plant sees, and misbehaves on command.

Use it to try `gate.output.kind: modbus`, in tests and for benchmarks. It uses bare sockets and shares no code with the daemon
or its Modbus library. It supports functions 1 to 6 and 65536 coils, discrete inputs and registers. The record gets one JSON
line for every write to a coil, every change of a register and every event, with the time at which it took effect (`t`,
CLOCK_MONOTONIC in ns). `why` says who wrote the coil: `write` is a request of the network, `watchdog`, `restart` and `program`
are the device itself, `somebody` is the command `set`. The event `blind` says that the device itself did not run from `since`
to `t`, because the computer was busy: times near it are not exact. Commands are JSON lines on standard input, such as {"do": "cut", "ms": 300}; the answer has the time at
which the command began. With "after_ms" a command waits, so that a whole plan can be sent at once.

  cut ms late_ms applies   the cable is cut: nothing arrives and nothing leaves, but no connection ends. What was sent
                           meanwhile arrives late_ms after the cable is back, because TCP repeats it, unless the sender has
                           reset its connection by then. applies: this many requests are still carried out, but their
                           answers are lost
  restart ms               all coils fall to 0, connections end, and no new ones are accepted for this time
  refuse ms                connections are reset, new ones too
  slow_before ms delay_ms  waits, then acts and answers; slow_after: acts, waits, then answers
  ignore ms coil           acknowledges writes to the coil, but does not apply them
  program ms coil value scan_ms
                           the program of the device writes the coil in every scan
  busy ms, empty ms, short ms, wrong_transaction ms, silent ms
                           exception 6; answers to reads without data; answers that are too short; answers with another
                           transaction number; no answer. every: only every n-th request
  set coil value           somebody else writes a coil
  input address value      a discrete input changes
  look                     does nothing; every answer has all coils that were ever written

With --watchdog-ms it is a bus coupler: all outputs fall to 0 if no request arrives for this time. The time is in a register
(--watchdog-register) and can be written there; 0 switches the watchdog off. If standard input is a pipe, the server ends when
the pipe ends.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from inspectd.errors import InspectdError
from inspectd_tools.cli import exit_code, new_parser
from inspectd_tools.plc.modbus_device import Device


class ModbusPlc:
    """The server in its own process, on a free port. `start` and `stop` switch its power on and off."""

    def __init__(self, record: Path, *, watchdog_ms: int = 0, realtime: bool = False) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.record = record
        self._options = ["--watchdog-ms", str(watchdog_ms), *["--realtime"] * realtime]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the process; returns when it accepts connections."""
        command = [
            sys.executable,
            "-m",
            "inspectd_tools.plc.modbus_plc",
            str(self.record),
            "--port",
            str(self.port),
        ]
        self._process = subprocess.Popen(
            [*command, *self._options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if not self._answer().startswith("serving"):
            raise RuntimeError(f"port {self.port} cannot be opened")

    def stop(self) -> None:
        """Stop at once, as when the power is cut."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def command(self, **command: Any) -> int:
        """Send one command (see the module); returns the time at which the device began it (monotonic ns)."""
        self._send(command)
        return int(json.loads(self._answer())["t"])

    def plan(self, commands: list[dict[str, Any]]) -> None:
        """Send several commands, each with `after_ms`, timed by the clock of the device; returns when the last has begun."""
        for command in commands:
            self._send(command)
        for _ in commands:
            self._answer()

    def coil(self, address: int) -> bool:
        """The present level of a coil."""
        self._send({"do": "look"})
        return bool(json.loads(self._answer())["coils"].get(str(address)) == 1)

    def writes(self, address: int) -> list[tuple[int, bool]]:
        """(monotonic ns, level) for every write to one coil that took effect."""
        lines = (json.loads(line) for line in self.record.read_text().splitlines())
        return [(line["t"], line["value"] == 1) for line in lines if line.get("coil") == address]

    def _send(self, command: dict[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def _answer(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@dataclass(frozen=True, slots=True)
class Options:
    """The command line; the help of `parser` explains each field."""

    record: Path
    port: int
    watchdog_ms: int
    watchdog_register: int
    realtime: bool


def parser() -> argparse.ArgumentParser:
    program = new_parser(__doc__)
    program.add_argument("record", type=Path, help="file to which the record is appended")
    program.add_argument("--port", type=int, default=1502, help="default: 1502")
    program.add_argument("--watchdog-ms", type=int, default=0, help="default: 0, off")
    program.add_argument(
        "--watchdog-register", type=int, default=0x1120, help="default: 0x1120, as on a Beckhoff BK9000"
    )
    program.add_argument("--realtime", action="store_true", help="ask for SCHED_RR with the lowest priority")
    return program


def main(arguments: list[str] | None = None) -> int:
    options = Options(**vars(parser().parse_args(arguments)))
    if options.realtime:
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    return exit_code("modbus_plc", lambda: asyncio.run(_serve(options)))


async def _serve(options: Options) -> None:
    """Raises InspectdError if the port or the record can't be opened."""
    try:
        device = Device(options.port, options.record, options.watchdog_ms, options.watchdog_register)
    except OSError as error:
        place = f"the record {options.record}" if error.filename else f"port {options.port}"
        raise InspectdError(f"{place} can't be opened: {error.strerror}") from error
    await device.run()


if __name__ == "__main__":
    sys.exit(main())
