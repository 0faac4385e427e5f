"""The events that pages follow, from a real server at a real port."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx2
import pytest

from inspectd.records.journal import Journal, JournalConfig
from inspectd.serve.web.access.roles import Role
from inspectd.serve.web.live import clients
from inspectd.serve.web.live.clients import Clients
from inspectd.serve.web.live.poller import Live
from tests.serve.web.conftest import VERDICTS, login_fields, serving, write_parts


@contextmanager
def _follow(address: str, last_id: str | None = None) -> Iterator[Iterator[dict]]:
    """The events of one connection: their data, with `event` and `id`."""
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    with httpx2.Client(base_url=address, timeout=10) as client:
        client.post("/login", data=login_fields(Role.VIEWER, client.get("/login").text))
        with client.stream("GET", "/events", headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["x-accel-buffering"] == "no"
            yield _parsed(answer.iter_lines())


def _parsed(lines: Iterator[str]) -> Iterator[dict]:
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            data = json.loads(fields["data"])
            yield {
                **(data if isinstance(data, dict) else {"said": data}),
                "event": fields["event"],
                "id": fields.get("id"),
            }
            fields = {}


def _until(events: Iterator[dict], part: int) -> list[int]:
    """The rejected parts that were sent, up to `part`."""
    sent: list[int] = []
    for event in events:
        assert event["problem"] is None
        sent += [each for each, _ in event["rejects"]]
        if part in sent:
            return sent
    raise AssertionError("the stream has ended")


def _rejected(first: int, last: int) -> list[int]:
    """The rejected ones of these parts, as `write_parts` repeats the verdicts."""
    return [part for part in range(first, last + 1) if VERDICTS[(part - 1) % len(VERDICTS)].word != "pass"]


def test_a_reject_comes_at_once_and_a_page_that_was_away_misses_none(plant, served):
    with _follow(served) as events:
        state = next(events)
        assert state["event"] == "state"
        assert {"top-line", "picture", "verdict", "figures", "causes"} <= state["fragments"].keys()
        begin = plant.journal.next_part_id
        plant.inspect(7)
        _until(events, begin + 6)
    plant.inspect(14)  # nobody looks
    with _follow(served, last_id=state["id"]) as events:
        again = next(events)
        now = plant.journal.next_part_id
        plant.inspect(7)
        sent = [part for part, _ in again["rejects"]] + _until(events, now + 6)
    assert again["id"].partition("-")[0] == state["id"].partition("-")[0]
    assert int(again["id"].partition("-")[2]) > int(state["id"].partition("-")[2])
    assert set(_rejected(begin, now + 6)) <= set(sent)


def test_a_journal_that_takes_the_place_of_another_is_followed(plant, tmp_path):
    path = tmp_path / "journal.sqlite"
    journal = Journal.open(JournalConfig(path=path))
    journal.use_engine("toy", "0" * 64)
    write_parts(journal, tmp_path, 6)
    site = replace(plant.site, line=replace(plant.site.line, journal=path))
    with serving(site) as address, _follow(address) as events:
        first = next(events)
        journal.close()
        path.unlink()
        lost = next(event for event in events if event["problem"])
        assert str(path) in lost["problem"]
        assert lost["has_values"]
        journal = Journal.open(JournalConfig(path=path))
        journal.use_engine("toy", "0" * 64)
        write_parts(journal, tmp_path, 3)
        new = next(event for event in events if event["event"] == "state")
        journal.close()
    assert new["problem"] is None
    assert [part for part, _ in new["rejects"]] == _rejected(1, 3)
    assert new["id"].partition("-")[0] != first["id"].partition("-")[0]


def test_a_page_too_many_is_refused_in_words(served, monkeypatch):
    monkeypatch.setattr(clients, "LIMIT", 1)
    with _follow(served) as events:
        next(events)
        with _follow(served) as others:
            assert "pages are open" in next(others)["said"]


def test_one_computer_can_not_take_all_places(monkeypatch):
    monkeypatch.setattr(clients, "LIMIT", 3)

    async def scenario() -> None:
        pages = Clients()
        oldest, *others = [pages.join("10.0.0.1") for _ in range(3)]
        assert pages.join("10.0.0.1") is None
        assert pages.join("10.0.0.2") is not None
        assert oldest.queue.get_nowait() is None
        assert all(each.queue.empty() for each in others)
        assert len(pages) == 3
        assert pages.join("10.0.0.2") is None  # no computer has two more than this one

    asyncio.run(scenario())


def test_somebody_without_a_login_gets_no_events(client):
    assert client(None).get("/events").status_code == 303


def test_a_page_that_does_not_read_is_sent_away_and_holds_no_memory():
    async def scenario() -> tuple[int, object]:
        pages = Clients()
        slow = pages.join("10.0.0.1")
        for number in range(1000):
            pages.publish(f"{number}".encode())
        await asyncio.sleep(0)
        return slow.queue.qsize(), slow.queue.get_nowait()

    assert asyncio.run(scenario()) == (1, None)


def test_a_journal_that_does_not_exist_is_said_and_awaited(plant, tmp_path):
    live = Live(
        replace(plant.site.line, journal=tmp_path / "none.sqlite"), plant.site.config.shift_begins, plant.site.reviews
    )
    try:
        assert live.ready.wait(5)
        assert "none.sqlite" in live.fragments["first-steps"]
    finally:
        live.close()


@pytest.mark.parametrize("count", [0, 3])
def test_the_first_minute_says_what_to_do_next(plant, tmp_path, count):
    journal = Journal.open(JournalConfig(path=tmp_path / "journal.sqlite"))
    journal.use_engine("toy", "0" * 64)
    write_parts(journal, tmp_path, count)
    live = Live(
        replace(plant.site.line, journal=tmp_path / "journal.sqlite"),
        plant.site.config.shift_begins,
        plant.site.reviews,
    )
    try:
        assert live.ready.wait(5)
        assert ("Let one label pass the camera" in live.fragments["first-steps"]) == (count == 0)
    finally:
        live.close()
        journal.close()
