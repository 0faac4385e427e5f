"""Where the time goes, and that a line whose labels can never be in time does not start."""

import re
import subprocess
import sys

import cv2
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from inspectd.camera.opencv import OpencvConfig
from inspectd.cli import main
from inspectd.line.time_budget import TimeBudget, measure_record_ms
from inspectd.ownership import Claim
from inspectd.records.journal import JournalConfig
from tests.camera.mjpeg_peer import MjpegPeer
from tests.factories import add_guard, make_toy_bundle, small_label, toy_image

MS = st.floats(0.01, 1000)


@given(MS, MS, MS, MS, MS)
def test_no_label_can_be_passed_exactly_when_it_is_refused(image_ms, engine_ms, record_ms, max_age_ms, delay_ms):
    budget = TimeBudget(image_ms, engine_ms, 0, engine_ms, record_ms, max_age_ms, delay_ms)
    is_judged = image_ms < max_age_ms
    is_in_time = image_ms + engine_ms + record_ms < delay_ms
    assert (budget.refusal is None) == (is_judged and is_in_time)
    if budget.refusal is None:
        assert budget.warning is None


def test_a_slow_label_of_a_hundred_is_a_warning():
    budget = TimeBudget(10, 20, 0, 95, 1, 90, 100)
    assert budget.refusal is None
    assert "slowest of 100 labels takes 95.0 ms in the engine" in str(budget.warning)


def test_the_time_for_texts_counts():
    budget = TimeBudget(1, 5, 3, 9, 1, 90, 100, period_ms=9.5)
    assert "image 1.0 + engine 5.0 + texts 3.0 + record 1.0 = 10.0 ms" in str(budget)
    assert budget.warning is None
    assert TimeBudget(1, 5, 4, 9, 1, 90, 100, period_ms=9.5).warning
    assert TimeBudget(1, 5, 94, 9, 1, 90, 100).refusal
    assert "texts" not in str(TimeBudget(1, 5, 0, 9, 1, 90, 100))


def test_more_labels_than_the_engine_judges_are_a_warning():
    assert "a label comes every 10.0 ms" in str(TimeBudget(1, 12, 0, 12, 1, 90, 100, period_ms=10).warning)
    assert TimeBudget(1, 8, 0, 8, 1, 90, 100, period_ms=10).warning is None


def test_a_commit_is_measured_and_leaves_nothing(tmp_path):
    assert 0 < measure_record_ms(JournalConfig(path=tmp_path / "journal.sqlite")) < 1000
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def line(tmp_path):
    """A line config on the emulated camera, with a toy engine; returns (config file, its values)."""
    make_toy_bundle(tmp_path / "engine")
    (tmp_path / "images").mkdir()
    for number in range(20):
        cv2.imwrite(str(tmp_path / f"images/{number:02d}.png"), toy_image("no_fail", seed=number))
    values = {
        "engine": "engine",
        "camera": {
            "kind": "pylon",
            "emulated": {"images": "images"},
            "exposure_us": 1000,
            "trigger": {"source": "software", "rate_hz": 20},
            "max_age_ms": 90,
        },
        "gate": {
            "wiring": "pulse_to_reject",
            "delay_ms": 120,
            "width_ms": 5,
            "realtime_priority": 0,
            "output": {"kind": "simulated", "record": "output.jsonl"},
        },
        "journal": {"path": "journal.sqlite"},
    }
    return tmp_path / "line.yaml", values


def write(line) -> str:
    path, values = line
    path.write_text(yaml.safe_dump(values))
    return str(path)


def row(out: str, what: str) -> str:
    """A row of the table on one line."""
    return " ".join(re.sub("[\u2502\\s]+", " ", out[out.index(f" {what} ") :]).split())


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")


def test_check_says_where_the_time_goes(line, capsys):
    main(["check", "--config", write(line)])
    said = row(capsys.readouterr().out, "time budget")
    assert re.search(r"image \d+\.\d \+ engine \d+\.\d \+ record \d+\.\d = \d+\.\d ms of gate.delay_ms 120", said)


@pytest.mark.alone
def test_check_says_whether_small_faults_are_seen(line, capsys):
    main(["check", "--config", write(line)])
    said = row(capsys.readouterr().out, "small faults")
    assert said.startswith("small faults warn this engine has no guard: it sees gross faults only; a lost character")
    assert "tools/fit_guard.py" in said.split(" time budget ")[0]


@pytest.mark.alone
def test_check_names_the_guard_and_compares_the_sizes_of_its_images(line, capsys):
    folder = line[0].parent
    add_guard(folder / "engine")
    assert main(["check", "--config", write(line)]) == 1
    said = row(capsys.readouterr().out, "small faults")
    assert said.startswith(
        "small faults FAIL the guard of this engine was fitted to images of 160x120 px, but the image has 64x48 px"
    )
    for path in (folder / "images").iterdir():
        cv2.imwrite(str(path), small_label(seed=int(path.stem)))
    assert main(["check", "--config", write(line)]) == 0
    assert row(capsys.readouterr().out, "small faults").startswith("small faults ok guard fitted to 12 good labels")


@pytest.mark.alone
def test_a_delay_that_leaves_no_time_fails_in_check(line, capsys):
    line[1]["camera"] |= {"exposure_us": 5000, "max_age_ms": 5.1}  # readout and transfer come on top
    line[1]["gate"]["delay_ms"] = 5.2
    for _ in range(3):  # in a pause of the machine no label may come
        code, said = main(["check", "--config", write(line)]), row(capsys.readouterr().out, "time budget")
        if "no label came" not in said:
            break
    assert code == 1
    assert said.startswith("time budget FAIL an image comes")


@pytest.mark.parametrize(
    ("camera", "delay_ms", "says"),
    [
        ({"exposure_us": 200_000, "max_age_ms": 100}, 120, "200.0 ms after its trigger"),
        ({"exposure_us": 4999, "max_age_ms": 5}, 5.0, "gate.delay_ms is 5"),
        ({"exposure_us": 1000, "trigger": {"source": "line", "delay_us": 90_000}}, 120, "91.0 ms after its trigger"),
    ],
    ids=["exposure over age", "nothing left for the engine", "trigger delay"],
)
def test_a_line_whose_labels_can_never_be_in_time_does_not_start(line, camera, delay_ms, says):
    line[1]["camera"] |= camera
    line[1]["gate"]["delay_ms"] = delay_ms
    line[1]["engine"] = "slow"
    make_toy_bundle(line[0].parent / "slow", width=640, height=480)
    command = [sys.executable, "-m", "inspectd", "run", "--config", write(line)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 78, ended.stderr
    assert says in ended.stderr
    assert "line.yaml" in ended.stderr


def test_a_guard_for_other_images_than_the_config_states_does_not_start(line):
    add_guard(line[0].parent / "engine")
    line[1]["camera"] = {"kind": "opencv", "device": 0, "width_px": 640, "height_px": 480, "max_age_ms": 90}
    command = [sys.executable, "-m", "inspectd", "run", "--config", write(line)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 78, ended.stderr
    assert "fitted to images of 160x120 px, but the image has 640x480 px" in ended.stderr


def test_check_beside_a_running_line_says_so_and_goes_on(line, capsys):
    with MjpegPeer([]) as peer:
        line[1]["camera"] = {"kind": "opencv", "device": peer.url("op:s3cret@"), "max_age_ms": 90}
        owned = OpencvConfig.model_validate(line[1]["camera"]).resolved
        with Claim(f"camera {owned}"):
            main(["check", "--config", write(line)])
    out = capsys.readouterr().out
    said = row(out, "camera")
    assert "warn" in said.split(" time budget ")[0]
    assert "in use by the running line (process " in said
    assert "no label came" in row(out, "time budget")
    assert " output " in out
    assert "s3cret" not in out
