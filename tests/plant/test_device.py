"""The plant's device: it records what it did. All judgements of the campaign depend on that."""

import re
import socket
import struct
import time

import pytest

from inspectd_tools.plc.modbus_plc import ModbusPlc, main
from tests.plant.record import Record

pytestmark = pytest.mark.alone


@pytest.fixture
def plc(tmp_path):
    with ModbusPlc(tmp_path / "plant.jsonl") as plc:
        yield plc


class Client:
    """Speaks Modbus TCP by hand."""

    def __init__(self, port, timeout_s=1.0):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self.transaction = 0

    def ask(self, function, address, value):
        self.send(function, address, value)
        return self.answer()

    def send(self, function, address, value):
        self.transaction += 1
        self.socket.sendall(struct.pack(">HHHBBHH", self.transaction, 0, 6, 1, function, address, value))

    def answer(self):
        """(transaction, PDU) of the next answer."""
        transaction, _, length, _ = struct.unpack(">HHHB", self.exactly(7))
        return transaction, self.exactly(length - 1)

    def exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise ConnectionError
            data += more
        return data

    def write(self, coil, level):
        return self.ask(5, coil, 0xFF00 if level else 0)

    def read(self, coil):
        return self.ask(1, coil, 1)[1][2] == 1

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def until(condition, timeout_s=5):
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_a_write_is_recorded_when_it_takes_effect(plc):
    client = Client(plc.port)
    before_ns = time.monotonic_ns()
    assert client.write(3, True) == (1, struct.pack(">BHH", 5, 3, 0xFF00))
    (written,) = plc.writes(3)
    assert before_ns < written[0] < time.monotonic_ns()
    assert written[1]
    assert client.read(3)
    assert plc.coil(3)
    assert not plc.coil(4)


def test_registers_hold_what_is_written(plc):
    client = Client(plc.port)
    client.ask(6, 7, 1234)
    assert client.ask(3, 7, 1)[1] == struct.pack(">BBH", 3, 2, 1234)
    assert client.ask(16, 7, 1)[1] == b"\x90\x01", "an unknown function"


def test_a_cut_cable_is_silence_and_new_connections_get_no_answer(plc):
    client = Client(plc.port, timeout_s=0.2)
    client.write(0, True)
    plc.command(do="cut", ms=1000)
    client.send(5, 0, 0)
    with pytest.raises(TimeoutError):
        client.answer()
    with pytest.raises(TimeoutError):
        Client(plc.port, timeout_s=0.2)
    assert plc.coil(0)


def test_what_was_on_its_way_in_a_cut_arrives_late(plc):
    client = Client(plc.port)
    client.write(0, False)
    begin_ns = plc.command(do="cut", ms=100, late_ms=80)
    client.send(5, 0, 0xFF00)
    client.socket.close()
    until(lambda: plc.coil(0))
    assert (plc.writes(0)[-1][0] - begin_ns) / 1e6 > 180


def test_what_a_reset_connection_had_on_its_way_never_arrives(plc):
    client = Client(plc.port)
    client.write(0, False)
    plc.command(do="cut", ms=100, late_ms=50)
    client.send(5, 0, 0xFF00)
    client.reset()
    time.sleep(0.4)
    assert not plc.coil(0)


def test_in_a_cut_a_request_may_be_carried_out_whose_answer_is_lost(plc):
    client = Client(plc.port)
    client.write(0, False)
    begin_ns = plc.command(do="cut", ms=300, applies=1)
    client.send(5, 0, 0xFF00)
    until(lambda: plc.coil(0))
    assert (plc.writes(0)[-1][0] - begin_ns) / 1e6 < 300
    client.answer()
    assert (time.monotonic_ns() - begin_ns) / 1e6 >= 300


def test_a_restart_lets_all_outputs_fall_and_ends_connections(plc):
    client = Client(plc.port)
    client.write(0, True)
    client.write(1, True)
    plc.command(do="restart", ms=200)
    until(lambda: not plc.coil(0))
    assert not plc.coil(1)
    with pytest.raises(ConnectionError):
        client.read(0)
    with pytest.raises(ConnectionRefusedError):
        Client(plc.port)
    until(lambda: _serves(plc))
    assert not Client(plc.port).read(0)


def _serves(plc):
    try:
        Client(plc.port).socket.close()
    except OSError:
        return False
    return True


def test_refused_connections(plc):
    client = Client(plc.port)
    client.write(0, True)
    plc.command(do="refuse", ms=200)
    with pytest.raises(ConnectionError):
        client.read(0)
    with pytest.raises(ConnectionError):
        Client(plc.port).read(0)
    time.sleep(0.25)
    assert Client(plc.port).read(0), "the outputs stay as they were"


def test_an_ignored_coil_is_acknowledged_and_stays(plc):
    client = Client(plc.port)
    plc.command(do="ignore", ms=10_000, coil=0)
    assert client.write(0, True)[1][0] == 5
    assert not client.read(0)
    client.write(1, True)
    assert client.read(1)
    assert plc.writes(0) == []


def test_a_program_overwrites_its_coil_in_each_scan(plc):
    client = Client(plc.port)
    plc.command(do="program", ms=10_000, coil=0, value=0, scan_ms=20)
    client.write(0, True)
    until(lambda: not plc.coil(0))
    assert [level for _, level in plc.writes(0)] == [True, False]


@pytest.mark.parametrize(("manner", "applied_after_ms"), [("slow_before", 100), ("slow_after", 0)])
def test_slow_answers(plc, manner, applied_after_ms):
    client = Client(plc.port)
    plc.command(do=manner, ms=10_000, delay_ms=100)
    begin_ns = time.monotonic_ns()
    client.write(0, True)
    assert (time.monotonic_ns() - begin_ns) / 1e6 >= 100
    assert ((plc.writes(0)[0][0] - begin_ns) / 1e6 >= 100) == (applied_after_ms > 0)


def test_bad_answers(plc):
    plc.command(do="busy", ms=10_000, every=2)
    client = Client(plc.port)
    assert client.write(0, True)[1][0] == 5
    assert client.write(0, False)[1] == b"\x85\x06"
    assert client.read(0), "busy: not carried out"
    plc.command(do="busy", ms=0)
    plc.command(do="empty", ms=300)
    assert client.ask(1, 0, 1)[1] == b"\x01\x00"
    plc.command(do="wrong_transaction", ms=10_000)
    assert client.ask(1, 0, 1)[0] != client.transaction
    plc.command(do="short", ms=10_000)
    assert len(client.ask(5, 0, 0)[1]) == 4


def test_a_couplers_watchdog_lets_its_outputs_fall(tmp_path):
    with ModbusPlc(tmp_path / "plant.jsonl", watchdog_ms=100) as plc:
        client = Client(plc.port)
        assert client.ask(3, 0x1120, 1)[1] == struct.pack(">BBH", 3, 2, 100)
        for _ in range(4):
            client.write(1, True)
            time.sleep(0.05)
        assert plc.coil(1), "it is fed"
        until(lambda: not plc.coil(1))
        (on_ns, _), (off_ns, _) = plc.writes(1)[-2:]
        assert (off_ns - on_ns) / 1e6 >= 100
        client.ask(6, 0x1120, 0)
        client.write(1, True)
        time.sleep(0.25)
        assert plc.coil(1), "switched off"


def test_somebody_else_and_a_plan_kept_by_the_device(plc):
    plc.plan(
        [{"do": "set", "coil": 9, "value": value, "after_ms": after} for value, after in ((1, 20), (0, 60), (1, 90))]
    )
    until(lambda: len(plc.writes(9)) == 3)
    assert [level for _, level in plc.writes(9)] == [True, False, True]
    level = Record(plc.record).coil(9)
    times = [t_ns for t_ns, _ in plc.writes(9)]
    assert list(level.times_on(0, times[2])) == [(times[0], times[1])]
    assert level.first_off(times[0]) == times[1]
    assert level.first_off(times[2]) is None
    assert not level.at(times[0] - 1)
    assert level.at(times[0])


@pytest.mark.parametrize("fault", ["port", "record"])
def test_what_a_device_can_not_open_is_said_in_one_sentence(tmp_path, capsys, fault):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1]) if fault == "port" else "0"
        record = tmp_path / "coils.jsonl" if fault == "port" else tmp_path / "nothing" / "coils.jsonl"
        assert main([str(record), "--port", port]) == 70
    assert re.fullmatch(rf"modbus_plc: (the )?{fault} \S+ can't be opened: .*\n", capsys.readouterr().err)
