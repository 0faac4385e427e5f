"""Reports: the range, the figures, and what is said loudly."""

import sqlite3
from contextlib import closing
from datetime import datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.serve.web.access.roles import Role
from inspectd.serve.web.report import SPANS, make_report, read_range

SHIFTS = (time(6), time(14), time(22))
NOW = datetime(2026, 11, 28, 15, 30)


def _week(plant):
    return make_report(plant.site, read_range({"span": "week"}, SHIFTS, datetime.now()))


@pytest.mark.parametrize(
    ("query", "since", "until"),
    [
        ({}, datetime(2026, 11, 28, 14), datetime(2026, 11, 28, 22)),
        ({"span": "shift", "at": "2026-11-28T02:00"}, datetime(2026, 11, 27, 22), datetime(2026, 11, 28, 6)),
        ({"span": "day"}, datetime(2026, 11, 28), datetime(2026, 11, 29)),
        ({"span": "week"}, datetime(2026, 11, 23), datetime(2026, 11, 30)),
        ({"span": "range", "from": "2026-11-01", "to": "2026-11-02"}, datetime(2026, 11, 1), datetime(2026, 11, 3)),
    ],
)
def test_the_range_is_what_the_address_asks_for(query, since, until):
    asked = read_range(query, SHIFTS, NOW)
    assert (asked.since, asked.until) == (since, until)


@given(
    st.dictionaries(st.sampled_from(["span", "at", "from", "to"]), st.text() | st.sampled_from([*SPANS, "9999-12-31"]))
)
def test_any_address_gives_a_range_or_a_sentence(query):
    try:
        asked = read_range(query, SHIFTS, NOW)
    except ValueError as error:
        said = str(error)
    else:
        said = ""
        assert timedelta() < asked.until - asked.since <= timedelta(days=367)
    assert said == "" or "must" in said or "allowed" in said


def test_a_wrong_range_is_refused_in_words(client):
    answer = client(Role.VIEWER).get("/reports?span=range&from=2026-11-28&to=2026-11-01")
    assert answer.status_code == 400
    assert "not before it" in answer.text


def test_every_label_is_counted_once(plant):
    report = _week(plant)
    summary = report.summary
    assert sum(each.parts for each in report.intervals) == summary.triggers == report.rejects.parts
    assert report.rejects.rejected == summary.triggers - summary.passed > 0
    assert sum(each.rejected for each in report.intervals) == report.rejects.rejected


def test_false_rejects_are_those_that_all_reviewers_call_good(plant):
    with closing(sqlite3.connect(plant.site.line.journal)) as connection:
        labels = connection.execute(
            "SELECT id, t_utc_ns, image FROM parts WHERE verdict <> 'pass' AND image IS NOT NULL LIMIT 4"
        ).fetchall()
    before = _week(plant).false_rejects
    reviews = plant.site.reviews()
    for (part, t_utc_ns, photo), says in zip(
        labels, ("no_fail", "fail_label_half_printed", "no_fail", "unknown"), strict=True
    ):
        reviews.decide(part, says, "anna", photo=photo, t_trigger_utc_ns=t_utc_ns)
    part, t_utc_ns, photo = labels[2]
    reviews.decide(part, "unknown", "berta", photo=photo, t_trigger_utc_ns=t_utc_ns)  # they disagree
    found = _week(plant).false_rejects
    assert (found.wrong - before.wrong, found.reviewed - before.reviewed) == (1, 3)
    low, high = found.bounds
    assert low < found.wrong / found.reviewed < high


def test_the_page_has_the_figures_as_words_and_tables(client):
    page = client(Role.VIEWER).get("/reports?span=week").text
    for words in ("Yield", "control limits", "Label half printed", "Wrong characters", "The books balance"):
        assert words in page, words
    assert client(None).get("/reports").status_code == 303


def test_books_that_do_not_balance_are_said_loudly(client, plant):
    page = client(Role.VIEWER).get("/reports?span=week").text
    assert "do not balance" not in page
    with closing(sqlite3.connect(plant.site.line.journal)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("DELETE FROM parts WHERE id = 20")
        connection.commit()
    page = client(Role.VIEWER).get("/reports?span=week").text
    assert 'role="alert"><h2><span class="shape" aria-hidden="true">■</span> The books do not balance' in page
    assert "1 part numbers have no record" in page


def test_a_range_without_labels_says_so(client):
    assert "No labels in this range" in client(Role.VIEWER).get("/reports?span=day&at=2020-01-01T00:00").text
