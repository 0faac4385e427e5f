"""Publishes each change of the journal, and the state of the line, to the broker.

The place in the journal up to which the broker has acknowledged everything is kept in a file. After a lost connection or a restart
the bridge goes on there, so that each change arrives at least once.
"""

import json
import random
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import structlog

from inspectd.errors import ConfigError, JournalError
from inspectd.files.atomic_write import atomic_write
from inspectd.files.json_file import read_json
from inspectd.serve.following import Follower, Gap, News, Place
from inspectd.serve.line_facts import LineFacts
from inspectd.serve.line_now import LineAsker
from inspectd.serve.mqtt.config import MqttConfig
from inspectd.serve.mqtt.connection import Connection, ConnectionFailed
from inspectd.serve.mqtt.messages import TOPICS, StateMessage, of_change, of_gap, of_state, utc

log = structlog.get_logger()

_LOOK_S = 0.05
_STATE_S = 1.0
_KEEP_S = 1.0
_SESSION_S = 60.0
_ANSWER_S = 30.0
"""A broker that acknowledges nothing for so long is asked over a new connection."""
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_LAST_WORDS_S = 1.0


class Bridge:
    """Call `turn` again and again, and then `close`. One thread."""

    def __init__(self, line: LineFacts, config: MqttConfig) -> None:
        self._line = line
        self._config = config
        self._client_id = config.broker.client_id or f"inspectd-{line.name}"
        self._topic = f"{config.prefix}/{level(line.name)}"
        self._kept = config.state / "place.json"
        self._place = _read_place(self._kept)
        self._kept_place = self._place
        self._follower = Follower(line.journal, self._place)
        self._asker = LineAsker(line, is_watched=lambda: True)
        self._connection: Connection | None = None
        self._sent: deque[tuple[int | None, Place]] = deque()
        """Messages on the way: the id under which the broker acknowledges it (None: needs no message), and the place after it."""
        self._acknowledged: set[int] = set()
        self._state: StateMessage | None = None
        self._session: tuple[object, ...] = ()
        self._problem: str | None = None
        self._journal_problem: str | None = None
        self._keep_problem: str | None = None
        self._pause_s = _FIRST_PAUSE_S
        self._allowed = 0.0
        self._has_more = False
        """The journal has changes that were not sent yet."""
        self._connect_s = self._look_s = self._state_s = self._keep_s = float("-inf")
        self._session_s = self._opened_s = self._answered_s = self._allowed_s = float("-inf")

    @property
    def said(self) -> str:
        """One line for `systemctl status`."""
        number = f"up to change {self._place.number}" if self._place is not None else "nothing yet"
        return f"{self._problem or 'connected'}; the broker has {number}"

    def turn(self) -> None:
        """One step. It ends within 0.1 s, or within some 20 s if the broker does not answer."""
        now_s = time.monotonic()
        try:
            if self._connection is None:
                self._connect(now_s)
            else:
                self._serve(self._connection, now_s)
        except ConnectionFailed as error:
            self._lose(str(error), now_s)
        if self._place != self._kept_place and now_s - self._keep_s >= _KEEP_S:
            self._keep(now_s)

    def close(self) -> None:
        """Say that the bridge is offline, wait for what is on the way, and keep the place."""
        end_s = time.monotonic() + _LAST_WORDS_S
        try:
            if self._connection is not None and self._connection.is_open:
                self._connection.publish(*self._offline(), retain=True)
                while self._sent and time.monotonic() < end_s:
                    self._connection.wait(_LOOK_S)
                    self._take_acknowledged(self._connection)
                self._connection.close()
                self._connection.wait(_LOOK_S)
        except ConnectionFailed:
            pass  # the broker sends the will
        self._keep(time.monotonic())
        self._asker.close()
        self._follower.close()

    def _connect(self, now_s: float) -> None:
        if self._follower.place is None:
            self._begin()
        if now_s < self._connect_s:
            time.sleep(min(_LOOK_S, self._connect_s - now_s))
            return
        self._connection = Connection(self._config.broker, self._client_id, self._offline())
        self._opened_s = self._answered_s = self._allowed_s = time.monotonic()
        self._allowed = 0.0
        self._state_s = float("-inf")
        self._state, self._session = None, ()

    def _begin(self) -> None:
        """The first time: what comes from now on is published, also if the broker can't be reached yet."""
        try:
            self._follower.news(1)
            self._place = self._follower.place
        except JournalError as error:
            self._say_journal(str(error))

    def _lose(self, problem: str, now_s: float) -> None:
        """Everything that is not acknowledged comes again. The pauses get longer, and differ, so that many bridges do not come at once."""
        if problem != self._problem:
            log.warning("the broker is not connected", problem=problem, host=self._config.broker.host)
        self._problem, self._connection = problem, None
        self._sent.clear()
        self._acknowledged.clear()
        self._follower.go_back(self._place)
        self._connect_s = now_s + self._pause_s * random.uniform(0.5, 1)
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)

    def _serve(self, connection: Connection, now_s: float) -> None:
        connection.wait(_LOOK_S)
        now_s = time.monotonic()
        self._take_acknowledged(connection)
        if not self._sent:
            self._answered_s = now_s
        if now_s - self._answered_s > _ANSWER_S:
            raise ConnectionFailed(f"the broker has acknowledged nothing for {_ANSWER_S:g} s")
        if not connection.is_open:
            if now_s - self._opened_s > _ANSWER_S:
                raise ConnectionFailed(f"the broker has not accepted the connection within {_ANSWER_S:g} s")
            return
        if now_s - self._state_s >= _STATE_S:
            self._state_s = now_s
            self._send_state(connection)
        if self._has_more or now_s - self._look_s >= _LOOK_S:
            self._look_s = now_s
            self._send_changes(connection, now_s)

    def _take_acknowledged(self, connection: Connection) -> None:
        while connection.acknowledged:
            acknowledged = connection.acknowledged.popleft()
            if any(acknowledged == mid for mid, _ in self._sent):  # not the state's: ids begin again after 65535
                self._acknowledged.add(acknowledged)
            self._answered_s = time.monotonic()
            self._pause_s = _FIRST_PAUSE_S
            if self._problem is not None:
                log.info("the broker takes messages", host=self._config.broker.host)
            self._problem = None
        while self._sent and (self._sent[0][0] is None or self._sent[0][0] in self._acknowledged):
            mid, self._place = self._sent.popleft()
            if mid is not None:
                self._acknowledged.discard(mid)

    def _send_state(self, connection: Connection) -> None:
        journal, session = None, None
        try:
            session = self._follower.session()
            journal = self._follower.journal
        except JournalError as error:
            self._say_journal(str(error))
        state = of_state(self._line.name, journal, session, self._asker.now, self._journal_problem)
        if state != self._state:
            self._state = state
            timed = state.model_copy(update={"time": utc(time.time_ns())})
            connection.publish(f"{self._topic}/state", timed.model_dump_json().encode(), retain=True)

    def _offline(self) -> tuple[str, bytes]:
        message = StateMessage(line=self._line.name, bridge="offline", problem="the bridge has no connection")
        return f"{self._topic}/state", message.model_dump_json().encode()

    def _send_changes(self, connection: Connection, now_s: float) -> None:
        most = self._config.most_per_s
        self._allowed = min(most, self._allowed + most * min(1.0, now_s - self._allowed_s))
        self._allowed_s = now_s
        places = min(connection.most_on_the_way - len(self._sent), int(self._allowed))
        if places < 1:
            return
        try:
            news = self._follower.news(places)
        except JournalError as error:
            self._say_journal(str(error))
            self._has_more = False
            return
        self._say_journal(None)
        self._has_more = news.has_more
        self._allowed -= len(news.changes)
        self._send(connection, news, now_s)

    def _send(self, connection: Connection, news: News, now_s: float) -> None:
        if news.gap is not None:
            self._send_gap(connection, news.gap, news.begin)
        for change in news.changes:
            place = Place(news.begin.journal, change.number)
            if change.kind == "session" and not self._is_worth_a_message(change.row, now_s):
                self._sent.append((None, place))
                continue
            try:
                message = of_change(self._line.name, place.journal, change)
            except (ValueError, LookupError, TypeError, OverflowError) as error:
                log.error(
                    "a row of the journal can't be read", kind=change.kind, change=change.number, error=str(error)
                )
                before = Place(place.journal, change.number - 1)
                self._send_gap(connection, Gap("unreadable", before, change.number), place)
                continue
            mid = connection.publish(f"{self._topic}/{TOPICS[change.kind]}", message.model_dump_json().encode())
            self._sent.append((mid, place))
        if not news.changes and self._follower.place is not None and self._follower.place != news.begin:
            self._sent.append((None, self._follower.place))

    def _send_gap(self, connection: Connection, gap: Gap, place: Place) -> None:
        if gap.reason != "unreadable":
            log.warning("some changes are gone", reason=gap.reason, after=gap.after.number, at_most=gap.numbers)
        mid = connection.publish(f"{self._topic}/gaps", of_gap(self._line.name, gap).model_dump_json().encode())
        self._sent.append((mid, place))

    def _is_worth_a_message(self, row: Mapping[str, Any], now_s: float) -> bool:
        """A running line changes its session every second."""
        session = (row["id"], row["ended_utc_ns"] is None, row["ended_cleanly"])
        if session == self._session and now_s - self._session_s < _SESSION_S:
            return False
        self._session, self._session_s = session, now_s
        return True

    def _say_journal(self, problem: str | None) -> None:
        if problem not in (None, self._journal_problem):
            log.warning("the journal can't be followed", problem=problem)
        self._journal_problem = problem

    def _keep(self, now_s: float) -> None:
        self._keep_s = now_s
        if self._place is None:
            return
        place, problem = self._place, None
        try:
            with atomic_write(self._kept, flush=True) as unfinished:
                unfinished.write_text(json.dumps({"version": 1, "journal": place.journal, "number": place.number}))
            self._kept_place = place
        except OSError as error:
            problem = f"{error.filename or self._kept}: {error.strerror or error}"
        if problem not in (None, self._keep_problem):
            log.warning("the place can't be kept: after a restart, some messages come again", problem=problem)
        self._keep_problem = problem


def level(name: str) -> str:
    """A name as one level of a topic: characters such as `+`, `#`, `/` and spaces become `%2B` and so on, as in a URL."""
    return quote(name, safe="", errors="replace")


def _read_place(path: Path) -> Place | None:
    """None the first time. If the file can't be used: the begin of any journal, because nothing may be lost."""
    if not path.exists():
        return None
    try:
        kept = read_json(path)
        if kept["version"] != 1 or not isinstance(kept["number"], int) or not isinstance(kept["journal"], str):
            raise ConfigError(f"{path}: is of another version")
        return Place(kept["journal"], kept["number"])
    except (ConfigError, LookupError) as error:
        log.warning("the kept place can't be read: everything in the journal is sent again", error=str(error))
        return Place("", 0)
