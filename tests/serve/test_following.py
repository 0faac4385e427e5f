"""Whoever follows the journal holds nothing in it, and says when it is another one."""

import shutil
import sqlite3
from contextlib import closing

import pytest

from inspectd.errors import JournalError
from inspectd.part import Fault
from inspectd.serve import following
from inspectd.serve.following import Follower, Place, is_alive
from tests.serve.conftest import BAD, Line


def test_between_two_calls_the_log_can_be_cut(line: Line) -> None:
    """A transaction would keep the log of the line's journal from being written back."""
    follower = Follower(line.facts.journal, Place("", 0))
    for _ in range(5):
        line.inspect(Fault(BAD))
    assert follower.news(3).has_more
    assert follower.session() is not None
    with closing(sqlite3.connect(line.facts.journal, isolation_level=None)) as connection:
        is_busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert not is_busy
    assert len([change for change in follower.news(500).changes if change.kind == "part"]) == 5 - 2
    follower.close()


def test_an_older_copy_of_the_journal_is_a_gap(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_AGAIN_S", 0)
    line.journal.close()
    copy = line.folder / "copy"
    shutil.copy(line.facts.journal, copy)
    line.open()
    follower = Follower(line.facts.journal, None)
    line.inspect(Fault(BAD))
    follower.news(500)
    reached = follower.place
    line.journal.close()
    for suffix in ("-wal", "-shm"):
        line.facts.journal.with_name(f"journal.sqlite{suffix}").unlink(missing_ok=True)
    copy.replace(line.facts.journal)
    with pytest.raises(JournalError, match="replaced by another file"):
        follower.news(500)
    news = follower.news(500)
    assert news.gap is not None
    assert (news.gap.reason, news.gap.after) == ("older_copy", reached)
    assert news.changes == []
    line.open()
    line.inspect(Fault(BAD))
    assert [change.kind for change in follower.news(500).changes if change.kind == "part"] == ["part"]
    follower.close()


def test_deleted_rows_are_a_gap_once(line: Line) -> None:
    follower = Follower(line.facts.journal, None)
    follower.news(500)
    parts = [line.inspect(Fault(BAD)) for _ in range(8)]
    line.journal.amend_image(parts[0], "image.png")
    line.journal.flush()
    with closing(sqlite3.connect(line.facts.journal)) as connection, connection:
        connection.execute("DELETE FROM parts WHERE id = ?", (parts[0],))
    news = [follower.news(2) for _ in range(6)]
    assert [each.gap.reason for each in news if each.gap is not None] == ["deleted"]
    assert news[0].gap is not None
    assert (news[0].gap.after, news[0].gap.numbers) == (news[0].begin, news[0].gap.up_to - news[0].begin.number)  # type: ignore[operator]
    assert sum(change.kind == "part" for each in news for change in each.changes) == 7
    follower.close()


def test_changes_come_again_after_going_back(line: Line) -> None:
    follower = Follower(line.facts.journal, None)
    follower.news(500)
    begin = follower.place
    line.inspect(Fault(BAD))
    first = follower.news(500).changes
    assert follower.news(500).changes == []
    follower.go_back(begin)
    assert [change.number for change in follower.news(500).changes] == [change.number for change in first]
    follower.close()


def test_a_line_that_has_ended_is_not_alive(line: Line) -> None:
    follower = Follower(line.facts.journal, None)
    session = follower.session()
    assert session is not None
    assert is_alive(session)
    assert not is_alive(session | {"alive_mono_ns": session["alive_mono_ns"] - 6 * 10**9})
    line.journal.close()
    ended = follower.session()
    assert ended is not None
    assert not is_alive(ended)
    follower.close()
    line.open()
