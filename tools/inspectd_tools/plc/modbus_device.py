"""The device of `modbus_plc`: serves Modbus TCP on bare sockets, records what the plant sees, misbehaves on command."""

import asyncio
import contextlib
import errno
import json
import os
import socket
import stat
import struct
import sys
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from inspectd_tools.plc.modbus_misbehaviour import Misbehaviour

_HEADER = struct.Struct(">HHHB")
_BACKLOG = 8
_BLIND_MS = 15
"""If the device itself does not run for longer than this, the record says so."""


class Device:
    def __init__(self, port: int, record: Path, watchdog_ms: int, watchdog_register: int) -> None:
        self.coils: dict[int, int] = {}
        self._registers = {watchdog_register: watchdog_ms}
        self._inputs: dict[int, int] = {}
        self._watchdog_register = watchdog_register
        self._fed_ns = time.monotonic_ns()
        self._record = record.open("a", buffering=1)
        self._misbehaviour = Misbehaviour()
        self._connections: dict[socket.socket, asyncio.Task[None]] = {}
        self._whole = asyncio.Event()
        self._whole.set()
        self._late_s = 0.0
        self._applies = 0
        self._refused_until_ns = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=_BACKLOG)
        self.port = int(self._listener.getsockname()[1])
        self._listening: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve for ever; if standard input is a pipe, until it ends."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        self._listen()
        self._start(self._watch_requests())
        self._start(self._watch_itself())
        print(f"serving on 127.0.0.1:{self.port}", flush=True)
        threading.Thread(target=self._read_commands, args=(loop, ended), daemon=True).start()
        await ended.wait()

    def _read_commands(self, loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(self._start, self._obey(json.loads(line)))
        if stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode):
            loop.call_soon_threadsafe(ended.set)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _note(self, **what: Any) -> int:
        now_ns = time.monotonic_ns()
        self._record.write(json.dumps({"t": now_ns, **what}) + "\n")
        return now_ns

    def _set(self, coil: int, value: int, why: str) -> None:
        self.coils[coil] = value
        self._note(coil=coil, value=value, why=why)

    def _fall(self, why: str) -> None:
        for coil, value in self.coils.items():
            if value:
                self._set(coil, 0, why)

    # commands

    async def _obey(self, command: dict[str, Any]) -> None:
        await asyncio.sleep(command.pop("after_ms", 0) / 1000)
        name = command.pop("do")
        t_ns = self._note(event=name, details=command)
        print(json.dumps({"did": name, "t": t_ns, "coils": self.coils}), flush=True)
        match name:
            case "cut":
                await self._cut(command["ms"] / 1000, command.get("late_ms", 0) / 1000, command.get("applies", 0))
            case "restart":
                self._fall("restart")
                self._hang_up()
                await self._shut(command["ms"] / 1000)
            case "refuse":
                self._refused_until_ns = t_ns + round(command["ms"] * 1e6)
                self._hang_up()
            case "program":
                await self._program(**command)
            case "look":
                pass
            case "set":
                self._set(command["coil"], command["value"], "somebody")
            case "input":
                self._inputs[command["address"]] = command["value"]
            case _:
                self._misbehaviour.begin(name, command)

    async def _cut(self, out_s: float, late_s: float, applies: int) -> None:
        self._whole.clear()
        self._late_s, self._applies = late_s, applies
        await self._stop_listening()
        self._listener.listen(0)
        plugs = [self._plug() for _ in range(_BACKLOG)]
        await asyncio.sleep(out_s)
        for plug in plugs:
            plug.close()
        self._listener.listen(_BACKLOG)
        self._whole.set()
        self._note(event="cut ends")
        self._listen()

    def _plug(self) -> socket.socket:
        """Take a place in the queue of new connections. When it is full, the kernel drops new requests, as a cut cable does."""
        plug = socket.socket()
        plug.setblocking(False)
        plug.connect_ex(("127.0.0.1", self.port))
        return plug

    async def _shut(self, down_s: float) -> None:
        await self._stop_listening()
        self._listener.close()
        await asyncio.sleep(down_s)
        while True:
            with contextlib.suppress(OSError):
                self._listener = socket.create_server(("127.0.0.1", self.port), backlog=_BACKLOG)
                break
            await asyncio.sleep(0.01)
        self._note(event="serves again")
        self._listen()

    def _hang_up(self) -> None:
        for serving in self._connections.values():
            serving.cancel()

    async def _program(self, ms: float, coil: int, value: int, scan_ms: float) -> None:
        end_ns = time.monotonic_ns() + round(ms * 1e6)
        while time.monotonic_ns() < end_ns:
            if self.coils.get(coil, 0) != value:
                self._set(coil, value, "program")
            await asyncio.sleep(scan_ms / 1000)

    # what happens on its own

    async def _watch_requests(self) -> None:
        while True:
            limit_ns = self._registers.get(self._watchdog_register, 0) * 1_000_000
            left_ns = self._fed_ns + limit_ns - time.monotonic_ns()
            if limit_ns and left_ns <= 0:
                self._fall("watchdog")
            await asyncio.sleep(max(left_ns, 5_000_000) / 1e9 if limit_ns else 0.05)

    async def _watch_itself(self) -> None:
        while True:
            t_from_ns = time.monotonic_ns()
            await asyncio.sleep(0.005)
            if time.monotonic_ns() - t_from_ns > (5 + _BLIND_MS) * 1_000_000:
                self._note(event="blind", since=t_from_ns)

    # connections

    def _listen(self) -> None:
        self._listener.setblocking(False)
        self._listening = asyncio.ensure_future(self._accept(self._listener))

    async def _stop_listening(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
        await asyncio.sleep(0)  # the loop lets go of the sockets before they are closed

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(listener)
            if time.monotonic_ns() < self._refused_until_ns:
                _reset(connection)
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._note(event="connected")
            self._connections[connection] = asyncio.ensure_future(self._serve(connection))

    async def _serve(self, connection: socket.socket) -> None:
        try:
            while True:
                transaction, _, length, unit = _HEADER.unpack(await _exactly(connection, _HEADER.size))
                await self._handle(connection, transaction, unit, await _exactly(connection, length - 1))
        except OSError:
            connection.close()
        except asyncio.CancelledError:
            _reset(connection)
        finally:
            del self._connections[connection]
            self._note(event="disconnected")

    async def _handle(self, connection: socket.socket, transaction: int, unit: int, pdu: bytes) -> None:
        if not self._whole.is_set():
            self._applies -= 1
            if self._applies < 0:
                await self._arrive_late(connection)
        self._fed_ns = time.monotonic_ns()
        if self._misbehaviour.get("busy"):
            answer = bytes([pdu[0] | 0x80, 6])
        else:
            if slow := self._misbehaviour.get("slow_before"):
                await asyncio.sleep(slow["delay_ms"] / 1000)
            answer = self._carry_out(pdu)
            if slow := self._misbehaviour.get("slow_after"):
                await asyncio.sleep(slow["delay_ms"] / 1000)
        if not self._whole.is_set():
            await self._arrive_late(connection)
        if self._misbehaviour.get("silent"):
            return
        if self._misbehaviour.get("wrong_transaction"):
            transaction = (transaction + 7) % 65536
        if self._misbehaviour.get("short"):
            answer = answer[:-1]
        frame = _HEADER.pack(transaction, 0, len(answer) + 1, unit) + answer
        await asyncio.get_running_loop().sock_sendall(connection, frame)

    async def _arrive_late(self, connection: socket.socket) -> None:
        """Wait until the cut ends. Raises ConnectionResetError if the sender has reset its connection: TCP then repeats nothing."""
        await self._whole.wait()
        await asyncio.sleep(self._late_s)
        if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET:
            raise ConnectionResetError

    def _carry_out(self, pdu: bytes) -> bytes:
        function, address, value = struct.unpack(">BHH", pdu[:5])
        match function:
            case 1 | 2:
                return self._bits(function, self.coils if function == 1 else self._inputs, address, value)
            case 3 | 4:
                if self._misbehaviour.get("empty"):
                    return bytes([function, 0])
                words = (self._registers.get(address + place, 0) for place in range(value))
                return bytes([function, 2 * value]) + struct.pack(f">{value}H", *words)
            case 5:
                ignored = self._misbehaviour.get("ignore")
                if ignored is None or ignored["coil"] != address:
                    self._set(address, int(value == 0xFF00), "write")
                else:
                    self._note(event="ignored", details={"coil": address, "value": int(value == 0xFF00)})
            case 6:
                if self._registers.get(address) != value:
                    self._registers[address] = value
                    self._note(register=address, value=value)
            case _:
                return bytes([function | 0x80, 1])
        return pdu

    def _bits(self, function: int, table: dict[int, int], address: int, count: int) -> bytes:
        if self._misbehaviour.get("empty"):
            return bytes([function, 0])
        size = (count + 7) // 8
        bits = sum(table.get(address + place, 0) << place for place in range(count))
        return bytes([function, size]) + bits.to_bytes(size, "little")


async def _exactly(connection: socket.socket, count: int) -> bytes:
    """Receive `count` bytes. Raises ConnectionError if the other side closes the connection before."""
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < count:
        more = await loop.sock_recv(connection, count - len(data))
        if not more:
            raise ConnectionAbortedError
        data += more
    return data


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
