"""The arithmetics that a bundle offers besides fp32, and the one that it recommends.

Another arithmetic changes certainties, so each gets its own threshold, chosen in the same way as that of fp32. The verdicts on
the calibration images then say how much it differs.
"""

import math
import shutil
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from inspectd.decision import Policy
from inspectd.errors import EngineError
from inspectd.inference.manifest import Arithmetic, ArithmeticName, Precision, Threshold
from inspectd.inference.openvino import has_bf16
from inspectd.part import words
from inspectd_tools.deploy.bundle import Model
from inspectd_tools.deploy.judged import Judged
from inspectd_tools.deploy.onnx_graph import in_int8
from inspectd_tools.deploy.quantise import MOST_IMAGES, quantise, spread
from inspectd_tools.deploy.threshold import Tries, calibrate
from inspectd_tools.metrics.timing import Latency, interleaved
from inspectd_tools.networks.predict import Network
from inspectd_tools.networks.runtimes import onnx_network, openvino_network
from inspectd_tools.settings import TrainingSettings

Wanted = Literal["fp32", "bf16", "int8", "auto"]
WANTED: tuple[Wanted, ...] = get_args(Wanted)
INT8 = "openvino-int8"
_MOST_CHANGED = 0.01
_RUNS = 200
_RANGES = f"; up to {MOST_IMAGES} of these photos gave the ranges of INT8"
_REMARKS = {
    "int8": f"{_RANGES}, and their scores chose which layers are INT8, so these photos may suit it better than others",
    "tensorrt-int8": _RANGES,
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One arithmetic, compared with fp32 on the calibration images, each at its own threshold."""

    precision: ArithmeticName
    network: Network
    calibration: Judged
    threshold: Threshold
    changed: float
    """Share of the verdicts that differ from fp32."""
    moved: float
    """Largest difference of a certainty to fp32."""
    took_ms: NDArray[np.float64] | None
    """None for a TensorRT plan, which is not run where it is built."""

    @property
    def p50_ms(self) -> float:
        """Infinite if nothing was run."""
        return math.inf if self.took_ms is None else Latency.of(self.took_ms).p50_ms

    @property
    def p50_p99(self) -> tuple[str, str]:
        """In ms; dashes if nothing was run."""
        if self.took_ms is None:
            return "-", "-"
        latency = Latency.of(self.took_ms)
        return f"{latency.p50_ms:.2f}", f"{latency.p99_ms:.2f}"

    @property
    def holds(self) -> bool:
        return self.changed <= _MOST_CHANGED

    def arithmetic(self, golden: list[int]) -> Arithmetic:
        """`golden`: indices of the golden images among the calibration images."""
        recorded = tuple(self.calibration.scores_by_class(place) for place in golden)
        return Arithmetic(threshold=self.threshold, golden_scores=recorded)


def try_out(
    wanted: Wanted,
    bundle: Path,
    calibration: Judged,
    threshold: Threshold,
    settings: TrainingSettings,
    remark: str,
    tries: Tries,
) -> list[Candidate]:
    """fp32 first, then the arithmetic that was asked for; `auto`: all that this processor has. INT8 writes `openvino-int8/`.

    `calibration` and `threshold`: those of fp32. Raises EngineError if the processor has no bf16, NNCF is not installed, or no
    threshold keeps the bound; with `auto`, such an arithmetic is left out.
    """
    networks: dict[Precision, Network] = {"fp32": openvino_network(bundle / "openvino" / "model.xml")}
    if wanted == "bf16" and not has_bf16():
        raise EngineError("--precision bf16: this processor has no bf16, so it can't be calibrated on this machine")
    if wanted == "bf16" or (wanted == "auto" and has_bf16()):
        networks["bf16"] = openvino_network(bundle / "openvino" / "model.xml", "bf16")
    if wanted in ("int8", "auto"):
        try:
            quantise(bundle / "openvino" / "model.xml", calibration.images.pixels, calibration.scores, bundle / INT8)
            networks["int8"] = openvino_network(bundle / INT8 / "model.xml", "int8")
        except EngineError as error:
            if wanted == "int8":
                raise
            print(f"build_engine: int8 is left out: {error}", file=sys.stderr)
    image = calibration.images.pixels[:1]
    took_ms = interleaved({name: partial(network, image) for name, network in networks.items()}, _RUNS)
    found = []
    for name, network in networks.items():
        try:
            found.append(_judged(name, network, calibration, threshold, settings, remark, tries, took_ms[name]))
        except EngineError as error:
            if wanted != "auto":
                raise
            print(f"build_engine: {name} is left out: {error}", file=sys.stderr)
    return found


def try_out_plan(
    model: bytes, calibration: Judged, threshold: Threshold, settings: TrainingSettings, remark: str, tries: Tries
) -> tuple[Candidate, bytes]:
    """INT8 for TensorRT, and the graph (ONNX) for its plan. `model`: content of model.onnx; the rest as in `try_out`.

    The scores are computed on the CPU, as the graph defines all rounding. A GPU adds in another order, so a value between two
    steps may be rounded to the other; the golden images show whether that matters. Raises EngineError if more than 1 % of the
    verdicts change, or no threshold keeps the bound.
    """
    pixels = calibration.images.pixels
    graph = in_int8(model, pixels[spread(len(pixels))])
    found = _judged(
        "tensorrt-int8", onnx_network(graph, as_written=True), calibration, threshold, settings, remark, tries, None
    )
    if not found.holds:
        raise EngineError(
            f"--tensorrt int8: {found.changed:.2%} of the calibration verdicts would differ from fp32, but at most "
            f"{_MOST_CHANGED:.0%} may; the largest change of a certainty is {found.moved:.3f}; use --tensorrt fp16"
        )
    return found, graph


def choose(tried: list[Candidate], wanted: Wanted, bundle: Path) -> tuple[list[Candidate], Candidate, list[Model]]:
    """The arithmetics that the bundle offers, the one that it recommends, and the files of an INT8 model.

    An arithmetic that was asked for by name is offered and recommended. `auto` offers those that keep the verdicts, and
    recommends the fastest.
    """
    offered, chosen = tried, tried[-1]
    if wanted == "auto":
        offered = [candidate for candidate in tried if candidate.holds]
        chosen = min(offered, key=lambda candidate: candidate.p50_ms)
    if all(candidate.precision != "int8" for candidate in offered):
        shutil.rmtree(bundle / INT8, ignore_errors=True)
        return offered, chosen, []
    return offered, chosen, [Model(f"{INT8}/model.{suffix}", "openvino", "int8") for suffix in ("xml", "bin")]


def precision_table(candidates: list[Candidate], chosen: Candidate) -> Table:
    columns = (
        "precision",
        "ms p50",
        "p99",
        "threshold",
        "good\nrejected",
        "verdicts\nchanged",
        "certainty\nmoved by",
        "",
    )
    table = Table(*columns, box=SIMPLE_HEAD, padding=0)  # fits into 80 columns
    for c in candidates:
        mark = "recommended" if c is chosen else "" if c.holds else Text("too many", "red")
        table.add_row(
            c.precision,
            *c.p50_p99,
            f"{c.threshold.value:.3f}",
            f"{c.threshold.false_reject_rate:.2%}",
            f"{c.changed:.2%}",
            f"{c.moved:.3f}",
            mark,
        )
    return table


def _judged(
    name: ArithmeticName,
    network: Network,
    calibration: Judged,
    threshold: Threshold,
    settings: TrainingSettings,
    remark: str,
    tries: Tries,
    took_ms: NDArray[np.float64] | None,
) -> Candidate:
    judged, own = calibration, threshold
    if name != "fp32":
        judged = calibration.by(network, f"val: infer, {name}")
        ranges = _REMARKS.get(name, "")
        fingerprint, alpha = threshold.calibration_fingerprint, threshold.alpha
        own = calibrate(judged.by_kind(settings), fingerprint, alpha, remark + ranges, tries)
    changed = _verdicts(judged, own, settings) != _verdicts(calibration, threshold, settings)
    moved = np.abs(judged.honest.max(1) - calibration.honest.max(1)).max()
    return Candidate(name, network, judged, own, float(changed.mean()), float(moved), took_ms)


def _verdicts(judged: Judged, threshold: Threshold, settings: TrainingSettings) -> NDArray[np.str_]:
    """The class of a fault, else the verdict."""
    policy = Policy(settings.classes, settings.pass_class, threshold.value)
    return np.array([words(policy.judge(scores)).label for scores in judged.honest.tolist()])
