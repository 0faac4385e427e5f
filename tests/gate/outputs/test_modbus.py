"""The Modbus output against a device that answers anything."""

import os
import random
import socket
import struct
import threading
from collections.abc import Callable

import pytest
from pydantic import ValidationError

from inspectd.errors import OutputError
from inspectd.gate.outputs.base import Signals
from inspectd.gate.outputs.modbus import ModbusConfig, ModbusOutput
from inspectd_tools.plc.modbus_plc import ModbusPlc

CALLS = int(os.environ.get("INSPECTD_FUZZ", "400"))


class Server:
    """Answers each request as `answer` says; an empty answer ends the connection."""

    def __init__(self, answer: Callable[[int, int, bytes], bytes]) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                while len(head := client.recv(7, socket.MSG_WAITALL)) == 7:
                    transaction, _, length, unit = struct.unpack(">HHHB", head)
                    answer = self._answer(transaction, unit, client.recv(length - 1, socket.MSG_WAITALL))
                    if not answer:
                        return
                    client.sendall(answer)
            except OSError:
                return


class Babbler:
    """Knows the protocol, and breaks it in most answers."""

    def __init__(self) -> None:
        self._random = random.Random(5)

    def __call__(self, transaction: int, unit: int, request: bytes) -> bytes:
        rng, function = self._random, request[0]
        good = request if function in (5, 6) else bytes([function, 1, rng.choice([0, 1])])
        body = rng.choice(
            [
                *[good] * 4,
                good[:1],
                bytes([function, 0]),
                bytes([function | 0x80, rng.randrange(256)]),
                rng.randbytes(rng.randrange(1, 9)),
            ]
        )
        frame = bytearray(struct.pack(">HHHB", transaction, 0, len(body) + 1, unit) + body)
        match rng.randrange(6):
            case 0:
                frame[rng.randrange(len(frame))] ^= 1 << rng.randrange(8)
            case 1:
                frame = frame[: rng.randrange(len(frame))]
            case 2:
                frame += rng.randbytes(rng.randrange(1, 40))
            case 3:
                frame = bytearray(rng.randbytes(rng.randrange(60)))
        return bytes(frame)


class Forgetful:
    """One coil. The device ends the connection after every third answer."""

    def __init__(self) -> None:
        self.coils: dict[bytes, bool] = {}
        self._answers = 0

    def __call__(self, transaction: int, unit: int, request: bytes) -> bytes:
        self._answers += 1
        if self._answers % 4 == 0:
            return b""
        if request[0] == 5:
            self.coils[request[1:3]] = request[3] == 0xFF
        body = request if request[0] != 1 else bytes([1, 1, self.coils.get(request[1:3], False)])
        return struct.pack(">HHHB", transaction, 0, len(body) + 1, unit) + body


def test_a_connection_that_the_device_ends_now_and_then_is_made_anew():
    device = Forgetful()
    server = Server(device)
    config = ModbusConfig(kind="modbus", host="127.0.0.1", port=server.port, actuator_coil=0, run_permit_coil=1)
    output = ModbusOutput(config)
    output.open()
    for number in range(50):
        output.write(Signals(actuator=number % 2 == 0, run_permit=True))
        assert output.actuator() is (number % 2 == 0)
        assert output.run_permit() is True
    output.close()
    server.close()


def test_whatever_a_device_answers_the_output_works_or_has_failed():
    """Any other error than OutputError would be an unexpected fault."""
    server = Server(Babbler())
    config = ModbusConfig(
        kind="modbus",
        host="127.0.0.1",
        port=server.port,
        actuator_coil=0,
        run_permit_coil=1,
        heartbeat_register=2,
        confirmation_input=3,
        timeout_ms=20,
    )
    output = ModbusOutput(config)
    rng = random.Random(7)
    calls = [
        lambda: output.write(Signals(rng.random() < 0.5, rng.random() < 0.5, rng.random() < 0.5)),
        output.actuator,
        output.run_permit,
        output.confirmed,
    ]
    failures = 0
    for _ in range(CALLS):
        try:
            rng.choice(calls)()
        except OutputError:
            failures += 1
    output.close()
    server.close()
    assert 0 < failures < CALLS


@pytest.mark.parametrize("host", ["", "plc..local", "a" * 70, "plc local", "http://10.0.0.1", "op@plc"])
def test_what_is_no_host_is_refused(host):
    with pytest.raises(ValidationError, match="must be a name or an address"):
        ModbusConfig(kind="modbus", host=host, actuator_coil=0)


def test_a_name_server_that_is_cut_off_with_the_device_costs_no_time_when_it_is_back(tmp_path, monkeypatch):
    with ModbusPlc(tmp_path / "coils.jsonl") as plc:
        config = ModbusConfig(kind="modbus", host="localhost", port=plc.port, actuator_coil=0, timeout_ms=200)
        output = config.create(None)
        output.open()

        def unanswered(*_: object, **__: object) -> list[object]:
            pytest.fail("a name was looked up while the network is cut")

        monkeypatch.setattr(socket, "getaddrinfo", _only_addresses(unanswered))
        monkeypatch.setattr(socket, "gethostbyname", unanswered)
        plc.stop()
        with pytest.raises(OutputError):
            output.write(Signals(actuator=True))
        plc.start()
        assert config.devices == [f"output modbus 127.0.0.1:{plc.port} unit 1 coil 0"]
        again = config.create(None)
        again.open()
        assert not plc.coil(0)
        output.close()
        again.close()


def _only_addresses(unanswered: Callable[..., list[object]]) -> Callable[..., object]:
    look_up = socket.getaddrinfo

    def look(host: str, *args: object, **options: object) -> object:
        return look_up(host, *args, **options) if host == "127.0.0.1" else unanswered()  # type: ignore[arg-type]

    return look


def test_a_port_where_nothing_listens_is_not_called_a_device_that_does_not_answer():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(OutputError, match="connection refused: nothing listens on this port"):
        ModbusConfig(kind="modbus", host="127.0.0.1", port=port, actuator_coil=0).create(None).open()
