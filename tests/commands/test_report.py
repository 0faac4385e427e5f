"""The report says what the journal holds, to people, to machines, and for a recall."""

import csv
import io
import json
import re
import sqlite3
import time
from contextlib import closing

import pytest

from inspectd.cli import main
from inspectd.control.requester import SIGHUP, Requester
from inspectd.gate.outcome import Outcome
from inspectd.part import (
    Anomaly,
    Fault,
    FieldCheck,
    Missed,
    MissedReason,
    Part,
    Pass,
    Scores,
    Uncertain,
    WrongCharacter,
)
from inspectd.records.journal import Journal, JournalConfig, Stages

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
        (["--last", "1fortnight"], "--last 1fortnight: is not a time span"),
        (["--since", "yesterday"], "--since yesterday: is not an ISO 8601 time"),
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


def delete(path, where):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"DELETE FROM {where}")
        connection.commit()


@pytest.mark.parametrize(
    ("where", "lost"),
    [
        ("parts WHERE id BETWEEN 50 AND 60", 11),
        ("parts WHERE id > 100", 7),
        ("parts WHERE id BETWEEN 8 AND 9", 2),
        ("parts WHERE id > 7", 100),
        ("parts", 107),
    ],
)
def test_rows_that_somebody_deleted_are_missed(journal, capsys, where, lost):
    delete(journal, where)
    code, out = report(capsys, "--journal", journal, "--json")
    figures = json.loads(out)
    assert code == 1
    assert (figures["books_balance"], figures["accounts"]["lost"]) == (False, lost)
    code, out = report(capsys, "--journal", journal)
    assert code == 1
    assert "THE BOOKS DO NOT BALANCE" in out
    assert f"{lost} part numbers have no record" in out


def test_rows_deleted_outside_the_range_are_no_matter_of_it(journal, capsys):
    delete(journal, "parts WHERE id BETWEEN 2 AND 3")
    assert report(capsys, "--journal", journal)[0] == 0
    assert report(capsys, "--journal", journal, "--last", "1d")[0] == 1


@pytest.fixture
def other(tmp_path):
    path = tmp_path / "other.sqlite"
    journal = Journal.open(JournalConfig(path=path))
    journal.use_engine("toy", "ab" * 32)
    return journal, path


BAD = Fault(Scores(("bad", "good"), (0.9, 0.1)))
STAGES = Stages(acquire_us=1, queue_us=1, verdict_us=1)


def record(journal, number, verdict=BAD, stages=STAGES):
    now_ns = time.monotonic_ns()
    journal.append(Part(number, number, now_ns, time.time_ns(), now_ns), verdict, stages)


@pytest.fixture
def guarded(other):
    """3 labels that the guard stopped, 1 with a low certainty, 1 good one; the guard took 2 ms for each but the second last."""
    journal, path = other
    good = Scores(("bad", "good"), (0.1, 0.9))
    found = [Anomaly("print", (120, 80, 24, 16), 1.75), Anomaly("turned", (90, 60, 400, 200), 1.2)]
    verdicts = [*(Uncertain(good, each) for each in (*found, found[0])), Uncertain(good), Pass(good)]
    for number, verdict in enumerate(verdicts, 1):
        looked = verdict != Uncertain(good)
        record(journal, number, verdict, Stages(1, 1, 1, 1, 1, guard_us=2000 if looked else None))
        journal.amend_outcome(
            number, Outcome.PASSED if number == 5 else Outcome.NOT_DRIVEN if number == 1 else Outcome.REJECTED, 0
        )
    journal.close()
    return path


def test_anomalies_are_a_part_of_the_uncertain_parts_by_kind(guarded, capsys):
    code, out = report(capsys, "--journal", guarded, "--json")
    figures = json.loads(out)
    assert code == 0
    assert (figures["uncertain"], figures["anomalies"]) == (4, {"print": 2, "turned": 1})
    assert figures["books_balance"] is True
    assert figures["latency_ms"]["guard"]["max"] == 2.0
    assert figures["not_driven"][0]["reason"] == "anomaly"


def test_for_people_the_report_has_anomalies_and_the_guards_time(guarded, capsys):
    _, out = report(capsys, "--journal", guarded)
    for line in ("uncertain +│ 4 +│ 80.00%", "  anomaly: print +│ 2 +│ 40.00%", "  anomaly: turned +│ 1 +│ 20.00%"):
        assert re.search(f"│ {line}", out)
    assert re.search(r"│ guard +│ 2.00 │", out)
    assert "│ anomaly " in out[out.rindex("look for these labels") :]


def test_without_a_guard_the_report_shows_no_anomalies(journal, capsys):
    _, out = report(capsys, "--journal", journal)
    assert "anomaly" not in out
    assert re.search(r"│ guard +│ - +│", out)


def test_the_csv_has_the_columns_of_an_anomaly(guarded, capsys):
    rows = list(csv.DictReader(io.StringIO(report(capsys, "--journal", guarded, "--csv")[1])))
    columns = (
        "reason",
        "anomaly_kind",
        "anomaly_left",
        "anomaly_top",
        "anomaly_width",
        "anomaly_height",
        "anomaly_excess",
        "guard_us",
    )
    found = [tuple(row[column] for column in columns) for row in rows]
    assert found[0] == ("anomaly", "print", "120", "80", "24", "16", "1.75", "2000")
    assert found[3:] == [("",) * 8, ("",) * 7 + ("2000",)]


@pytest.mark.parametrize(("counted", "code"), [(3, 0), (4, 1), (2, 1)])
def test_the_lines_own_count_is_compared(other, capsys, counted, code):
    journal, path = other
    journal.count_triggers = lambda: counted
    record(journal, 1)
    record(journal, 2)
    journal.unrecorded(Part(3, 3, 3, time.time_ns(), 3))
    journal.close()
    assert report(capsys, "--journal", path)[0] == code


def test_rejects_that_the_gate_never_answered_are_looked_for_once_the_session_is_over(other, capsys):
    journal, path = other
    good = Pass(Scores(("bad", "good"), (0.1, 0.9)))
    for number, verdict in enumerate((BAD, good, BAD, Missed(MissedReason.LATE)), 1):
        record(journal, number, verdict)
    journal.amend_outcome(1, Outcome.REJECTED, 0)
    journal.flush()

    def looked_for():
        labels = json.loads(report(capsys, "--journal", path, "--json")[1])["not_driven"]
        return [(label["id"], label["why"]) for label in labels]

    assert looked_for() == [], "they are in flight"
    journal._connection.close()  # the line is killed
    Journal.open(JournalConfig(path=path))
    assert looked_for() == [(3, "the gate never answered"), (4, "the gate never answered")]
    assert json.loads(report(capsys, "--journal", path, "--json")[1])["unconfirmed_passes"] == 1
    out = report(capsys, "--journal", path)[1]
    assert "the gate never answered" in out[out.rindex("look for these labels") :].replace("\n", " ")


def test_a_session_that_was_killed_and_never_followed_is_over_too(other, capsys):
    journal, path = other
    record(journal, 1)
    journal._connection.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE sessions SET alive_mono_ns = alive_mono_ns - 10000000000")
        connection.commit()
    labels = json.loads(report(capsys, "--journal", path, "--json")[1])["not_driven"]
    assert [label["id"] for label in labels] == [1]


def test_lost_images_and_notes_are_reported(other, capsys):
    journal, path = other
    record(journal, 1)
    journal.image_lost()
    journal.amend_image(1, "\ud800")
    journal.close()
    out = report(capsys, "--journal", path)[1]
    assert "1 images were dropped" in out
    assert "1 outcomes, durations or image names could not be recorded" in out


def test_an_outage_that_began_before_the_range_and_is_open_is_shown(other, capsys):
    journal, path = other
    journal.outage_begin("camera", "[/red] no such tag")
    record(journal, 1)
    journal.flush()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE outages SET t_from_utc_ns = t_from_utc_ns - ?", (5 * HOUR_NS,))
        connection.commit()
    out = report(capsys, "--journal", path)[1]
    assert "camera" in out
    assert "open" in out


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_of_the_csv_is_a_formula(other, capsys, name):
    journal, path = other
    record(journal, 1, Fault(Scores((name, "good"), (0.9, 0.1))))
    journal.amend_outcome(1, Outcome.REJECTED, -5)
    journal.close()
    (row,) = csv.DictReader(io.StringIO(report(capsys, "--journal", path, "--csv")[1], newline=""))
    assert row["class"] == "'" + name
    assert row["gate_lateness_us"] == "-5", "numbers stay numbers"


def test_a_csv_longer_than_a_page(other, capsys):
    journal, path = other
    for number in range(1, 2502):
        record(journal, number)
    journal.close()
    rows = list(csv.DictReader(io.StringIO(report(capsys, "--journal", path, "--csv")[1])))
    assert [int(row["id"]) for row in rows] == list(range(1, 2502))


@pytest.mark.parametrize("span", [["--last", "999999999999d"], ["--since", "0001-01-01"], ["--last", "99999d"]])
def test_a_range_beyond_all_records(journal, capsys, span):
    assert main(["report", "--journal", str(journal), *span, "--json"]) in (0, 78)


def test_a_label_that_was_neither_recorded_nor_driven_is_to_be_looked_for(tmp_path, capsys):
    journal = Journal.open(JournalConfig(path=tmp_path / "journal.sqlite"))
    journal.use_engine("toy", "ab" * 32)
    for number in (1, 2):
        journal.unrecorded(Part(number, number, time.monotonic_ns(), time.time_ns(), 0))
        for _ in range(2):
            journal.amend_outcome(number, Outcome.NOT_DRIVEN if number == 2 else Outcome.REJECTED, 0)
    journal.close()
    code, out = report(capsys, "--journal", tmp_path / "journal.sqlite", "--json")
    figures = json.loads(out)
    assert code == 0
    assert [(label["id"], label["why"]) for label in figures["not_driven"]] == [(2, "not driven")]
    assert [outage["kind"] for outage in figures["outages"]] == ["record_error"]
    _, out = report(capsys, "--journal", tmp_path / "journal.sqlite")
    assert "look for these labels" in out


@pytest.mark.parametrize("kind", ["camera", "output"])
def test_an_outage_ends_with_its_session(kind, tmp_path, capsys):
    """A line that is stopped while its camera is away is not without a camera for ever."""
    journal = Journal.open(JournalConfig(path=tmp_path / "journal.sqlite"))
    journal.outage_begin(kind, "gone")
    journal.close()
    _, out = report(capsys, "--journal", tmp_path / "journal.sqlite", "--json")
    (outage,) = json.loads(out)["outages"]
    assert outage["t_to_utc_ns"] is not None
    assert outage["duration_ns"] >= 0


def test_good_labels_that_met_a_stopped_belt_are_counted_as_such(other, capsys):
    journal, path = other
    good = Pass(Scores(("bad", "good"), (0.1, 0.9)))
    for number, outcome in enumerate((Outcome.PASSED, Outcome.REJECTED_STOPPED, Outcome.REJECTED_STOPPED), 1):
        record(journal, number, good)
        journal.amend_outcome(number, outcome, 0)
    journal.flush()
    rows = [line.replace("\u2502", " ").split() for line in report(capsys, "--journal", path)[1].splitlines()]
    assert ["missed:", "late", "2", "66.67%"] in rows
    assert ["late", "because", "run", "permit", "was", "off", "2", "66.67%"] in rows


def test_latched_stops_are_listed_with_who_acknowledged_them(tmp_path, capsys):
    path = tmp_path / "journal.sqlite"
    journal = Journal.open(JournalConfig(path=path))
    journal.stop_begin("reject_not_driven")
    journal.stops_acknowledged(Requester("[b]anna", 1000, 4711), ["reject_not_driven"])
    journal.stop_begin("too_many_rejects")
    journal.stops_acknowledged(SIGHUP, ["too_many_rejects"])
    journal.stop_begin("reject_unconfirmed")
    journal.flush()
    code, out = report(capsys, "--journal", path)
    assert code == 0
    listed = out[out.index("latched stops") :]
    assert re.search(r"│ reject_not_driven .* │ \[b\]anna \(uid +│", listed)
    assert re.search(r"│ too_many_rejects .* │ SIGHUP +│", listed)
    assert re.search(r"│ reject_unconf.* │ not acknowledged +│ +│", listed)
    stops = json.loads(report(capsys, "--journal", path, "--json")[1])["stops"]
    assert [stop["acknowledged_pid"] for stop in stops] == [4711, None, None]
    journal.close()


@pytest.mark.parametrize(("ends", "stops"), [(False, 1), (True, 0)])
def test_a_stop_that_began_before_the_range_is_shown_while_it_lasts(tmp_path, capsys, ends, stops):
    path = tmp_path / "journal.sqlite"
    journal = Journal.open(JournalConfig(path=path))
    journal.stop_begin("too_many_rejects")
    journal.flush()
    if ends:
        journal.close()
    time.sleep(1.1)
    since = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime())
    out = report(capsys, "--journal", path, "--since", since, "--json")[1]
    assert len(json.loads(out)["stops"]) == stops
    if not ends:
        journal.close()


def check(field, reason=None, *, found="right", worst=None):
    return FieldCheck(field, reason, ("right",), "given", found, 1.0, (1, 2, 3, 4), worst)


@pytest.fixture
def with_texts(other):
    """A right label, three with a wrong date (two of them in the same character), and one whose lot nobody has given."""
    journal, path = other
    good = Scores(("bad", "good"), (0.1, 0.9))
    wrong = [
        check("date", "text_wrong", found="24.11.2026", worst=WrongCharacter(1, "5", "4")),
        check("date", "text_wrong", found="24.11.2026", worst=WrongCharacter(1, "5", "4")),
        check("date", "text_wrong", found="25.11.206", worst=WrongCharacter(8, "2", "")),
    ]
    unknown = FieldCheck("lot", "text_not_expected", (), "nobody has given a lot", "", None, (1, 2, 3, 4))
    story = [
        (Pass(good), [check("date", found="25.11.2026"), check("lot", found="=7481")]),
        *((Fault(good, text), [text, check("lot")]) for text in wrong),
        (Uncertain(good, text=unknown), [check("date"), unknown]),
    ]
    for number, (verdict, texts) in enumerate(story, 1):
        now_ns = time.monotonic_ns()
        stages = Stages(1, 1, 1, 1, 1, 1, text_us=3000)
        journal.append(Part(number, number, now_ns, time.time_ns(), now_ns), verdict, stages, texts)
        journal.amend_outcome(number, Outcome.PASSED if number == 1 else Outcome.REJECTED, 0)
    journal.close()
    return path


def test_wrong_texts_are_counted_by_field_and_by_character(with_texts, capsys):
    code, out = report(capsys, "--journal", with_texts, "--json")
    figures = json.loads(out)
    assert (code, figures["books_balance"]) == (0, True)
    assert (figures["passed"], figures["faults"]) == (1, {"text_wrong": 3})
    assert (figures["uncertain"], figures["not_expected"]) == (1, 1)
    assert figures["texts"] == {"date": {"right": 2, "text_wrong": 3}, "lot": {"right": 4, "text_not_expected": 1}}
    assert figures["wrong_characters"] == [
        {"field": "date", "character": 1, "expected": "5", "found": "4", "parts": 2},
        {"field": "date", "character": 8, "expected": "2", "found": "", "parts": 1},
    ]
    assert figures["latency_ms"]["text"]["max"] == 3.0


def test_for_people_the_report_has_the_texts_by_field(with_texts, capsys):
    _, out = report(capsys, "--journal", with_texts)
    assert re.search(r"│ fault: text_wrong +│ 3 +│ 60.00%", out)
    assert re.search(r"│   text_not_expected +│ 1 +│ 20.00%", out)
    assert re.search(r"│ date +│ 5 +│ 2 +│ 3 +│ +│", out)
    assert re.search(r"│ date +│ 2 +│ 5 +│ 4 +│ 2 +│", out)
    assert re.search(r"│ date +│ 9 +│ 2 +│ nothing +│ 1 +│", out)


def test_without_texts_the_report_shows_none(journal, capsys):
    _, out = report(capsys, "--journal", journal)
    assert "text_" not in out
    assert "by field" not in out


def test_the_csv_says_what_each_label_said(with_texts, capsys):
    rows = list(csv.DictReader(io.StringIO(report(capsys, "--journal", with_texts, "--csv")[1])))
    assert [row["texts"] for row in rows] == [
        "date: 25.11.2026; lot: =7481",
        *["date: 24.11.2026 (text_wrong); lot: right"] * 2,
        "date: 25.11.206 (text_wrong); lot: right",
        "date: right; lot:  (text_not_expected)",
    ]
