"""A real Modbus TCP server in a process of its own, with the plant's view: every coil write with its time.

`python -m tests.gate.modbus_server PORT RECORD` serves 100 coils, inputs and registers and appends one line
`t_ns,address,value` per write to RECORD.
"""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

from pymodbus.server import StartAsyncTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

_WRITE_SINGLE_COIL = 5


class ModbusServer:
    """Starts and stops the server process; `coils` replays its record."""

    def __init__(self, port: int, record: Path) -> None:
        self.port = port
        self.record = record
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.gate.modbus_server", str(self.port), str(self.record)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == b"serving"

    def stop(self) -> None:
        """As a pulled plug does: at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def writes(self, address: int) -> list[tuple[int, bool]]:
        """(t_ns, level) of every write to one coil."""
        lines = [line.split(",") for line in self.record.read_text().splitlines()]
        return [(int(t_ns), value == "1") for t_ns, coil, value in lines if int(coil) == address]


async def _serve(port: int, record: Path) -> None:
    bits = [SimData(0, values=[False] * 160, datatype=DataType.BITS)]
    registers = [SimData(0, values=[0] * 100, datatype=DataType.REGISTERS)]
    with record.open("a", buffering=1) as file:

        async def note(function, start_address, address, count, current, values):
            if function == _WRITE_SINGLE_COIL and values is not None:
                file.write(f"{time.monotonic_ns()},{address},{int(values[0])}\n")

        device = SimDevice(1, simdata=(bits, bits, registers, registers), action=note)
        server = asyncio.create_task(StartAsyncTcpServer(device, address=("127.0.0.1", port)))
        while not _listens(port):
            await asyncio.sleep(0.05)
        print("serving", flush=True)
        await server


def _listens(port: int) -> bool:
    wanted = f":{port:04X} "
    return any(wanted in line and " 0A " in line for line in Path("/proc/net/tcp").read_text().splitlines())


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), Path(sys.argv[2])))
