from dataclasses import replace

import pytest

from inspectd.gate.outcome import GateState, Stop
from inspectd.line.ledger import Tally
from inspectd.line.line import Health
from inspectd.service.status import StatusLine

TALLY = Tally(triggers=10, passed=7, faults={"crooked": 1}, uncertain=1, missed={"late": 1}, open=0)


def health(**changes: object) -> Health:
    return Health(True, 1, 1, 1, GateState.RUNNING, Stop(0), **changes)


def test_the_status_says_what_passed_what_was_rejected_and_what_the_gate_does():
    text = StatusLine().text(TALLY, health(), 0)
    assert text.startswith("0 parts/min, 7 passed, 3 rejected, last reject ")
    assert text.endswith(", gate running")


@pytest.mark.parametrize("lost", [1, 2])
def test_images_that_the_archive_dropped_are_in_the_status(lost):
    assert StatusLine().text(TALLY, health(images_lost=lost), 0).endswith(f", gate running, {lost} images lost")


def test_the_last_reject_may_be_an_anomaly():
    status = StatusLine()
    status.text(TALLY, health(), 0)
    tally = replace(TALLY, triggers=11, uncertain=2, anomalies=1)
    assert "4 rejected, last reject anomaly at " in status.text(tally, health(), 1)
    tally = replace(tally, triggers=12, uncertain=3)
    assert "5 rejected, last reject uncertain at " in status.text(tally, health(), 2)


def test_the_status_says_every_latched_stop():
    stopped = replace(health(), gate_state=GateState.STOPPED, stops=Stop.REJECT_NOT_DRIVEN | Stop.TOO_MANY_REJECTS)
    assert StatusLine().text(TALLY, stopped, 0).endswith(", gate stopped: too_many_rejects, reject_not_driven")
