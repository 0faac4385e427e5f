"""The second fault campaign trusts only the plant: coils as an independent device recorded them, and the rendered truth.

`make campaign` runs its long form and prints the table. The short form takes the same rounds from two lines.
"""

import os

import pytest
from rich.console import Console

from tests.plant.campaign import Campaign, Settings
from tests.plant.truth import Rejector

pytestmark = pytest.mark.faults

ROUNDS = int(os.environ.get("INSPECTD_ROUNDS", "0"))
SEED = int(os.environ.get("INSPECTD_SEED", "20261127"))

REJECT = Settings(40, 150, 300, Rejector("pulse_to_reject", delay_ms=300, width_ms=15, max_lateness_ms=15))
RELEASE = Settings(50, 150, 0, Rejector("pulse_to_release", delay_ms=300, width_ms=12, max_lateness_ms=10))


def check(campaign):
    assert not campaign.failures, "\n\n".join(campaign.failures)
    assert all(tally.labels for tally in campaign.tallies.values())


@pytest.mark.parametrize(
    ("settings", "faults"),
    [
        pytest.param(
            REJECT,
            [
                "cable_cut",
                "stuck_actuator",
                "line_stopped",
                "both_killed",
                "gate_killed",
                "stopped_in_a_cut",
                "slow_answers",
            ],
            id="pulse_to_reject",
        ),
        pytest.param(
            RELEASE,
            [
                "cable_cut",
                "gate_stopped",
                "plc_restart",
                "line_killed_in_a_cut",
                "overwritten_by_program",
                "bad_answers",
                "clean_stop",
            ],
            id="pulse_to_release",
        ),
    ],
)
@pytest.mark.skipif(ROUNDS > 0, reason="the long form has them all")
def test_no_faulty_label_passes_unsought(tmp_path, settings, faults):
    campaign = Campaign(tmp_path, SEED)
    campaign.run_line(settings, faults)
    check(campaign)


@pytest.mark.parametrize(
    "rejector",
    [
        Rejector("pulse_to_reject", delay_ms=300, width_ms=20, max_lateness_ms=20),
        Rejector("pulse_to_reject", delay_ms=300, width_ms=60, max_lateness_ms=60),
        Rejector("pulse_to_release", delay_ms=300, width_ms=16, max_lateness_ms=16),
        Rejector("pulse_to_release", delay_ms=300, width_ms=30, max_lateness_ms=30),
    ],
    ids=lambda rejector: f"{rejector.wiring}-{rejector.width_ms}",
)
def test_a_pulse_that_would_act_on_the_label_behind_is_refused(tmp_path, rejector):
    campaign = Campaign(tmp_path, SEED)
    campaign.run_line(Settings(50, 150, 0, rejector), [])
    check(campaign)
    assert len(campaign.refused) == 1


@pytest.mark.skipif(ROUNDS == 0, reason="INSPECTD_ROUNDS=500 runs the long form: 17 minutes")
@pytest.mark.timeout(0)
def test_the_long_form(tmp_path, capsys):
    campaign = Campaign(tmp_path, SEED, realtime=True)
    campaign.run(ROUNDS)
    with capsys.disabled():
        Console(width=180).print(campaign.table())
    check(campaign)
