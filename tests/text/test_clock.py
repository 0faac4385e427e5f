"""No date passes while the wall clock is known to be wrong: never set, set while the line runs, or without its battery."""

import time
from datetime import datetime

import pytest

from inspectd import wall_clock
from inspectd.control.requester import Requester
from inspectd.text import clock as module
from inspectd.text.clock import DateClock
from inspectd.wall_clock import is_synchronised
from tests.text.lines import expectations, give, part, text


class Wall:
    """The clocks that a test sets: ns of the wall clock, and whether something synchronises it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead_ns = round(datetime.fromisoformat("2026-11-28T12:00+01:00").timestamp() * 1e9) - time.monotonic_ns()
        self.is_synchronised = False
        monkeypatch.setattr(wall_clock.time, "time_ns", lambda: time.monotonic_ns() + self.ahead_ns)
        monkeypatch.setattr(module, "is_synchronised", lambda: self.is_synchronised)
        monkeypatch.setattr(module, "_LOOK_S", 0.0)

    def set_by(self, seconds: float) -> None:
        self.ahead_ns += round(seconds * 1e9)

    def fault(self, clock: DateClock) -> str | None:
        clock.look()
        now_ns = time.monotonic_ns()
        return clock.fault(part(1, now_ns, now_ns + self.ahead_ns))


@pytest.fixture
def wall(monkeypatch):
    return Wall(monkeypatch)


def test_the_kernel_says_whether_the_clock_is_synchronised():
    assert is_synchronised() in (True, False)


def test_a_clock_that_nothing_has_synchronised_decides_nothing(wall):
    clock = DateClock("synchronised")
    assert wall.fault(clock) == "the clock is not synchronised, and nobody has confirmed it"
    wall.is_synchronised = True
    assert wall.fault(clock) is None
    wall.is_synchronised = False
    assert wall.fault(clock) is None, "a lost time server does not make it wrong"


def test_somebody_may_confirm_it(wall):
    clock = DateClock("synchronised")
    clock.confirm()
    assert wall.fault(clock) is None
    wall.set_by(3600)
    assert wall.fault(clock) == "the clock was set by +3600.0 s, and nobody has confirmed it"
    clock.confirm()
    assert wall.fault(clock) is None


@pytest.mark.parametrize("kept", ["synchronised", "set_by_hand"])
def test_a_clock_that_was_set_must_be_synchronised_or_confirmed_again(wall, kept):
    wall.is_synchronised = True
    clock = DateClock(kept)
    assert wall.fault(clock) is None
    on_its_way = part(2, time.monotonic_ns(), time.monotonic_ns() + wall.ahead_ns)
    wall.set_by(-0.2)
    wall.is_synchronised = False
    assert wall.fault(clock) == "the clock was set by -0.2 s, and nobody has confirmed it"
    wall.is_synchronised = True
    assert wall.fault(clock) is None
    assert clock.fault(on_its_way) == "the clock was set while this label was on its way"


def test_a_clock_without_its_battery_is_wrong_whatever_anybody_says(wall):
    wall.set_by(-10 * 365 * 86_400)
    clock = DateClock("set_by_hand")
    clock.confirm()
    assert wall.fault(clock) == "the clock is wrong: it shows a time before 2026-11-01"


def test_while_the_clock_is_wrong_no_date_passes_and_the_record_says_why(wall):
    found = expectations({"date": text("date", format="%d.%m.%y"), "lot": text("given")})
    give(found, {"part": 1}, lot="A")

    def expected() -> dict[str, tuple[object, str]]:
        now_ns = time.monotonic_ns()
        result = found.of(part(1, now_ns, now_ns + wall.ahead_ns), {})
        return {name: (each.allowed, each.source) for name, each in result.items()}

    assert expected()["date"] == (("28.11.26",), "date rule on 2026-11-28")
    wall.set_by(-86_400)
    assert expected()["date"] == ((), "the clock was set by -86400.0 s, and nobody has confirmed it")
    assert expected()["lot"][0] == ("A",), "what does not depend on the clock goes on"
    with pytest.raises(ValueError, match=r"from.time: can't be used: the clock was set by"):
        give(found, {"time": "2026-11-28T14:00+01:00"}, lot="B")
    assert found.figures()["fields"]["date"]["allowed"] == []
    answer = found.confirm_clock(Requester("anna", 1001, 77))
    assert answer == {"fault": "the clock was set by -86400.0 s, and nobody has confirmed it", "still": None}
    assert expected()["date"][0] == ("27.11.26",)
