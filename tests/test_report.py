"""The report says what the journal holds, to people, to machines, and for a recall."""

import csv
import io
import json
import re
import time

import pytest

from inspectd.cli import main
from inspectd.gate.messages import Outcome
from inspectd.journal import Journal, JournalConfig, Stages
from inspectd.part import Fault, Missed, MissedReason, Part, Pass, Scores, Uncertain

HOUR_NS = 3600 * 10**9


@pytest.fixture
def journal(tmp_path):
    """100 parts of the last hour and 7 older ones: 80 pass, 10 fault, 6 uncertain, 4 missed; 1 not driven, 3 unrecorded."""
    path = tmp_path / "journal.sqlite"
    journal = Journal.open(JournalConfig(path=path))
    journal.use_engine("toy", "ab" * 32)
    classes = ("bad", "good")
    good, bad = Scores(classes, (0.1, 0.9)), Scores(classes, (0.9, 0.1))
    verdicts = [Pass(good)] * 80 + [Fault(bad)] * 10 + [Uncertain(good)] * 6 + [Missed(MissedReason.OVERRUN)] * 4
    now_ns = time.time_ns()
    for number, verdict in enumerate([Pass(good)] * 7 + verdicts, 1):
        t_utc_ns = now_ns - (3 * HOUR_NS if number <= 7 else 10**9)
        stages = Stages(acquire_us=2000, queue_us=0, verdict_us=number * 1000, preprocess_us=300, infer_us=4000)
        journal.append(Part(number, number, number, t_utc_ns, number), verdict, stages)
        outcome = Outcome.PASSED if isinstance(verdict, Pass) else Outcome.REJECTED
        journal.amend_outcome(number, Outcome.NOT_DRIVEN if number == 90 else outcome, 4000)
    for number in range(200, 203):
        journal.unrecorded(Part(number, number, number, now_ns, number))
    journal.close()
    return path


def report(capsys, *arguments) -> tuple[int, str]:
    code = main(["report", *map(str, arguments)])
    return code, capsys.readouterr().out


def test_figures_of_the_last_hour(journal, capsys):
    code, out = report(capsys, "--journal", journal, "--json")
    figures = json.loads(out)
    assert code == 0
    assert figures["books_balance"] is True
    assert (figures["triggers"], figures["parts"], figures["passed"], figures["uncertain"]) == (103, 100, 80, 6)
    assert figures["faults"] == {"bad": 10}
    assert figures["missed"] == {"overrun": 4}
    assert figures["unrecorded"] == 3
    assert figures["gate"] == {"passed": 80, "rejected": 19, "not_driven": 1}
    assert figures["latency_ms"]["verdict"]["max"] == 107.0
    assert figures["latency_ms"]["verdict"]["p50"] == pytest.approx(57.5)


def test_a_range_holds_what_was_triggered_in_it(journal, capsys):
    def parts(*span):
        return json.loads(report(capsys, "--journal", journal, "--json", *span)[1])["parts"]

    two_hours_ago = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() - 7200))
    assert parts("--last", "1d") == 107
    assert parts("--since", two_hours_ago) == 100
    assert parts("--since", "2020-01-01", "--until", two_hours_ago) == 7
    assert parts("--since", "2020-01-01", "--until", "2021-01-01") == 0


def test_for_people_it_names_what_to_look_for(journal, capsys):
    code, out = report(capsys, "--journal", journal)
    assert code == 0
    for words in ("fault: bad", "missed: overrun", "NOT DRIVEN", "the books balance", "record_error"):
        assert words in out
    listed = out[out.rindex("look for these labels") :]
    assert re.search(r"│ 90 +│ .* │ bad +│ 4 ms +│", listed)


def test_each_label_to_look_for_is_listed_with_what_is_known_of_it(journal, capsys):
    _, out = report(capsys, "--journal", journal, "--json")
    (label,) = json.loads(out)["not_driven"]
    assert (label["id"], label["verdict"], label["class"], label["gate_lateness_us"]) == (90, "fault", "bad", 4000)


def test_for_a_recall_every_part_has_a_row(journal, capsys):
    _, out = report(capsys, "--journal", journal, "--csv", "--last", "1d")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 107
    assert rows[-1]["reason"] == "overrun"
    assert {(row["engine_name"], row["engine_hash"]) for row in rows} == {("toy", "ab" * 32)}


def test_an_empty_range_is_no_error(journal, capsys):
    code, out = report(capsys, "--journal", journal, "--since", "2020-01-01", "--until", "2021-01-01")
    assert code == 0
    assert "triggers" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--last", "1fortnight"], "--last 1fortnight: is no span"),
        (["--since", "yesterday"], "--since yesterday: is no ISO 8601 time"),
        (["--since", "2026-01-02", "--until", "2026-01-01"], "must be later"),
    ],
)
def test_a_range_nobody_can_read(journal, capsys, arguments, words):
    assert main(["report", "--journal", str(journal), *arguments]) == 78
    assert words in capsys.readouterr().err


def test_a_journal_that_is_none(tmp_path, capsys):
    path = tmp_path / "journal.sqlite"
    assert main(["report", "--journal", str(path)]) == 74
    path.write_bytes(b"no database" * 1000)
    assert main(["report", "--journal", str(path)]) == 74
    assert str(path) in capsys.readouterr().err
