"""Which precision a bundle offers and recommends, from what was measured."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from inspectd.errors import EngineError
from inspectd.inference import load_bundle
from inspectd.inference.preprocess import preprocess
from inspectd.learning.by_kind import ByKind
from inspectd.learning.threshold import calibrate
from inspectd_tools.deploy.precision import Candidate, choose
from inspectd_tools.deploy.quantise import quantise
from inspectd_tools.metrics.timing import interleaved
from inspectd_tools.networks.runtimes import openvino_network
from inspectd_tools.synthetic.render.label import CLASSES, UNKNOWNS, render
from tests.processes import is_running, state_and_more
from tests.system.container import wait_until

ENGINE = Path(__file__).parents[3] / "engines" / "filter-label"
MODEL = ENGINE / "openvino" / "model.xml"
THRESHOLD = calibrate(
    ByKind(np.ones(9, np.float32), {"crooked": np.zeros(99, np.float32)}, {"unknown_oil": np.zeros(99, np.float32)}),
    "0" * 64,
    0.05,
)


def candidate(precision: str, ms: float, changed: float = 0.0) -> Candidate:
    return Candidate(precision, lambda batch: batch, None, THRESHOLD, 0.01, changed, 0.0, np.full(10, ms))


@pytest.mark.parametrize(
    ("bf16", "int8", "offered", "recommended"),
    [
        ((1.0, 0.0), (2.0, 0.0), ["fp32", "bf16", "int8"], "bf16"),
        ((2.0, 0.0), (1.0, 0.01), ["fp32", "bf16", "int8"], "int8"),
        ((2.0, 0.0), (1.0, 0.02), ["fp32", "bf16"], "bf16"),
        ((4.0, 0.0), (5.0, 0.0), ["fp32", "bf16", "int8"], "fp32"),
        ((1.0, 0.5), (1.0, 0.5), ["fp32"], "fp32"),
    ],
)
def test_auto_recommends_the_fastest_that_keeps_the_verdicts(tmp_path, bf16, int8, offered, recommended):
    (tmp_path / "openvino-int8").mkdir()
    tried = [candidate("fp32", 3.0), candidate("bf16", *bf16), candidate("int8", *int8)]
    found, chosen, files = choose(tried, "auto", tmp_path)
    assert ([c.precision for c in found], chosen.precision) == (offered, recommended)
    assert (tmp_path / "openvino-int8").exists() == bool(files) == ("int8" in offered)


def test_what_was_asked_for_by_name_is_offered_and_recommended(tmp_path):
    tried = [candidate("fp32", 3.0), candidate("int8", 5.0, changed=0.2)]
    found, chosen, files = choose(tried, "int8", tmp_path)
    assert [c.precision for c in found] == ["fp32", "int8"]
    assert chosen.precision == "int8"
    assert [file.path for file in files] == ["openvino-int8/model.xml", "openvino-int8/model.bin"]


def test_candidates_take_turns():
    calls = []
    took_ms = interleaved({name: lambda name=name: calls.append(name) for name in "ab"}, runs=25)
    assert [len(values) for values in took_ms.values()] == [30, 30]
    turns = "".join(calls)
    assert turns == ("a" * 13 + "b" * 13) * 3


def test_int8_answers_nearly_as_fp32_does(tmp_path):
    spec = load_bundle(ENGINE).manifest.input
    kinds = [*CLASSES, *UNKNOWNS]
    images = [render(kind, np.random.default_rng([5, place])).image for place, kind in enumerate(kinds)]
    pixels = np.concatenate([preprocess(image, spec) for image in images])
    fp32 = openvino_network(MODEL)
    scores = np.concatenate([fp32(image[None]) for image in pixels])
    quantise(MODEL, pixels, scores, tmp_path / "int8")
    int8 = openvino_network(tmp_path / "int8" / "model.xml", "int8")
    found = np.concatenate([int8(image[None]) for image in pixels])
    assert (found.argmax(1) == scores.argmax(1)).all()
    assert np.abs(found.max(1) - scores.max(1)).max() <= 0.05
    assert np.abs(found - scores).max() > 1e-4  # it is another arithmetic


_LONG_WORK = """
from pathlib import Path
import sys
import numpy as np
from inspectd_tools.deploy.quantise import quantise

pixels = np.random.default_rng(0).integers(0, 256, (300, 1, 192, 256), np.uint8)
quantise(Path(sys.argv[1]), pixels, np.zeros((300, 4), np.float32), Path(sys.argv[2]))
"""


def test_of_a_killed_build_no_quantisation_goes_on(tmp_path):
    with subprocess.Popen([sys.executable, "-c", _LONG_WORK, str(MODEL), str(tmp_path / "int8")]) as building:
        try:
            quantising = wait_until(lambda: busy_child(building.pid), "a quantisation at work", 90)
        finally:
            building.kill()
    wait_until(lambda: not is_running(quantising), "its end", 5)


def test_a_quantisation_without_end_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("inspectd_tools.deploy.quantise._LONGEST_S", 0.5)  # less than it takes to load NNCF
    pixels = np.zeros((300, 1, 192, 256), np.uint8)
    with pytest.raises(EngineError, match="take fp32 or bf16"):
        quantise(MODEL, pixels, np.zeros((300, 4), np.float32), tmp_path / "int8")
    assert not (tmp_path / "int8").exists()


def busy_child(parent: int) -> int | None:
    """The process that quantises, once it has begun to."""
    for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        command = Path(f"/proc/{pid}/cmdline").read_text()
        if "spawn_main" in command and int(state_and_more(int(pid))[11]) > 3 * os.sysconf("SC_CLK_TCK"):
            return int(pid)
    return None
