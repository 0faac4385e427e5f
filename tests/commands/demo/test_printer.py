"""The demo as the printer's controller: each job is announced over the control socket before its first label."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from inspectd.commands.demo.ground_truth import WRONG_TEXT, Comparison, Truth, read_truth
from inspectd.commands.demo.printer import LEAD, Job, Printer, jobs_of
from inspectd.control.config import ControlConfig
from inspectd.control.server import ControlServer
from inspectd.errors import ConfigError, ControlError, RefusedError
from inspectd.part import Part
from inspectd.text.config import TextConfig
from inspectd.text.expectation import Expectations
from tests.commands.demo.test_view import row

TEXT = TextConfig.model_validate(
    {
        "reader": "reader",
        "fields": {"lot": {"kind": "text", "font": "dots", "box": [0, 0, 90, 20], "expect": {"from": "given"}}},
    }
)


def truth(*lots: str) -> list[Truth]:
    return [
        Truth(f"{number}.png", "good", "", expected={"lot": lot, "time": f"12:{number}"})
        for number, lot in enumerate(lots)
    ]


def expected(expectations: Expectations, part: int) -> tuple[str, ...]:
    now_ns = time.monotonic_ns()
    return expectations.of(Part(part, part, now_ns, time.time_ns(), now_ns), {})["lot"].allowed


def serving(path: Path, expectations: Expectations | None) -> ControlServer:
    server = ControlServer(ControlConfig(socket=path))
    server.expect = None if expectations is None else expectations.give
    return server


def test_labels_that_follow_each_other_and_say_the_same_are_one_job():
    jobs = jobs_of(truth("A", "A", "B", "A"), ["lot"], 5)
    assert jobs == [Job(5, {"lot": "A"}), Job(7, {"lot": "B"}), Job(8, {"lot": "A"})]
    assert jobs_of(truth("A", "B"), [], 1) == [Job(1, {})]


def test_a_truth_that_does_not_say_what_is_expected_is_refused():
    with pytest.raises(ConfigError, match=r"0\.png: expected: has no text for serial"):
        jobs_of(truth("A"), ["lot", "serial"], 1)


def test_the_line_knows_each_job_before_its_first_label(tmp_path: Path):
    expectations = Expectations(TEXT)
    path = tmp_path / "control.sock"
    printer = Printer(path, jobs_of(truth(*["A"] * 100, *["B"] * 100), ["lot"], 1))
    server: list[ControlServer] = []
    threading.Timer(0.1, lambda: server.append(serving(path, None))).start()
    threading.Timer(0.3, lambda: setattr(server[0], "expect", expectations.give)).start()
    printer.begin(lambda: True, within_s=10)
    with server[0]:
        assert expected(expectations, 1) == ("A",)
        printer.announce(101 - LEAD - 1)
        assert expected(expectations, 99) == expected(expectations, 100) == ("A",)
        printer.announce(101 - LEAD)
        assert expected(expectations, 101) == ("B",)


def test_a_line_that_does_not_listen_or_refuses_is_an_error(tmp_path: Path):
    path = tmp_path / "control.sock"
    with pytest.raises(ControlError, match="no line listens there"):
        Printer(path, [Job(1, {"lot": "A"})]).begin(lambda: True, within_s=0.1)
    Printer(path, [Job(1, {"lot": "A"})]).begin(lambda: False, within_s=10)
    with serving(path, Expectations(TEXT)), pytest.raises(RefusedError, match="serial"):
        Printer(path, [Job(1, {"serial": "A"})]).begin(lambda: True, within_s=10)


def write_truth(folder: Path, expectation: str) -> None:
    (folder / "a.png").touch()
    (folder / "truth.csv").write_text(f"file;class;fault;expected\na.png;{WRONG_TEXT};yesterday;{expectation}\n")


def test_the_truth_says_what_a_label_should_say(tmp_path: Path):
    write_truth(tmp_path, '"{""lot"": ""A""}"')
    (entry,) = read_truth(tmp_path, ["good", WRONG_TEXT])
    assert (entry.name, entry.fault, entry.expected) == (WRONG_TEXT, "yesterday", {"lot": "A"})
    with pytest.raises(ConfigError, match=f"'{WRONG_TEXT}' must be one of good, unknown"):
        read_truth(tmp_path, ["good"])


@pytest.mark.parametrize(("cell", "message"), [("{", "is not valid JSON"), ('"[1]"', "must be a JSON object of texts")])
def test_an_expectation_that_can_not_be_read_names_its_line(tmp_path: Path, cell: str, message: str):
    write_truth(tmp_path, cell)
    with pytest.raises(ConfigError, match=rf"truth\.csv: line 2: expected: .*{message}"):
        read_truth(tmp_path, [WRONG_TEXT])


def test_wrong_texts_are_counted_apart_from_faulty_prints():
    rows = [row(1, "pass"), row(2, "fault", "text_wrong"), row(3, "fault", None, "bad")]
    entries = [Truth("a.png", WRONG_TEXT, ""), Truth("b.png", WRONG_TEXT, ""), Truth("c.png", "bad", "")]
    rows[0] = replace(rows[0], gate_outcome="passed")
    comparison = Comparison(list(zip(rows, entries, strict=True)), "good")
    assert (comparison.wrong_text_passed, comparison.wrong_text) == (1, 2)
    assert (comparison.faulty_passed, comparison.faulty) == (0, 1)
