"""What the gate does with labels, judged by the real levels of the device's actuator and run permit."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspectd.gate.config import CAPACITY
from inspectd.gate.outcome import GateState, Outcome, Stop
from inspectd.gate.outputs.base import SAFE, Signals
from inspectd.gate.schedule import Schedule
from tests.gate.bench import MS, Bench, gate_config

WIRINGS = ("pulse_to_reject", "pulse_to_release")


def test_a_part_that_nobody_clears_is_rejected_at_its_due_time():
    bench = Bench()
    bench.expect(1, 100)
    bench.at(99.9)
    assert not bench.device.signals.actuator
    assert bench.done == []
    bench.at(150)
    assert list(bench.device.pulses()) == [(100 * MS, 120 * MS)]
    assert bench.outcomes == {1: Outcome.REJECTED}
    assert (bench.done[0].began_ns, bench.done[0].lateness_ns) == (100 * MS, 0)


def test_a_cleared_part_passes_and_a_clear_after_the_pulse_is_late():
    bench = Bench()
    bench.expect(1, 100, cleared=True)
    bench.expect(2, 110)
    bench.at(150)
    assert bench.outcomes == {1: Outcome.PASSED, 2: Outcome.REJECTED}
    for part in (2, 3):
        bench.schedule.clear(part)
    bench.turn()
    assert bench.outcomes == {1: Outcome.PASSED, 2: Outcome.REJECTED_LATE}


def test_a_clear_while_the_pulse_is_on_is_late_too_and_is_told_once():
    bench = Bench()
    bench.expect(1, 100)
    bench.at(102)
    bench.schedule.clear(1)
    bench.at(150)
    assert [(done.part, done.outcome) for done in bench.done] == [(1, Outcome.REJECTED_LATE)]


def test_overlapping_pulses_merge():
    bench = Bench()
    bench.expect(1, 100)
    bench.expect(2, 110)
    bench.at(160)
    assert list(bench.device.pulses()) == [(100 * MS, 130 * MS)]
    assert bench.outcomes == {1: Outcome.REJECTED, 2: Outcome.REJECTED}


def test_a_good_label_that_meets_the_pulse_of_its_neighbour_is_not_recorded_as_passed():
    bench = Bench()
    bench.expect(1, 100)
    bench.expect(2, 115, cleared=True)
    bench.expect(3, 130, cleared=True)
    bench.at(160)
    assert bench.outcomes == {1: Outcome.REJECTED, 2: Outcome.REJECTED_WITH_OTHER, 3: Outcome.PASSED}


def test_a_good_label_beside_a_bad_one_is_taken_with_it_though_the_pulse_is_only_about_to_begin():
    bench = Bench()
    bench.expect(1, 100)
    bench.expect(2, 100.5, cleared=True)
    bench.at(99)
    bench.device.now_ns = 101 * MS
    bench.at(150)
    assert bench.outcomes == {1: Outcome.REJECTED, 2: Outcome.REJECTED_WITH_OTHER}


def test_a_good_label_is_taken_with_a_bad_one_while_the_device_has_not_said_that_the_pulse_is_over():
    bench = Bench()
    bench.device.rise_ns = 6 * MS
    bench.expect(1, 100)
    for part, due_ms in ((2, 127), (3, 132.1)):  # the pulse lasts from 106 to 126, and `off` is acknowledged at 132
        bench.expect(part, due_ms, cleared=True)
    bench.at(170)
    assert bench.outcomes == {1: Outcome.REJECTED, 2: Outcome.REJECTED_WITH_OTHER, 3: Outcome.PASSED}


def test_a_good_label_that_went_by_while_the_gate_stood_still_was_not_taken_by_a_pulse_that_begins_afterwards():
    bench = Bench(width_ms=10, max_lateness_ms=10)
    bench.expect(1, 100)
    bench.expect(2, 120, cleared=True)
    bench.expect(3, 145, cleared=True)
    bench.at(90)
    bench.device.now_ns = 150 * MS
    bench.at(200)
    assert bench.outcomes == {1: Outcome.NOT_DRIVEN, 2: Outcome.PASSED, 3: Outcome.REJECTED_WITH_OTHER}


def test_a_pulse_lasts_its_width_from_when_the_device_took_it():
    bench = Bench(width_ms=8, max_lateness_ms=8)
    bench.device.rise_ns = 6 * MS
    bench.expect(1, 100)
    bench.at(140)
    ((begin, end),) = bench.device.pulses()
    assert begin == 106 * MS
    assert end - begin >= 8 * MS
    assert bench.outcomes == {1: Outcome.REJECTED}
    assert bench.done[0].lateness_ns == 6 * MS


def test_an_actuator_that_is_acknowledged_but_never_on_is_noticed_at_the_first_reject():
    bench = Bench()
    bench.device.drives_actuator = False
    bench.expect(1, 100)
    bench.at(115)
    assert bench.outcomes == {1: Outcome.NOT_DRIVEN}
    bench.at(1000)
    assert not bench.device.signals.run_permit
    assert bench.schedule.stops == Stop.REJECT_NOT_DRIVEN


@pytest.mark.parametrize("cleared_at_ms", [2, 8])
def test_a_pulse_that_somebody_else_ends_counts_only_after_half_of_its_width(cleared_at_ms):
    bench = Bench(width_ms=10)
    bench.expect(1, 100)
    bench.at(100 + cleared_at_ms)
    bench.device.apply(SAFE)
    bench.at(150)
    assert bench.outcomes == {1: Outcome.NOT_DRIVEN if cleared_at_ms < 5 else Outcome.REJECTED}


def test_an_actuator_that_stays_on_by_itself_has_taken_the_good_labels_told_as_passed():
    bench = Bench(width_ms=4, refresh_ms=50)
    bench.at(45)
    bench.expect(1, 50, cleared=True)
    for part in (2, 3, 4):
        bench.expect(part, 50 + 10 * part, cleared=True)
    bench.at(65)
    assert bench.outcomes == {1: Outcome.PASSED}
    bench.device.apply(Signals(actuator=True, run_permit=True))
    bench.at(200)
    assert {bench.outcomes[part] for part in (2, 3, 4)} == {Outcome.REJECTED_WITH_OTHER}


def test_a_rejector_that_stays_on_is_noticed_at_the_good_label_behind_though_a_reject_follows():
    bench = Bench(width_ms=10, refresh_ms=1000)
    bench.expect(1, 100)
    bench.expect(2, 115, cleared=True)
    bench.expect(3, 125)
    bench.at(106)
    bench.device.apply = lambda signals: None
    bench.at(150)
    assert bench.outcomes[2] is Outcome.REJECTED_WITH_OTHER


def test_a_path_that_somebody_opens_at_a_reject_makes_it_a_label_to_look_for():
    bench = Bench(wiring="pulse_to_release", width_ms=4, refresh_ms=100)
    bench.expect(1, 60)
    bench.expect(2, 80, cleared=True)
    bench.at(59)
    bench.device.apply(Signals(actuator=True, run_permit=True))
    bench.at(200)
    assert bench.outcomes[1] is Outcome.NOT_DRIVEN
    assert not bench.device.signals.run_permit


@pytest.mark.parametrize("tampered", [Signals(run_permit=False), Signals(actuator=True, run_permit=True)])
def test_a_signal_that_somebody_else_changes_is_noticed_within_the_refresh(tampered):
    bench = Bench(refresh_ms=100)
    bench.at(10)
    bench.device.apply(tampered)
    bench.at(110)
    assert bench.schedule.state(110 * MS) is GateState.OUTPUT_FAILED
    bench.until(lambda: bench.schedule.state(bench.device.now_ns) is GateState.RUNNING)
    bench.at(bench.device.now_ns / MS + 1)
    assert bench.device.signals.run_permit
    assert not bench.device.signals.actuator


@pytest.mark.parametrize("pitch_ms", [8, 10, 80])
def test_rejects_without_a_pause_do_not_starve_the_refresh(pitch_ms):
    bench = Bench(refresh_ms=100, width_ms=7)
    bench.device.rise_ns = MS // 2
    for part in range(1, 1000 // pitch_ms):
        bench.expect(part, part * pitch_ms)
    bench.at(1000)
    writes = [t_ns for t_ns, signals in bench.device.history if signals.run_permit]
    assert max(b - a for a, b in itertools.pairwise(writes)) <= 100 * MS
    assert set(bench.outcomes.values()) == {Outcome.REJECTED}


def test_a_stalled_line_loses_run_permit_and_what_it_had_cleared():
    bench = Bench(stall_ms=50)
    bench.at(0)
    assert bench.device.signals.run_permit
    bench.expect(1, 100, cleared=True)
    bench.at(50, beats=False)
    assert bench.device.signals.run_permit
    bench.at(50.01, beats=False)
    assert not bench.device.signals.run_permit
    bench.at(130, beats=False)
    assert bench.outcomes == {1: Outcome.REJECTED_STOPPED}
    assert bench.at(131).device.signals.run_permit


def test_the_next_moment_at_which_anything_changes():
    bench = Bench(stall_ms=50, heartbeat_ms=5000)
    wake_ns = bench.schedule.next_wake_ns
    assert wake_ns(0) == 5000 * MS, "the heartbeat toggles"
    bench.schedule.permit(True, 100 * MS)
    assert wake_ns(100 * MS) == wake_ns(150 * MS) == 150 * MS + 1, "the line will be stalled"
    assert wake_ns(150 * MS + 1) == 5000 * MS
    bench.expect(1, 120)
    assert wake_ns(100 * MS) == 120 * MS
    assert bench.schedule.step(120 * MS).actuator
    assert wake_ns(120 * MS) == 150 * MS + 1
    bench.schedule.acknowledged(Signals(actuator=True), 121 * MS)
    assert wake_ns(121 * MS) == 131 * MS, "the pulse is to be verified"
    bench.schedule.actuator_read(True, 131 * MS)
    assert wake_ns(131 * MS) == 141 * MS, "and ends"


def test_the_gate_wakes_when_a_path_must_be_closed_and_sleeps_again():
    bench = Bench(wiring="pulse_to_release", close_before_ms=5, heartbeat_ms=5000)
    bench.expect(1, 20)
    assert [bench.schedule.next_wake_ns(now_ms * MS) for now_ms in (0, 14, 15, 16)] == [
        15 * MS,
        15 * MS,
        20 * MS,
        20 * MS,
    ]


def test_a_line_is_stalled_from_the_first_moment_after_its_time():
    schedule = Bench(stall_ms=50).schedule
    schedule.permit(True, 7)
    assert schedule.state(50 * MS + 7) is GateState.RUNNING
    assert schedule.state(50 * MS + 8) is GateState.LINE_STALLED


def test_a_line_that_sees_nothing_has_no_run_permit_but_what_it_cleared_passes():
    bench = Bench()
    bench.expect(1, 100, cleared=True)
    bench.at(90)
    bench.schedule.permit(False, 90 * MS)
    bench.at(100, beats=False)
    assert not bench.device.signals.run_permit
    assert bench.outcomes == {1: Outcome.PASSED}


def test_a_line_that_stops_is_not_stalled_and_what_it_cleared_passes():
    bench = Bench(stall_ms=50)
    bench.expect(1, 400, cleared=True)
    bench.at(10)
    bench.schedule.line_stops()
    bench.at(400, beats=False)
    assert not bench.device.at(11 * MS).run_permit
    assert bench.outcomes == {1: Outcome.PASSED}


def test_rejects_in_a_row_stop_the_belt_until_somebody_looked():
    bench = Bench(stop_after_rejects=2, width_ms=1)
    bench.expect(1, 1)
    bench.expect(2, 3)
    bench.at(2)
    assert bench.device.signals.run_permit
    bench.at(5)
    assert not bench.device.signals.run_permit
    assert bench.schedule.stops == Stop.TOO_MANY_REJECTS
    bench.schedule.reset(~Stop(0))
    assert bench.at(7).device.signals.run_permit
    bench.expect(3, 8)
    assert bench.at(9).device.signals.run_permit, "the count begins anew"


def test_a_reject_that_is_not_driven_while_the_belt_is_stopped_is_a_stop_of_its_own():
    bench = Bench(stop_after_rejects=1, width_ms=10)
    bench.expect(1, 10)
    assert bench.at(25).schedule.stops == Stop.TOO_MANY_REJECTS
    bench.device.drives_actuator = False
    bench.expect(2, 30)
    bench.at(1000)
    assert bench.outcomes[2] is Outcome.NOT_DRIVEN
    assert bench.schedule.stops == Stop.TOO_MANY_REJECTS | Stop.REJECT_NOT_DRIVEN


def test_a_pass_between_rejects_begins_the_row_anew():
    bench = Bench(stop_after_rejects=2, width_ms=1)
    for part, cleared in ((1, False), (2, True), (3, False)):
        bench.expect(part, 3 * part, cleared=cleared)
    assert bench.at(20).device.signals.run_permit


def test_one_reject_may_be_enough():
    bench = Bench(stop_after_rejects=1, width_ms=1)
    bench.expect(1, 5)
    assert not bench.at(10).device.signals.run_permit


def test_a_release_that_was_left_out_counts_as_a_reject():
    bench = Bench(wiring="pulse_to_release", width_ms=20, stop_after_rejects=1)
    bench.expect(1, 100, cleared=True)
    bench.at(90)
    bench.device.now_ns = 125 * MS
    bench.at(126)
    assert bench.outcomes == {1: Outcome.REJECTED_STOPPED}
    assert bench.schedule.stops == Stop.TOO_MANY_REJECTS


def test_rejects_in_a_row_stop_the_belt_though_their_share_is_small():
    bench = Bench(stop_after_rejects=2, stop_at_reject_share={"percent": 50, "of_last": 10}, width_ms=1)
    for part in range(1, 13):
        bench.expect(part, 3 * part, cleared=part < 11)
    assert bench.at(34).device.signals.run_permit
    assert not bench.at(40).device.signals.run_permit


def test_too_large_a_share_of_rejects_stops_the_belt():
    bench = Bench(stop_at_reject_share={"percent": 30, "of_last": 10}, width_ms=1)
    for part in range(1, 11):
        bench.expect(part, 3 * part, cleared=bool(part % 3))
    assert bench.at(32).device.signals.run_permit  # 3 of 10 are not more than 30 %
    bench.expect(11, 33)
    assert not bench.at(33).device.signals.run_permit


def test_a_reject_that_the_plant_does_not_confirm_is_latched():
    bench = Bench(output={"kind": "simulated", "record": "/dev/null"}, confirmation={"within_ms": 30})
    bench.expect(1, 10)
    assert bench.at(60).device.signals.run_permit
    bench.device.confirms = False
    bench.expect(2, 60)
    bench.at(89.9)
    assert bench.device.signals.run_permit
    bench.at(90)
    assert bench.schedule.stops == Stop.REJECT_UNCONFIRMED
    assert not bench.device.signals.run_permit


def test_a_confirmation_input_that_cannot_be_read_is_a_failure_of_the_output():
    bench = Bench(confirmation={"within_ms": 300}, width_ms=200)
    bench.expect(1, 10)
    bench.at(20)
    bench.device.confirms = False
    bench.expect(2, 20)
    bench.at(30)
    bench.device.confirmed = lambda: {}["no such answer"]
    bench.at(40)
    assert bench.schedule.state(40 * MS) is GateState.OUTPUT_FAILED


def test_what_could_not_be_driven_is_said_to_be_so():
    for wiring, cleared, outcome in (
        ("pulse_to_reject", False, Outcome.NOT_DRIVEN),
        ("pulse_to_reject", True, Outcome.PASSED),
        ("pulse_to_release", True, Outcome.REJECTED_STOPPED),
        ("pulse_to_release", False, Outcome.REJECTED),
    ):
        bench = Bench(wiring=wiring)
        bench.expect(1, 50, cleared=cleared)
        bench.at(10)
        bench.device.answers = False
        bench.at(60)
        assert bench.outcomes == {1: outcome}, "a path that was closed stays closed with the cable cut"
        assert (bench.done[0].began_ns, bench.done[0].lateness_ns) == (0, 0)


def test_an_output_that_comes_back_must_read_back_twice_before_the_belt_runs():
    bench = Bench(refresh_ms=100)
    bench.at(10)
    bench.device.answers = False
    bench.until(lambda: bench.schedule.state(bench.device.now_ns) is GateState.OUTPUT_FAILED)
    bench.device.answers = True
    back_ns = bench.device.now_ns
    bench.until(lambda: bench.schedule.state(bench.device.now_ns) is GateState.RUNNING)
    assert 100 * MS <= bench.device.now_ns - back_ns <= 300 * MS


def test_a_write_that_arrives_after_the_output_is_back_is_noticed_before_the_path_counts_as_closed():
    bench = Bench(wiring="pulse_to_release", refresh_ms=100)
    bench.expect(1, 50, cleared=True)
    bench.at(49)
    bench.device.answers = False
    bench.at(200)
    bench.device.answers = True
    bench.at(300)
    bench.device.apply(Signals(actuator=True))
    bench.expect(2, 320)
    bench.at(330)
    assert bench.outcomes == {1: Outcome.REJECTED_STOPPED, 2: Outcome.NOT_DRIVEN}


def test_a_reject_that_begins_too_late_stops_the_belt_and_must_be_looked_for():
    bench = Bench(max_lateness_ms=8)
    bench.device.rise_ns = 8 * MS
    bench.expect(1, 100)
    bench.at(160)
    assert bench.outcomes == {1: Outcome.REJECTED}
    assert bench.device.signals.run_permit
    bench.device.rise_ns = 9 * MS
    bench.expect(2, 200)
    bench.at(300)
    assert (bench.done[1].outcome, bench.done[1].lateness_ns) == (Outcome.NOT_DRIVEN, 9 * MS)
    assert bench.device.on_ns(200 * MS, 300 * MS) >= 20 * MS, "it is driven all the same"
    assert not bench.device.signals.run_permit
    assert bench.schedule.stops == Stop.REJECT_NOT_DRIVEN
    bench.schedule.reset(~Stop(0))
    assert bench.at(301).schedule.state(301 * MS) is GateState.RUNNING


@pytest.mark.parametrize(("late_ms", "outcome"), [(10, Outcome.REJECTED), (11, Outcome.NOT_DRIVEN)])
def test_at_least_half_of_a_pulse_must_meet_its_label_unless_told_otherwise(late_ms, outcome):
    bench = Bench(width_ms=20)
    bench.device.rise_ns = late_ms * MS
    bench.expect(1, 100)
    assert bench.at(200).outcomes == {1: outcome}


def test_a_release_that_would_begin_too_late_is_left_out():
    bench = Bench(wiring="pulse_to_release", width_ms=20)
    bench.expect(1, 100, cleared=True)
    bench.at(90)
    bench.device.now_ns = 121 * MS
    bench.at(130)
    assert bench.device.on_ns(0, 130 * MS) == 0, "it would let the next label through"
    assert bench.outcomes == {1: Outcome.REJECTED_STOPPED}


@pytest.mark.parametrize(("late_ns", "outcome"), [(0, Outcome.PASSED), (1, Outcome.REJECTED_STOPPED)])
def test_a_release_is_in_time_up_to_its_lateness(late_ns, outcome):
    bench = Bench(wiring="pulse_to_release", width_ms=20, max_lateness_ms=8)
    bench.expect(1, 100, cleared=True)
    bench.at(90)
    bench.device.now_ns = 108 * MS + late_ns
    bench.at(150)
    assert bench.outcomes == {1: outcome}
    assert bool(bench.device.on_ns(0, 150 * MS)) == (outcome is Outcome.PASSED)


def test_a_path_that_opens_too_late_is_closed_at_once():
    bench = Bench(wiring="pulse_to_release", width_ms=20)
    bench.device.rise_ns = 21 * MS
    bench.expect(1, 100, cleared=True)
    bench.at(200)
    assert bench.outcomes == {1: Outcome.REJECTED_STOPPED}
    assert bench.device.on_ns(0, 200 * MS) <= 21 * MS + 21 * MS


@pytest.mark.parametrize("pitch_ms", [6, 10, 15, 24, 26])
def test_a_reject_closes_the_path_that_the_label_before_it_opened(pitch_ms):
    bench = Bench(wiring="pulse_to_release", width_ms=20, close_before_ms=5)
    for part in range(1, 20):
        bench.expect(part, part * pitch_ms, cleared=part % 3 != 0)
    bench.at(20 * pitch_ms + 50)
    for part in range(3, 20, 3):
        assert not bench.device.at(part * pitch_ms * MS).actuator
        assert not bench.device.at(part * pitch_ms * MS - 4 * MS).actuator
        assert bench.outcomes[part] is Outcome.REJECTED
    assert bench.device.signals.run_permit


@pytest.mark.parametrize("fault", ["cut", "stuck_open", "gate_stopped"])
def test_a_path_that_is_or_may_be_open_at_a_reject_is_a_label_to_look_for(fault):
    bench = Bench(wiring="pulse_to_release", width_ms=20)
    bench.expect(1, 100, cleared=True)
    bench.expect(2, 130)
    bench.at(105)
    assert bench.device.signals.actuator
    if fault == "cut":
        bench.device.answers = False
    if fault == "stuck_open":
        bench.device.apply = lambda signals: None
    if fault == "gate_stopped":
        bench.device.now_ns = 131 * MS
    bench.at(160)
    assert bench.device.at(130 * MS).actuator
    # stuck open, its pulse could be verified
    was_passed = Outcome.PASSED if fault == "stuck_open" else Outcome.REJECTED_STOPPED
    assert bench.outcomes == {1: was_passed, 2: Outcome.NOT_DRIVEN}
    assert not bench.schedule.step(160 * MS).run_permit


class ReadTimes:
    """When the actuator was read back, in ms. The refresh comes too late to be among them."""

    def __init__(self, bench: Bench) -> None:
        self.ms: list[float] = []
        reads = bench.device.actuator

        def actuator() -> bool:
            self.ms.append(bench.device.now_ns / MS)
            return reads()

        bench.device.actuator = actuator


def test_a_closed_path_is_looked_at_once_when_a_label_that_must_not_pass_is_near():
    bench = Bench(wiring="pulse_to_release", width_ms=20, close_before_ms=5, refresh_ms=1000)
    reads = ReadTimes(bench)
    for part, due_ms, cleared in ((1, 300, False), (2, 400, True), (3, 500, False), (4, 504, False)):
        bench.expect(part, due_ms, cleared=cleared)
    bench.at(600)
    # a pulse at half of its width and when it is over; each reject just before it is due, and when it has gone by
    assert reads.ms == pytest.approx([295, 305, 410, 420, 495, 499, 505, 509], abs=0.01)
    assert bench.outcomes == {1: Outcome.REJECTED, 2: Outcome.PASSED, 3: Outcome.REJECTED, 4: Outcome.REJECTED}


@pytest.mark.parametrize(("opened_at_ms", "outcome"), [(300.4, Outcome.NOT_DRIVEN), (305.1, Outcome.REJECTED)])
def test_a_path_that_somebody_else_opens_while_a_rejected_label_is_at_it_is_noticed(opened_at_ms, outcome):
    bench = Bench(wiring="pulse_to_release", width_ms=20, close_before_ms=5, refresh_ms=1000)
    bench.expect(1, 300)
    bench.at(opened_at_ms)
    bench.device.apply(Signals(actuator=True, run_permit=True))
    assert bench.at(320).outcomes == {1: outcome}


@pytest.mark.parametrize("opened_at_ms", [294, 100])
def test_a_path_that_somebody_else_opens_before_a_reject_is_noticed_in_time(opened_at_ms):
    bench = Bench(wiring="pulse_to_release", width_ms=20, close_before_ms=5, refresh_ms=1000)
    bench.expect(1, 300)
    bench.at(opened_at_ms)
    bench.device.apply(Signals(actuator=True, run_permit=True))
    bench.at(310)
    assert bench.outcomes == {1: Outcome.NOT_DRIVEN}
    assert bench.schedule.state(310 * MS) is GateState.OUTPUT_FAILED


def test_a_path_stays_open_its_whole_width_before_a_label_that_passes_too():
    bench = Bench(wiring="pulse_to_release", width_ms=20, close_before_ms=5)
    bench.expect(1, 100, cleared=True)
    bench.expect(2, 122, cleared=True)
    bench.at(200)
    assert list(bench.device.pulses()) == [(100 * MS, 120 * MS), (122 * MS, 142 * MS)]


def test_a_label_that_a_stalled_line_has_cleared_closes_the_path_too():
    bench = Bench(wiring="pulse_to_release", width_ms=20, close_before_ms=5, stall_ms=50)
    bench.expect(1, 100, cleared=True)
    bench.expect(2, 118, cleared=True)
    bench.at(56)
    bench.at(106.5, beats=False)
    assert bench.device.signals.actuator
    bench.at(150, beats=False)
    ((_, closed_ns),) = bench.device.pulses()
    assert closed_ns == 113 * MS
    assert bench.outcomes == {1: Outcome.PASSED, 2: Outcome.REJECTED_STOPPED}


@given(st.permutations(range(12)), st.integers(0, 11))
def test_wherever_a_reject_is_among_labels_that_pass_the_path_is_closed_before_it(order, rejected):
    bench = Bench(wiring="pulse_to_release", width_ms=20, close_before_ms=10)
    dues_ms = {part: 100 + part for part in range(12)}
    for part in order:
        bench.expect(part, dues_ms[part], cleared=part != rejected)
    bench.at(150)
    due_ns = dues_ms[rejected] * MS
    assert bench.device.on_ns(due_ns - 10 * MS, due_ns) == 0
    assert not bench.device.at(due_ns).actuator
    assert bench.outcomes[rejected] is Outcome.REJECTED


def test_a_release_that_is_cut_before_half_of_its_width_has_let_nothing_pass():
    bench = Bench(wiring="pulse_to_release", width_ms=20, close_before_ms=5)
    bench.expect(1, 100, cleared=True)
    bench.expect(2, 108)
    bench.at(150)
    assert list(bench.device.pulses()) == [(100 * MS, 103 * MS)]
    assert bench.outcomes == {1: Outcome.REJECTED_STOPPED, 2: Outcome.REJECTED}


def test_a_release_that_has_waited_too_long_behind_a_reject_is_left_out_at_once():
    bench = Bench(wiring="pulse_to_release", width_ms=20, close_before_ms=5, max_lateness_ms=2)
    bench.expect(1, 100, cleared=True)
    bench.expect(2, 104)
    assert bench.at(102).outcomes == {}
    assert bench.at(103).outcomes == {1: Outcome.REJECTED_STOPPED}
    assert bench.at(150).outcomes == {1: Outcome.REJECTED_STOPPED, 2: Outcome.REJECTED}
    assert list(bench.device.pulses()) == []


@pytest.mark.parametrize("apart_ms", [0, 0.000001])
def test_of_two_labels_at_the_path_at_once_the_rejected_one_counts(apart_ms):
    bench = Bench(wiring="pulse_to_release", width_ms=20, close_before_ms=5)
    bench.expect(1, 100, cleared=True)
    bench.expect(2, 100 + apart_ms)
    bench.at(150)
    assert list(bench.device.pulses()) == []
    assert bench.outcomes == {1: Outcome.REJECTED_STOPPED, 2: Outcome.REJECTED}


def test_a_reject_that_is_near_is_seen_behind_labels_that_are_not():
    bench = Bench(wiring="pulse_to_release", width_ms=20, close_before_ms=5)
    bench.expect(1, 85, cleared=True)
    bench.expect(2, 100, cleared=True)
    bench.expect(3, 103)
    bench.expect(4, 500, cleared=True)
    bench.at(200)
    assert list(bench.device.pulses()) == [(85 * MS, 98 * MS)], (
        "opened for label 2 after 103, it would let label 3 through"
    )
    assert bench.outcomes == {1: Outcome.PASSED, 2: Outcome.REJECTED_STOPPED, 3: Outcome.REJECTED}


def test_the_memory_for_late_clears_is_bounded():
    schedule = Bench(wiring="pulse_to_release").schedule
    for part in range(1, CAPACITY + 2):
        schedule.expect(part, part * MS)
        schedule.step(part * MS)
    assert len(schedule.take_outcomes()) == CAPACITY + 1
    schedule.clear(1)
    schedule.clear(2)
    assert [(done.part, done.outcome) for done in schedule.take_outcomes()] == [(2, Outcome.REJECTED_LATE)]


@pytest.mark.parametrize(("read_ns", "wants"), [(15 * MS, False), (15 * MS - 1, True)])
def test_a_path_seen_closed_within_its_time_need_not_be_seen_again(read_ns, wants):
    schedule = Bench(wiring="pulse_to_release", close_before_ms=5).schedule
    schedule.expect(1, 20 * MS)
    schedule.actuator_read(False, read_ns)
    assert schedule.wants_actuator_read(16 * MS) == wants


def test_an_output_that_has_failed_is_not_asked_for_its_actuator():
    schedule = Bench(wiring="pulse_to_release").schedule
    schedule.expect(1, 10 * MS)
    assert schedule.wants_actuator_read(8 * MS)
    schedule.output_failed()
    assert not schedule.wants_actuator_read(8 * MS)


def test_more_parts_than_can_be_scheduled_are_named_and_the_belt_stands_until_they_have_gone_by():
    bench = Bench(delay_ms=60_000, width_ms=1)
    for part in range(1, CAPACITY + 1):
        bench.expect(part, 1000 + part, cleared=True)
    bench.at(1)
    assert bench.device.signals.run_permit
    bench.expect(CAPACITY + 1, 7000)
    bench.at(2)
    assert bench.outcomes == {CAPACITY + 1: Outcome.NOT_DRIVEN}
    bench.schedule.reset(~Stop(0))
    assert not bench.at(7000).device.signals.run_permit, "a reload does not bring back what can't be rejected"
    assert not bench.at(7000.99).device.signals.run_permit
    assert bench.at(7001).device.signals.run_permit
    assert bench.at(7002).device.signals.run_permit
    assert sorted(bench.outcomes) == list(range(1, CAPACITY + 2))


def test_the_heartbeat_toggles_while_the_belt_may_run_and_stands_while_not():
    bench = Bench(heartbeat_ms=500, stall_ms=5000)
    levels = [bench.at(t_ms).device.signals.heartbeat for t_ms in (0, 499, 500, 999, 1000, 1500)]
    assert levels == [False, False, True, True, False, True]
    bench.schedule.permit(False, bench.device.now_ns)
    assert {bench.at(t_ms, beats=False).device.signals.heartbeat for t_ms in range(1501, 4000, 100)} == {True}


@pytest.mark.parametrize(
    ("wiring", "width_ms", "allowed"),
    [
        ("pulse_to_reject", 19, True),
        ("pulse_to_reject", 20, False),
        ("pulse_to_release", 15, True),
        ("pulse_to_release", 15.1, False),
    ],
)
def test_pulses_that_cannot_act_on_single_labels_are_refused(wiring, width_ms, allowed):
    changes = {"wiring": wiring, "width_ms": width_ms, "pitch_ms": 20, "close_before_ms": 5}
    if allowed:
        gate_config(**changes)
        return
    with pytest.raises(ValueError, match=r"gate\.width_ms .* pitch of the labels \(20 ms\)"):
        gate_config(**changes)


def test_more_labels_in_flight_than_can_be_scheduled_are_refused():
    gate_config(delay_ms=40_960, pitch_ms=10, width_ms=5)
    with pytest.raises(ValueError, match=r"gate\.delay_ms .* 4096 are allowed"):
        gate_config(delay_ms=41_000, pitch_ms=10, width_ms=5)


def test_a_confirmation_without_an_input_is_refused():
    modbus = {"kind": "modbus", "host": "127.0.0.1", "actuator_coil": 0}
    for output in (modbus, {"kind": "gpio", "actuator_line": 1}, {"kind": "camera"}):
        with pytest.raises(ValueError, match=r"gate\.confirmation needs an input"):
            gate_config(output=output, confirmation={"within_ms": 10})
    gate_config(output={**modbus, "confirmation_input": 3}, confirmation={"within_ms": 10})


events = st.lists(
    st.one_of(
        st.tuples(st.just("expect"), st.integers(1, 60)),
        st.tuples(st.just("clear"), st.integers(1, 60)),
        st.tuples(st.just("beat"), st.booleans()),
        st.tuples(st.just("wait"), st.integers(0, 80)),
        st.tuples(st.just("stall"), st.integers(0, 20)),
        st.tuples(st.just("gone"), st.none()),
        st.tuples(st.just("reset"), st.none()),
        st.tuples(st.just("cable"), st.booleans()),
        st.tuples(st.just("answers"), st.booleans()),
        st.tuples(st.just("actuator"), st.booleans()),
        st.tuples(st.just("slow"), st.integers(0, 8)),
    ),
    max_size=80,
)


@settings(max_examples=400, deadline=None)
@given(events, st.sampled_from(WIRINGS))
def test_whatever_happens_no_part_passes_uncleared_and_each_has_one_outcome(story, wiring):
    bench = Bench(wiring=wiring, stall_ms=50, width_ms=5, refresh_ms=20)
    device, schedule = bench.device, bench.schedule
    beat_at, ok, gone = None, False, False
    expected: dict[int, int] = {}
    cleared: set[int] = set()

    def turn() -> None:
        begun_ns, before = device.now_ns, len(device.history)
        bench.turn()
        if any(signals.run_permit for _, signals in device.history[before:]):
            assert beat_at is not None
            assert ok
            assert not gone
            assert begun_ns - beat_at <= 50 * MS

    for action, value in story:
        match action:
            case "expect" if value not in expected:
                expected[value] = device.now_ns + 100 * MS
                schedule.expect(value, expected[value])
            case "clear":
                if value in expected and device.now_ns < expected[value]:
                    cleared.add(value)
                    schedule.clear(value)
            case "beat" if not gone:
                schedule.permit(value, device.now_ns)
                beat_at, ok = device.now_ns, value
                if not ok:
                    turn()
            case "stall":
                device.now_ns += value * MS
            case "wait":
                end = device.now_ns + value * MS
                while device.now_ns < end:
                    device.now_ns = min(end, device.now_ns + max(1, bench.drive.wait_ns()))
                    turn()
            case "gone":
                schedule.line_gone()
                gone = True
            case "reset":
                schedule.reset(~Stop(0))
            case "cable":
                device.answers = value
            case "answers":
                device.acknowledges = value
            case "actuator":
                device.drives_actuator = value
            case "slow":
                device.rise_ns = value * MS
        turn()
    schedule.line_gone()
    gone = True
    device.answers = device.acknowledges = device.drives_actuator = True
    device.rise_ns = 0
    for _ in range(400):
        device.now_ns += MS
        turn()
    assert sorted(done.part for done in bench.done) == sorted(expected)
    for part, outcome in bench.outcomes.items():
        judge(device, wiring, expected[part], outcome, part in cleared)
    assert device.signals == SAFE
    assert schedule.is_idle(device.now_ns)


def judge(device, wiring, due_ns, outcome, is_cleared):
    """By the actuator's levels: no uncleared label passes, unless the gate says that somebody must look for it."""
    if wiring == "pulse_to_reject":
        was_driven = device.on_ns(due_ns, due_ns + 40 * MS) >= 2 * MS
        if outcome is Outcome.REJECTED:
            assert was_driven
        assert is_cleared or outcome in (Outcome.REJECTED, Outcome.NOT_DRIVEN)
    else:
        was_open = device.at(due_ns).actuator
        assert is_cleared or not was_open or outcome is Outcome.NOT_DRIVEN
        assert is_cleared or outcome in (Outcome.REJECTED, Outcome.NOT_DRIVEN)
        if outcome is Outcome.PASSED:
            assert device.on_ns(due_ns, due_ns + 40 * MS) >= 2 * MS


@pytest.mark.parametrize(("stood_until_ms", "outcome"), [(145, Outcome.REJECTED_WITH_OTHER), (200, Outcome.PASSED)])
def test_a_good_label_that_had_gone_by_before_a_late_pulse_has_passed(stood_until_ms, outcome):
    """The gate stood still: its late pulse for the label before can only hit a label that is still there."""
    config = gate_config(width_ms=20)
    schedule = Schedule(config, 0)
    schedule.permit(True, 0)
    schedule.expect(1, 120 * MS)
    schedule.expect(2, 140 * MS)
    schedule.clear(2)
    signals = schedule.step(stood_until_ms * MS)
    assert signals.actuator
    schedule.acknowledged(signals, stood_until_ms * MS)
    assert {done.part: done.outcome for done in schedule.take_outcomes()} == {1: Outcome.NOT_DRIVEN, 2: outcome}
