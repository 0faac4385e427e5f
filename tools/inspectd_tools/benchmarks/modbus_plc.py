"""A stand-in for the plant's PLC or bus coupler: a Modbus TCP server that writes down what the plant sees, and misbehaves on command.

For trying out `gate.output.kind: modbus`, for tests and for benchmarks. It works on bare sockets and shares no code with the
daemon or its Modbus library. It knows functions 1 to 6 and 65536 coils, discrete inputs and registers. Every write to a coil
and every change of a register is one JSON line in the record, with the time at which it took effect (`t`, CLOCK_MONOTONIC in
ns); so is every event. Commands come as JSON lines on standard input, such as {"do": "cut", "ms": 300}, and are answered with
the time at which they began. With "after_ms" a command waits, so that a whole plan can be sent at once.

  cut ms late_ms applies   the cable is out: nothing arrives, nothing leaves, no connection ends. What was on its way arrives
                           late_ms after the cable is back, as TCP repeats it, unless the other side has reset its connection
                           by then. applies: so many requests are still carried out, only their answers are lost
  restart ms               all coils fall to 0, connections die, nobody listens for so long
  refuse ms                connections are reset, new ones too
  slow_before ms delay_ms  waits, then acts and answers; slow_after: acts, waits, answers
  ignore ms coil           acknowledges writes to the coil and does not apply them
  program ms coil value scan_ms
                           the device's own program writes the coil in every scan
  busy ms, empty ms, short ms, wrong_transaction ms, silent ms
                           exception 6; reads answered without data; answers cut short; of another transaction; no answer.
                           every: only each n-th request is answered so
  set coil value           somebody else writes a coil
  input address value      a discrete input changes
  look                     nothing; every answer holds the coils that were ever written

With --watchdog-ms it is a bus coupler: all outputs fall to 0 when no request came for so long. The time is kept in a
register (--watchdog-register) and can be written there; 0 switches the watchdog off. Where standard input is a
pipe, its end ends the server.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from inspectd_tools.benchmarks.modbus_device import Device


class ModbusPlc:
    """The server in a process of its own, on a free port. `start` and `stop` plug and pull its supply."""

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
        """Returns when it serves."""
        command = [
            sys.executable,
            "-m",
            "inspectd_tools.benchmarks.modbus_plc",
            str(self.record),
            "--port",
            str(self.port),
        ]
        self._process = subprocess.Popen(
            [*command, *self._options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if not self._answer().startswith("serving"):
            raise RuntimeError(f"port {self.port} can't be served")

    def stop(self) -> None:
        """At once, as a pulled plug does."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def command(self, **command: Any) -> int:
        """One command, see above; returns when the device began it (monotonic ns)."""
        self._send(command)
        return int(json.loads(self._answer())["t"])

    def plan(self, commands: list[dict[str, Any]]) -> None:
        """Several commands, each with `after_ms`, kept by the device's own clock; returns when the last has begun."""
        for command in commands:
            self._send(command)
        for _ in commands:
            self._answer()

    def coil(self, address: int) -> bool:
        """Its level now."""
        self._send({"do": "look"})
        return bool(json.loads(self._answer())["coils"].get(str(address)) == 1)

    def writes(self, address: int) -> list[tuple[int, bool]]:
        """(monotonic ns, level) of every write to one coil that took effect."""
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


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("record", type=Path, help="file to which the record is appended")
    parser.add_argument("--port", type=int, default=1502, help="default: 1502")
    parser.add_argument("--watchdog-ms", type=int, default=0, help="default: 0, off")
    parser.add_argument("--watchdog-register", type=int, default=0x1120, help="default: 0x1120, as a Beckhoff BK9000")
    parser.add_argument("--realtime", action="store_true", help="ask for SCHED_RR, lowest priority")
    args = parser.parse_args(arguments)
    if args.realtime:
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    asyncio.run(Device(args.port, args.record, args.watchdog_ms, args.watchdog_register).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
