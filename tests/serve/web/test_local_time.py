"""Midnight, and the nights in which the clocks change: each label is in one shift and one day, and none is lost or counted twice."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from itertools import pairwise
from pathlib import Path

import pytest

from inspectd.part import Part
from inspectd.records.journal import Journal, JournalConfig
from inspectd.records.reading import open_for_reading
from inspectd.serve.web.live.figures import Look
from inspectd.serve.web.live.shifts import ns
from inspectd.serve.web.report import make_report, read_range
from inspectd.serve.web.site import Site
from tests.serve.web.conftest import STAGES, VERDICTS, Plant

NIGHTS = {"autumn": datetime(2025, 10, 26, 1, tzinfo=UTC), "spring": datetime(2026, 3, 29, 1, tzinfo=UTC)}
"""When the clocks change in Berlin."""
HOURS = {"autumn": 25, "spring": 23}
EVERY = timedelta(minutes=10)
SHIFTS = (time_of_day(2, 30), time_of_day(6), time_of_day(14), time_of_day(22))
"""The first one begins in the hour that comes twice, or never."""


@pytest.fixture(params=NIGHTS)
def night(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def line(plant: Plant, night: str, tmp_path: Path) -> Site:
    """One label every ten minutes, from a day and a half before to a day and a half after."""
    path = tmp_path / "journal.sqlite"
    journal = Journal.open(JournalConfig(path=path))
    journal.use_engine("toy", "0" * 64)
    for number, t_ns in enumerate(_triggers(night), 1):
        journal.append(Part(number, number, number, t_ns, number), VERDICTS[number % 3], STAGES)
    journal.close()
    config = plant.site.config.model_copy(update={"shifts": tuple(f"{each:%H:%M}" for each in SHIFTS)})
    return replace(plant.site, config=config, line=replace(plant.site.line, journal=path))


def _triggers(night: str) -> list[int]:
    first = NIGHTS[night] - timedelta(hours=36)
    return [round((first + number * EVERY).timestamp()) * 10**9 for number in range(72 * 6)]


@pytest.mark.parametrize("span", ["shift", "day", "week"])
def test_reports_that_follow_each_other_count_each_label_once(line: Site, night: str, span: str) -> None:
    triggers = _triggers(night)
    at = datetime.fromtimestamp(triggers[0] / 1e9) - timedelta(days=1)
    counted, edges = 0, []
    while at < datetime.fromtimestamp(triggers[-1] / 1e9) + timedelta(days=1):
        report = make_report(line, read_range({"span": span, "at": at.isoformat()}, SHIFTS, at))
        counted += report.rejects.parts
        assert sum(each.parts for each in report.intervals) == report.rejects.parts == report.summary.triggers
        edges.append((report.range.since, report.range.until))
        at = report.range.until
    assert counted == len(triggers)
    assert all(first[1] == second[0] for first, second in pairwise(edges))


def test_the_day_of_the_change_has_its_own_length(line: Site, night: str) -> None:
    day = NIGHTS[night].date()
    report = make_report(line, read_range({"span": "day", "at": f"{day}T12:00"}, SHIFTS, datetime.now()))
    assert report.rejects.parts == HOURS[night] * 6


def test_the_line_page_counts_since_midnight_and_since_the_shift_began(
    line: Site, night: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    triggers = _triggers(night)
    with closing(open_for_reading(line.line.journal)) as connection:
        look = Look(connection, SHIFTS)
        before = -1
        for minutes in range(-6 * 60, 9 * 60, 7):
            now = NIGHTS[night] + timedelta(minutes=minutes)
            now_ns = round(now.timestamp()) * 10**9
            monkeypatch.setattr("inspectd.serve.web.live.figures.time.time_ns", lambda now_ns=now_ns: now_ns)
            figures = look.figures(within_s=10)
            local = datetime.fromtimestamp(now.timestamp())
            midnight_ns = ns(datetime.combine(local.date(), time_of_day()))
            until = [each for each in triggers if each < now_ns + 60 * 10**9]
            assert figures.today.parts == sum(each >= midnight_ns for each in until)
            assert figures.shift.parts == sum(each >= ns(figures.shift_since) for each in until)
            assert sum(parts for parts, _ in figures.groups) == figures.shift.parts
            assert ns(figures.shift_since) <= now_ns < ns(figures.shift_since) + 13 * 3600 * 10**9
            assert ns(figures.shift_since) >= before, "a shift that is over does not come back"
            before = ns(figures.shift_since)
