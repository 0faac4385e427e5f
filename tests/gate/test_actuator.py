"""What is known about an actuator and its pulses, moment by moment."""

import pytest

from inspectd.gate.actuator import Actuator, Pulse
from inspectd.gate.outcome import Outcome

WIDTH_NS = 100


@pytest.fixture
def actuator() -> Actuator:
    return Actuator(WIDTH_NS)


def pulse(part: int, due_ns: int) -> Pulse:
    return Pulse(part, due_ns, Outcome.REJECTED)


def switched_on(actuator: Actuator, now_ns: int, *pulses: Pulse) -> None:
    for each in pulses:
        actuator.owe(each)
    actuator.command(True)
    actuator.acknowledged(True, now_ns)


def test_it_starts_as_off_and_seen_off(actuator):
    assert actuator.is_acknowledged_off
    assert actuator.is_read_off
    assert actuator.was_off(0)
    assert not actuator.wants_on(0)
    assert not actuator.wants_reading(0)
    assert not actuator.wants_proof_of_off()
    assert actuator.next_ns() == []


def test_a_pulse_begins_with_its_acknowledgement_and_lasts_its_width_once_it_is_verified(actuator):
    first = pulse(1, 1000)
    actuator.owe(first)
    assert (first.began_ns, first.lateness_ns, actuator.next_ns()) == (None, 0, [])
    assert actuator.wants_on(1000)
    actuator.command(True)
    assert not actuator.is_acknowledged_off
    assert not actuator.is_read_off
    assert actuator.acknowledged(True, 1007) == [first]
    assert (first.began_ns, first.lateness_ns) == (1007, 7)
    assert actuator.next_ns() == [1057], "half of its width must be seen"
    assert not actuator.wants_reading(1056)
    assert actuator.read(True, 1056) == []
    assert actuator.wants_reading(1057)
    assert actuator.read(True, 1057) == [first]
    assert actuator.wants_on(5000), "one that has not been verified is never over"
    first.is_settled = True
    assert actuator.next_ns() == [1107]
    assert not actuator.wants_reading(1107)
    assert actuator.read(True, 1107) == []
    assert actuator.wants_on(1106)
    assert not actuator.wants_on(1107)
    assert actuator.next_ns() == []


def test_an_acknowledgement_before_due_counts_from_due_and_later_ones_change_nothing(actuator):
    first, second = pulse(1, 1000), pulse(2, 1020)
    actuator.owe(first)
    actuator.owe(second)
    assert actuator.acknowledged(True, 1005) == [first, second]
    assert (first.began_ns, second.began_ns) == (1005, 1020)
    assert actuator.acknowledged(True, 1050) == []
    assert first.began_ns == 1005


def test_a_pulse_that_meets_an_actuator_that_is_on_has_begun_already(actuator):
    switched_on(actuator, 1005, pulse(1, 1000))
    actuator.acknowledged(True, 1050)  # a refresh
    early, late = pulse(2, 1000), pulse(3, 1040)
    actuator.owe(early)
    actuator.owe(late)
    assert (early.began_ns, late.began_ns) == (1005, 1040)


def test_off_is_known_from_its_acknowledgement_and_seen_when_it_is_read(actuator):
    switched_on(actuator, 1000)
    assert not actuator.was_off(5000)
    assert not actuator.wants_proof_of_off()
    actuator.read(False, 1010)  # somebody else switched it: it may be on again at any time
    assert not actuator.is_read_off
    assert actuator.acknowledged(False, 1100) == []
    assert actuator.is_acknowledged_off
    assert actuator.wants_proof_of_off()
    assert actuator.read(False, 1101) == []
    assert (actuator.is_read_off, actuator.read_off_ns) == (True, 1101)
    assert not actuator.wants_proof_of_off()
    assert [actuator.was_off(t_ns) for t_ns in (1099, 1100, 1200)] == [False, True, True]
    actuator.acknowledged(False, 1300)  # a refresh
    assert actuator.was_off(1100)
    late = pulse(1, 1000)
    actuator.owe(late)
    assert late.began_ns is None, "it is off"
    actuator.command(False)
    assert actuator.is_read_off
    actuator.read(True, 1400)
    assert not actuator.is_acknowledged_off
    assert not actuator.is_read_off


def test_the_open_pulse_of_a_label(actuator):
    first, second = pulse(1, 1000), pulse(2, 1010)
    actuator.owe(first)
    actuator.owe(second)
    assert actuator.open_pulse(1) is first
    assert actuator.open_pulse(2) is second
    assert actuator.open_pulse(3) is None
    second.is_settled = True
    assert actuator.open_pulse(2) is None
    actuator.drop(first)
    assert actuator.open_pulse(1) is None


def test_a_cut_ends_what_has_begun_and_names_what_is_open(actuator):
    settled, begun, waiting = pulse(1, 1000), pulse(2, 1010), pulse(3, 1020)
    switched_on(actuator, 1000, settled, begun)
    settled.is_settled = True
    actuator.acknowledged(False, 1015)
    actuator.owe(waiting)
    assert actuator.cut() == [begun]
    assert actuator.open_pulse(2) is None
    assert actuator.open_pulse(3) is waiting
    assert actuator.cut() == []


def test_what_has_waited_too_long_is_dropped(actuator):
    begun, late, in_time = pulse(1, 900), pulse(2, 999), pulse(3, 1000)
    switched_on(actuator, 905, begun)
    actuator.acknowledged(False, 910)
    actuator.owe(late)
    actuator.owe(in_time)
    assert actuator.drop_waiting(1000) == [late]
    assert [actuator.open_pulse(part) for part in (1, 2, 3)] == [begun, None, in_time]


@pytest.mark.parametrize("on_its_way", [True, False])
def test_after_a_failure_a_command_that_was_on_its_way_may_still_arrive(actuator, on_its_way):
    settled, open_ = pulse(1, 1000), pulse(2, 1010)
    switched_on(actuator, 1000, settled, open_)
    settled.is_settled = True
    if not on_its_way:
        actuator.acknowledged(False, 1050)
    assert actuator.failed() == [open_]
    assert not actuator.wants_on(1060)
    actuator.acknowledged(False, 1070)
    assert actuator.wants_proof_of_off() == (not on_its_way)
    actuator.read(False, 1080)
    assert actuator.is_read_off == (not on_its_way), "off now, and perhaps not in a moment"
    assert actuator.failed() == []
    actuator.read(False, 1085)
    assert actuator.is_read_off == (not on_its_way), "a second failure does not take the doubt away"
    actuator.works()
    assert actuator.wants_proof_of_off() == on_its_way
    actuator.read(False, 1090)
    assert actuator.is_read_off
    later = pulse(3, 1100)
    actuator.owe(later)
    assert later.began_ns is None, "whatever it was before the failure"
