"""`inspectd control expect`: from the command line to what the labels must say."""

import json
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from inspectd.cli import main
from inspectd.commands.control import _show_status
from inspectd.control.config import ControlConfig
from inspectd.control.server import ControlServer
from inspectd.text.expectation import Expectations
from tests.text.lines import expectations, part, text

ME = f"{pwd.getpwuid(os.getuid()).pw_name} (uid {os.getuid()}, pid {os.getpid()})"


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Expectations]:
    found = expectations({"lot": text("given", pattern="LOT [0-9]{4}", printed="LOT {}"), "shift": text("given")})
    found.next_part_id = lambda: 7
    with ControlServer(ControlConfig(socket=tmp_path / "s")) as server:
        server.expect = found.give
        yield found


@pytest.fixture
def control(line, tmp_path):
    return lambda *arguments: main(["control", "expect", *arguments, "--socket", str(tmp_path / "s")])


def test_a_person_tells_what_the_next_labels_must_say(control, line, capsys):
    assert control("lot=7481", "shift=early") == 0
    assert capsys.readouterr().out == "counts from part 7 on; the next label is part 7\n"
    assert control("lot=7482", "--from-part", "9", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"version": 1, "ok": True, "from": "part 9", "next_part": 7}
    assert control("shift=", "--from-part", "10") == 0
    assert line.of(part(8), {})["lot"].source == f"given by {ME} from part 7"
    expected = [line.of(part(number), {}) for number in (8, 9, 10)]
    assert [each["lot"].allowed for each in expected] == [("LOT 7481",), ("LOT 7482",), ("LOT 7482",)]
    assert [each["shift"].allowed for each in expected] == [("early",), ("early",), ()]


def test_a_refusal_is_one_sentence_and_changes_nothing(control, line, capsys):
    assert control("lot=74", "shift=early") == 1
    assert capsys.readouterr().err == "inspectd: fields.lot: 'LOT 74' does not match the pattern LOT [0-9]{4}\n"
    assert control("lto=7481") == 1
    assert "fields.lto: there is no such field; did you mean 'lot'?" in capsys.readouterr().err
    assert control("lot=7481", "lot=7482") == 1
    assert capsys.readouterr().err == "inspectd: each field may be named once\n"
    assert control("lot=7481", "--from-time", "noon") == 1
    assert "write it like 2026-11-28T06:00+01:00" in capsys.readouterr().err
    assert line.of(part(9), {})["shift"].allowed == ()


@pytest.mark.parametrize(
    "arguments", [["lot"], [], ["lot=1", "--from-part", "x"], ["lot=1", "--from-part", "1", "--from-time", "x"]]
)
def test_a_wrong_command_line_sends_nothing(control, arguments):
    with pytest.raises(SystemExit) as ended:
        control(*arguments)
    assert ended.value.code == 2


def test_the_status_shows_what_the_next_label_must_say(control, line, capsys):
    control("lot=7481")
    control("lot=7482", "--from-part", "9")
    capsys.readouterr()
    books = {"passed": 1, "faults": {}, "uncertain": 0, "missed": {}}
    answer = dict.fromkeys(["gate", "reloading", "images_lost", "parts_per_minute"])
    answer |= {
        "name": "line",
        "run_permit": True,
        "camera_delivers": True,
        "stalled": [],
        "stops": [],
        "engine": "e",
        "engine_version": "1",
    }
    _show_status(answer | {"books": books, "text": line.figures()})
    shown = capsys.readouterr().out
    assert "'LOT 7481'" in shown
    assert "7482 from part 9" in shown
    assert "NOTHING PASSES" in shown
