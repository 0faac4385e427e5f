"""A stand-in for the plant's PLC or bus coupler: a real Modbus TCP server that writes down every coil write.

Serves 160 coils and discrete inputs and 100 registers on localhost, and appends one line `t_ns,address,value` per coil
write to a file. For trying out `gate.output.kind: modbus`, for tests and for benchmarks.
"""

import argparse
import asyncio
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from pymodbus.server import StartAsyncTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

_WRITE_SINGLE_COIL = 5


class ModbusPlc:
    """The server in a process of its own, on a free port. `start` and `stop` plug and pull its cable."""

    def __init__(self, record: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.record = record
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when it serves."""
        command = [sys.executable, "-m", "inspectd_tools.modbus_plc", str(self.record), "--port", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        if not self._process.stdout.readline().startswith(b"serving"):
            raise RuntimeError(f"port {self.port} can't be served")

    def stop(self) -> None:
        """At once, as a pulled plug does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def writes(self, address: int) -> list[tuple[int, bool]]:
        """(monotonic ns, level) of every write to one coil."""
        lines = [line.split(",") for line in self.record.read_text().splitlines()]
        return [(int(t_ns), value == "1") for t_ns, coil, value in lines if int(coil) == address]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("record", type=Path, help="file for the coil writes")
    parser.add_argument("--port", type=int, default=1502, help="default: 1502")
    args = parser.parse_args(arguments)
    asyncio.run(_serve(args.port, args.record))
    return 0


async def _serve(port: int, record: Path) -> None:
    bits = [SimData(0, values=[False] * 160, datatype=DataType.BITS)]
    registers = [SimData(0, values=[0] * 100, datatype=DataType.REGISTERS)]
    with record.open("a", buffering=1) as file:

        async def note(function, start_address, address, count, current, values):  # type: ignore[no-untyped-def]
            if function == _WRITE_SINGLE_COIL and values is not None:
                file.write(f"{time.monotonic_ns()},{address},{int(values[0])}\n")

        device = SimDevice(1, simdata=(bits, bits, registers, registers), action=note)
        server = asyncio.create_task(StartAsyncTcpServer(device, address=("127.0.0.1", port)))
        while not server.done() and not _listens(port):
            await asyncio.sleep(0.05)
        print(f"serving on 127.0.0.1:{port}", flush=True)
        await server


def _listens(port: int) -> bool:
    wanted = f":{port:04X} "
    return any(wanted in line and " 0A " in line for line in Path("/proc/net/tcp").read_text().splitlines())


if __name__ == "__main__":
    sys.exit(main())
