from hypothesis import given, settings
from hypothesis import strategies as st

from inspectd.gate.config import GateConfig
from inspectd.gate.messages import GateState, Message, Outcome
from inspectd.gate.output import SAFE
from inspectd.gate.schedule import Schedule

MS = 1_000_000


def gate_config(**changes: object) -> GateConfig:
    values = {
        "wiring": "pulse_to_reject",
        "delay_ms": 100,
        "width_ms": 20,
        "output": {"kind": "simulated", "record": "/dev/null"},
    }
    return GateConfig.model_validate({**values, **changes})


def outcomes_of(messages: list[Message]) -> dict[int, Outcome]:
    return {message.part: Outcome(message.code) for message in messages}


def test_a_part_that_nobody_clears_is_rejected_at_its_due_time():
    schedule = Schedule(gate_config(), 0)
    schedule.heartbeat(True, 0)
    schedule.expect(1, 100 * MS)
    signals, outcomes = schedule.step(99 * MS)
    assert not signals.actuator
    assert outcomes == []
    assert schedule.next_wake_ns(99 * MS) == 100 * MS
    signals, outcomes = schedule.step(100 * MS)
    assert signals.actuator
    assert outcomes_of(outcomes) == {1: Outcome.REJECTED}
    assert not schedule.step(120 * MS)[0].actuator


def test_a_cleared_part_passes_and_a_clear_after_the_pulse_is_late():
    schedule = Schedule(gate_config(), 0)
    schedule.heartbeat(True, 0)
    schedule.expect(1, 100 * MS)
    schedule.expect(2, 110 * MS)
    assert schedule.clear(1) == []
    signals, outcomes = schedule.step(115 * MS)
    assert outcomes_of(outcomes) == {1: Outcome.PASSED, 2: Outcome.REJECTED}
    assert outcomes_of(schedule.clear(2)) == {2: Outcome.REJECTED_LATE}
    assert schedule.clear(3) == []


def test_overlapping_pulses_merge():
    schedule = Schedule(gate_config(), 0)
    schedule.expect(1, 100 * MS)
    schedule.expect(2, 110 * MS)
    assert schedule.step(100 * MS)[0].actuator
    assert schedule.step(110 * MS)[0].actuator
    assert schedule.step(121 * MS)[0].actuator
    assert not schedule.step(130 * MS)[0].actuator


def test_a_stalled_line_loses_run_permit_and_what_it_had_cleared():
    schedule = Schedule(gate_config(stall_ms=50), 0)
    schedule.heartbeat(True, 0)
    assert schedule.step(0)[0].run_permit
    schedule.expect(1, 100 * MS)
    schedule.clear(1)
    assert schedule.next_wake_ns(0) <= 50 * MS + 1
    assert not schedule.step(51 * MS)[0].run_permit
    _, outcomes = schedule.step(100 * MS)
    assert outcomes_of(outcomes) == {1: Outcome.REJECTED_STOPPED}
    schedule.heartbeat(True, 110 * MS)
    assert schedule.step(110 * MS)[0].run_permit


def test_a_line_that_sees_nothing_has_no_run_permit_but_what_it_cleared_passes():
    schedule = Schedule(gate_config(), 0)
    schedule.heartbeat(True, 0)
    schedule.expect(1, 100 * MS)
    schedule.clear(1)
    schedule.heartbeat(False, 90 * MS)
    signals, outcomes = schedule.step(100 * MS)
    assert not signals.run_permit
    assert outcomes_of(outcomes) == {1: Outcome.PASSED}


def test_rejects_in_a_row_stop_the_belt_until_somebody_looked():
    schedule = Schedule(gate_config(stop_after_rejects=2), 0)
    schedule.heartbeat(True, 0)
    for part in (1, 2):
        schedule.expect(part, part * MS)
    signals, _ = schedule.step(5 * MS)
    assert not signals.run_permit
    assert schedule.state(5 * MS) is GateState.TOO_MANY_REJECTS
    schedule.heartbeat(True, 6 * MS)
    assert not schedule.step(6 * MS)[0].run_permit
    schedule.reset()
    assert schedule.step(7 * MS)[0].run_permit


def test_too_large_a_share_of_rejects_stops_the_belt():
    schedule = Schedule(gate_config(stop_at_reject_share={"percent": 30, "of_last": 10}), 0)
    schedule.heartbeat(True, 0)
    for part in range(1, 11):
        schedule.expect(part, part * MS)
        if part % 3:
            schedule.clear(part)
    assert schedule.step(10 * MS)[0].run_permit  # 3 of 10 are not more than 30 %
    schedule.expect(11, 11 * MS)
    assert not schedule.step(11 * MS)[0].run_permit


def test_a_reject_that_the_plant_does_not_confirm_is_latched():
    schedule = Schedule(gate_config(confirmation={"within_ms": 30}), 0)
    schedule.heartbeat(True, 0)
    schedule.expect(1, 10 * MS)
    assert schedule.step(10 * MS)[0].run_permit
    schedule.confirmed()
    assert schedule.step(50 * MS)[0].run_permit
    schedule.expect(2, 60 * MS)
    schedule.step(60 * MS)
    schedule.step(91 * MS)
    assert schedule.state(91 * MS) is GateState.REJECT_UNCONFIRMED


def test_what_could_not_be_driven_is_said_to_be_so():
    rejecting = Schedule(gate_config(), 0)
    rejecting.expect(1, 0)
    (outcome,) = rejecting.step(0)[1]
    assert rejecting.undriven(outcome).code == Outcome.NOT_DRIVEN
    releasing = Schedule(gate_config(wiring="pulse_to_release"), 0)
    releasing.heartbeat(True, 0)
    releasing.expect(1, 0)
    releasing.clear(1)
    (outcome,) = releasing.step(0)[1]
    assert outcome.code == Outcome.PASSED
    assert releasing.undriven(outcome).code == Outcome.REJECTED_STOPPED


def test_a_reject_that_begins_too_late_stops_the_belt_and_must_be_looked_for():
    schedule = Schedule(gate_config(max_lateness_ms=8), 0)
    schedule.heartbeat(True, 0)
    schedule.expect(1, 100 * MS)
    schedule.expect(2, 130 * MS)
    (outcome,) = schedule.step(105 * MS)[1]
    assert schedule.begun(outcome, 108 * MS).code == Outcome.REJECTED
    assert schedule.step(120 * MS)[0].run_permit
    (outcome,) = schedule.step(135 * MS)[1]
    late = schedule.begun(outcome, 139 * MS)
    assert (late.part, late.code, late.lateness_ns) == (2, Outcome.NOT_DRIVEN, 9 * MS)
    signals, _ = schedule.step(139 * MS)
    assert signals.actuator
    assert not signals.run_permit
    schedule.heartbeat(True, 140 * MS)
    assert schedule.state(140 * MS) is GateState.REJECT_TOO_LATE
    schedule.reset()
    assert schedule.state(140 * MS) is GateState.RUNNING


def test_a_release_that_would_begin_too_late_is_left_out():
    schedule = Schedule(gate_config(wiring="pulse_to_release", width_ms=20), 0)
    schedule.heartbeat(True, 0)
    for part, due in ((1, 100 * MS), (2, 150 * MS)):
        schedule.expect(part, due)
        schedule.clear(part)
    assert outcomes_of(schedule.step(120 * MS)[1]) == {1: Outcome.PASSED}
    signals, outcomes = schedule.step(171 * MS)
    assert not signals.actuator, "it would let the next label through"
    assert outcomes_of(outcomes) == {2: Outcome.REJECTED_STOPPED}


events = st.lists(
    st.one_of(
        st.tuples(st.just("expect"), st.integers(1, 60)),
        st.tuples(st.just("clear"), st.integers(1, 60)),
        st.tuples(st.just("beat"), st.booleans()),
        st.tuples(st.just("wait"), st.integers(0, 80)),
        st.tuples(st.just("stall"), st.integers(0, 20)),
        st.tuples(st.just("gone"), st.none()),
        st.tuples(st.just("output"), st.booleans()),
    ),
    max_size=80,
)


@settings(max_examples=400)
@given(events, st.sampled_from(["pulse_to_reject", "pulse_to_release"]))
def test_whatever_happens_no_part_passes_uncleared_and_each_has_one_outcome(story, wiring):
    config = gate_config(wiring=wiring, stall_ms=50, width_ms=5)
    schedule = Schedule(config, 0)
    now, beat_at, ok = 0, None, False
    gone = failed = False
    expected: dict[int, int] = {}
    cleared: set[int] = set()
    seen: list[Message] = []
    pulses: list[int] = []

    def step() -> None:
        signals, outcomes = schedule.step(now)
        outcomes = [schedule.begun(outcome, now) if outcome.t_ns else outcome for outcome in outcomes]
        seen.extend(outcomes)
        if signals.actuator:
            pulses.append(now)
        fresh = beat_at is not None and now - beat_at <= 50 * MS
        if signals.run_permit:
            assert fresh
            assert ok
            assert not gone
            assert not failed
        for outcome in outcomes:
            wants_pulse = (outcome.code == Outcome.PASSED) == (wiring == "pulse_to_release")
            if wants_pulse:
                assert signals.actuator
                in_time = now - expected[outcome.part] <= 5 * MS
                assert in_time == (outcome.code != Outcome.NOT_DRIVEN)
            if outcome.code == Outcome.PASSED:
                assert outcome.part in cleared
                assert expected[outcome.part] <= now

    for action, value in story:
        match action:
            case "expect" if value not in expected:
                expected[value] = now + 100 * MS
                schedule.expect(value, expected[value])
            case "clear":
                if value in expected and value not in {message.part for message in seen}:
                    cleared.add(value)
                schedule.clear(value)
            case "beat" if not gone:
                schedule.heartbeat(value, now)
                beat_at, ok = now, value
            case "stall":
                now += value * MS
                step()
            case "wait":
                end = now + value * MS
                while now < end:
                    now = min(end, max(now + 1, schedule.next_wake_ns(now)))
                    step()
            case "gone":
                schedule.line_gone()
                gone = True
            case "output":
                schedule.output_failed(value)
                failed = value
        step()
    schedule.line_gone()
    gone = True
    for _ in range(400):
        now += MS
        step()
    assert sorted(message.part for message in seen) == sorted(expected)
    assert schedule.step(now)[0] == SAFE
    assert schedule.is_idle(now)
