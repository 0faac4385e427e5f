"""The change feed: a follower that applies all changes has the rows of the journal."""

import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspectd.control.requester import Requester
from inspectd.errors import JournalError
from inspectd.gate.outcome import Outcome
from inspectd.records.feed import Change, Feed
from inspectd.records.housekeeping import Housekeeper
from inspectd.records.journal import Journal, JournalConfig
from inspectd.records.reading import open_for_reading
from tests.records.journals import make_journal
from tests.records.test_journal import FAULT, PASS, RIGHT_LOT, STAGES, WRONG, WRONG_DATE, open_journal, part

TABLES = {"part": "parts", "stop": "stops", "outage": "outages", "session": "sessions"}
ANNA = Requester("anna", 1000, 4711)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def table_rows(path: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """What a complete follower must have: all rows, by kind and id."""
    with closing(open_for_reading(path)) as connection:
        found = {
            (kind, row["id"]): dict(row)
            for kind, table in TABLES.items()
            for row in connection.execute(f"SELECT * FROM {table}")
        }
        for (kind, key), row in found.items():
            del row["change"]
            if kind == "part":
                row["texts"] = list(
                    map(dict, connection.execute("SELECT * FROM texts WHERE part = ? ORDER BY field", (key,)))
                )
                sql = "SELECT name, hash FROM engines WHERE id = ?"
                row["engine_name"], row["engine_hash"] = connection.execute(sql, (row["engine"],)).fetchone()
    return found


class Follower:
    """Applies changes as a page or a bridge does."""

    def __init__(self, path: Path) -> None:
        self.feed = Feed(path)
        self.rows: dict[tuple[str, int], dict[str, Any]] = {}
        self.numbers: list[int] = []

    def read(self, limit: int) -> list[Change]:
        changes = self.feed.after(self.numbers[-1] if self.numbers else 0, limit)
        assert len(changes) <= limit
        self.numbers += [change.number for change in changes]
        self.rows.update({(change.kind, change.row["id"]): change.row for change in changes})
        return changes


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "pass",
                "fault",
                "wrong text",
                "recorded",
                "outcome",
                "image",
                "stop",
                "acknowledge",
                "outage",
                "outage over",
                "write",
                "restart",
                "read",
                "read",
            ]
        ),
        st.integers(1, 5),
    ),
    max_size=40,
)


def act(journal: Journal, action: str, number: int) -> None:
    newest = max(1, journal.next_part_id - 1)
    amended = max(1, newest - number + 1)
    match action:
        case "pass" | "fault" | "wrong text":
            verdict, texts = {"pass": (PASS, [RIGHT_LOT]), "fault": (FAULT, []), "wrong text": (WRONG, [WRONG_DATE])}[
                action
            ]
            journal.append(part(journal.next_part_id), verdict, STAGES, texts)
            journal.next_part_id += 1
        case "recorded":
            journal.amend_recorded(amended, number)
        case "outcome":
            journal.amend_outcome(
                amended, (Outcome.PASSED, Outcome.REJECTED_LATE, Outcome.NOT_DRIVEN)[number % 3], number
            )
        case "image":
            journal.amend_image(amended, f"/archive/{number}.png")
        case "stop":
            journal.stop_begin("too_many_rejects")
        case "acknowledge":
            journal.stops_acknowledged(ANNA, ["too_many_rejects"])
        case "outage":
            journal.outage_begin("camera", "the camera gave no frames")
        case "outage over":
            journal.outage_end("camera")
        case "write":
            journal.flush()


@settings(max_examples=25, deadline=None)
@given(ACTIONS)
def test_a_follower_misses_nothing_whatever_is_written_between_its_reads(tmp_path_factory, actions):
    path = tmp_path_factory.mktemp("feed") / "journal.sqlite"
    journal = open_journal(path, synchronous="normal")
    follower = Follower(path)
    for action, number in actions:
        if action == "read":
            follower.read(limit=number)
        elif action == "restart":
            journal.close()
            journal = open_journal(path)
        else:
            act(journal, action, number)
    journal.close()
    while follower.read(limit=7):
        pass
    follower.feed.close()
    assert follower.rows == table_rows(path)
    assert all(earlier < later for earlier, later in zip(follower.numbers, follower.numbers[1:], strict=False))


def test_a_follower_that_reads_only_on_news_misses_nothing_while_the_line_writes(path):
    journal = open_journal(path, busy_timeout_ms=1000)
    follower = Follower(path)

    def write() -> None:
        for number in range(1, 301):
            journal.append(part(number), PASS, STAGES, [RIGHT_LOT])
            journal.amend_outcome(number, Outcome.REJECTED_LATE, 9)
        journal.close()

    writer = threading.Thread(target=write)
    writer.start()
    with Housekeeper(JournalConfig(path=path)):
        is_over = False
        while not is_over:
            is_over = not writer.is_alive()
            if follower.feed.has_news():
                while follower.read(limit=50):
                    pass
    follower.feed.close()
    assert follower.rows == table_rows(path)
    assert len(follower.rows) == 301


def test_a_pass_that_becomes_missed_comes_again_with_a_higher_number(path):
    journal = open_journal(path)
    journal.append(part(1), PASS, STAGES, [RIGHT_LOT])
    with closing(Feed(path)) as feed:
        first = feed.after(0)[-1]
        assert (first.kind, first.row["verdict"], first.row["engine_name"]) == ("part", "pass", "toy")
        assert [text["found"] for text in first.row["texts"]] == ["LOT 7482-01"]
        journal.amend_outcome(1, Outcome.REJECTED_LATE, 900)
        journal.append(part(2), PASS, STAGES)
        again, second = feed.after(first.number)
        assert (again.row["id"], again.row["verdict"], again.row["reason"]) == (1, "missed", "late")
        assert (second.row["id"], second.number) == (2, feed.newest())
        assert feed.after(second.number) == []
    journal.close()


def test_news_is_said_once(path):
    journal = open_journal(path)
    with closing(Feed(path)) as feed:
        feed.has_news()
        assert not feed.has_news()
        journal.append(part(1), PASS, STAGES)
        assert feed.has_news()
        assert not feed.has_news()
    journal.close()


def test_numbers_are_never_used_again(path):
    journal = open_journal(path)
    for number in range(1, 4):
        journal.append(part(number), PASS, STAGES)
    journal.amend_recorded(1, 500)
    journal.append(part(4), PASS, STAGES)
    with closing(Feed(path)) as feed, closing(sqlite3.connect(path, isolation_level=None)) as connection:
        newest = feed.newest()
        Housekeeper(JournalConfig(path=path, keep_days=1)).retain(connection)
        connection.execute("DELETE FROM texts")
        connection.execute("DELETE FROM parts")
        assert feed.newest() == newest
        assert [change.kind for change in feed.after(0)] == ["session"]
        journal.append(part(5), PASS, STAGES)
        assert [change.number > newest for change in feed.after(newest)] == [True]
    journal.close()


def test_a_follower_holds_no_transaction_between_its_calls(path):
    """Or the log could not begin again at its start, and would grow."""
    journal = open_journal(path)
    journal.append(part(1), PASS, STAGES)
    with closing(Feed(path)) as feed, closing(sqlite3.connect(path)) as other:
        assert feed.has_news()
        assert feed.after(0)
        with pytest.raises(JournalError):
            feed.after(0, limit=[])  # type: ignore[arg-type]
        journal.append(part(2), PASS, STAGES)
        blocked, pages, written = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert (blocked, pages, written) == (0, 0, 0)
    journal.close()


def test_a_feed_is_refused_in_words(path, tmp_path):
    with pytest.raises(JournalError, match="No such file"):
        Feed(path)
    path.write_bytes(b"")
    with pytest.raises(JournalError, match="is empty"):
        Feed(path)
    path.unlink()
    make_journal(path)
    for version, words in ((5, "start the line with it once"), (99, "has schema 99")):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA user_version = {version}")
        with pytest.raises(JournalError, match=words):
            Feed(path)


@pytest.mark.parametrize("asks", [Feed.has_news, Feed.newest, lambda feed: feed.after(0)])
def test_a_journal_that_was_moved_or_replaced_is_noticed(path, asks):
    make_journal(path)
    with closing(Feed(path)) as feed:
        first = feed.journal
        path.rename(path.with_name("aside"))
        with pytest.raises(JournalError, match="No such file"):
            asks(feed)
        make_journal(path)
        with pytest.raises(JournalError, match="replaced by another file"):
            asks(feed)
    with closing(Feed(path)) as feed:
        assert feed.journal != first


def test_an_older_copy_in_the_same_file_is_noticed(path):
    journal = open_journal(path)
    with closing(Feed(path)) as feed, closing(sqlite3.connect(path)) as connection:
        journal.append(part(1), PASS, STAGES)
        feed.newest()
        with connection:
            connection.execute("UPDATE parts SET change = change - 1")
        with pytest.raises(JournalError, match="older copy"):
            feed.after(0)
    journal.close()


_FOLLOW_AS_NOBODY = """
import os, sys
from pathlib import Path
from inspectd.records.feed import Feed
os.setgroups([]), os.setgid(int(sys.argv[2])), os.setuid(65534)
feed = None
for line in sys.stdin:
    feed = feed or Feed(Path(sys.argv[1]))
    print(feed.has_news(), [change.row["id"] for change in feed.after(0) if change.kind == "part"], flush=True)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_user_who_may_only_read_the_files_can_follow_them():
    """As the page does, before, while and after the line runs. It can't make the files of the log."""
    group = 60_001
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chown(folder, 0, group)
        folder.chmod(0o750)
        path = folder / "journal.sqlite"
        path.touch()
        os.chown(path, 0, group)
        path.chmod(0o640)
        fill(path, 1).close()
        for each in folder.iterdir():
            assert each.stat().st_mode & 0o777 == 0o640
        command = [sys.executable, "-c", _FOLLOW_AS_NOBODY, str(path), str(group)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as follower:
            assert follower.stdin is not None
            assert follower.stdout is not None

            def says() -> str:
                print(file=follower.stdin, flush=True)
                return follower.stdout.readline().strip()

            assert says() == "True [1]"
            journal = fill(path, 1)
            assert says() == "True [1, 2]"
            assert says() == "False [1, 2]"
            journal.append(part(3), PASS, STAGES)
            assert says() == "True [1, 2, 3]"
            journal.close()
            assert says() == "True [1, 2, 3]"
            fill(path, 1).close()
            assert says() == "True [1, 2, 3, 4]"
            follower.stdin.close()


def test_a_follower_loads_little():
    """Each page, bridge or script that follows the line has its own process, on the line's machine."""
    heavy = ("cv2", "PIL", "rich", "pydantic", "structlog", "asyncio", "onnxruntime")
    script = (
        f"import sys, inspectd.records.feed; sys.exit(', '.join(each for each in {heavy} if each in sys.modules) or 0)"
    )
    ended = subprocess.run([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def fill(path: Path, count: int) -> Journal:
    journal = open_journal(path)
    for number in range(journal.next_part_id, journal.next_part_id + count):
        journal.append(part(number), PASS, STAGES)
    return journal
