"""The arithmetics that a bundle offers besides fp32, and the one that it recommends.

Another arithmetic changes certainties, so each gets its own threshold, chosen in the same way as that of fp32. The verdicts on
the calibration images then say how much it differs.
"""

import math
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from inspectd.errors import EngineError
from inspectd.inference.manifest import Arithmetic, ArithmeticName, Threshold
from inspectd.inference.openvino import has_bf16
from inspectd_tools.deploy.bundle import Model
from inspectd_tools.deploy.calibration import Calibration
from inspectd_tools.deploy.judged import Judged
from inspectd_tools.deploy.onnx_graph import in_half_precision, in_int8
from inspectd_tools.deploy.options import Wanted
from inspectd_tools.deploy.quantise import MOST_IMAGES, quantise, spread
from inspectd_tools.metrics.timing import Latency, interleaved
from inspectd_tools.networks.predict import Network
from inspectd_tools.networks.runtimes import onnx_network, openvino_network

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
    tolerance: float
    """Largest difference allowed for a score of a golden image."""
    changed: float
    """Share of the images that pass in one of this arithmetic and fp32, but not in the other."""
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
        return Arithmetic(threshold=self.threshold, golden_scores=recorded, golden_tolerance=self.tolerance)


def try_out(wanted: Wanted, bundle: Path, calibration: Calibration) -> list[Candidate]:
    """fp32 and ONNX Runtime first, then the arithmetic that was asked for; `auto`: all that this processor has. INT8 writes
    `openvino-int8/`.

    Raises EngineError if the processor has no bf16, NNCF is not installed, or no threshold keeps the bound; with `auto`, such an
    arithmetic is left out.
    """
    names: list[ArithmeticName] = ["fp32", "onnxruntime"]
    if wanted == "bf16" or (wanted == "auto" and has_bf16()):
        names.append("bf16")
    if wanted in ("int8", "auto"):
        judged = calibration.judged
        try:
            quantise(bundle / "openvino" / "model.xml", judged.images.pixels, judged.scores, bundle / INT8)
            names.append("int8")
        except EngineError as error:
            if wanted == "int8":
                raise
            print(f"build_engine: int8 is left out: {error}", file=sys.stderr)
    return compare(names, bundle, calibration, forgiving=wanted == "auto")


def compare(
    names: Sequence[ArithmeticName], bundle: Path, calibration: Calibration, *, forgiving: bool = False
) -> list[Candidate]:
    """These arithmetics of the files in `bundle`, fp32 first, each with a threshold and a tolerance of its own.

    Raises EngineError if one can't run here, or no threshold keeps the bound; `forgiving`: it is left out instead, and said.
    """
    networks = {name: network_at(bundle, name) for name in names}
    image = calibration.judged.images.pixels[:1]
    timed = {name: partial(network, image) for name, network in networks.items() if not name.startswith("tensorrt")}
    took_ms = interleaved(timed, _RUNS)
    found: list[Candidate] = []
    for name, network in networks.items():
        try:
            found.append(_candidate(name, network, calibration, found[0] if found else None, took_ms.get(name)))
        except EngineError as error:
            if not forgiving or name == "fp32":
                raise
            print(f"build_engine: {name} is left out: {error}", file=sys.stderr)
    return found


def network_at(bundle: Path, name: ArithmeticName) -> Network:
    """The network in the files of `bundle`, in this arithmetic. Raises EngineError if it can't run here.

    An FP16 plan of TensorRT is computed on the CPU, as its graph defines all rounding. A GPU adds in another order.
    """
    match name:
        case "fp32":
            return openvino_network(bundle / "openvino" / "model.xml")
        case "onnxruntime":
            return onnx_network(bundle / "model.onnx")
        case "bf16":
            if not has_bf16():
                raise EngineError("bf16: this processor has no bf16, so it can't be calibrated on this machine")
            return openvino_network(bundle / "openvino" / "model.xml", "bf16")
        case "int8":
            return openvino_network(bundle / INT8 / "model.xml", "int8")
        case "tensorrt-fp16":
            return onnx_network(in_half_precision((bundle / "model.onnx").read_bytes()), as_written=True)
        case "tensorrt-int8":
            raise EngineError(f"{name}: its graph is not kept, so its plan can only be calibrated while it is built")


def try_out_plan(
    precision: Literal["fp16", "int8"], bundle: Path, calibration: Calibration, fp32: Candidate
) -> tuple[Candidate, bytes]:
    """A TensorRT plan, and the graph (ONNX) that it is built from.

    The scores are computed on the CPU, as the graph defines all rounding. A GPU adds in another order, so a value between two
    steps may be rounded to the other; the golden images show whether that matters. Raises EngineError if more than 1 % of the
    verdicts change, or no threshold keeps the bound.
    """
    model, pixels = (bundle / "model.onnx").read_bytes(), calibration.judged.images.pixels
    graph = in_half_precision(model) if precision == "fp16" else in_int8(model, pixels[spread(len(pixels))])
    name: ArithmeticName = "tensorrt-fp16" if precision == "fp16" else "tensorrt-int8"
    found = _candidate(name, onnx_network(graph, as_written=True), calibration, fp32, None)
    if not found.holds:
        advice = "use --tensorrt fp16" if precision == "int8" else "build without --tensorrt"
        raise EngineError(
            f"--tensorrt {precision}: {found.changed:.2%} of the calibration verdicts would differ from fp32, but at most "
            f"{_MOST_CHANGED:.0%} may; the largest change of a certainty is {found.moved:.3f}; {advice}"
        )
    return found, graph


def choose(tried: list[Candidate], wanted: Wanted, bundle: Path) -> tuple[list[Candidate], Candidate, list[Model]]:
    """The arithmetics that the bundle offers, the one that it recommends, and the files of an INT8 model.

    An arithmetic that was asked for by name is offered and recommended. `auto` offers those that keep the verdicts, and
    recommends the fastest.
    """
    if wanted == "auto":
        offered = [candidate for candidate in tried if candidate.holds]
        chosen = min((c for c in offered if c.precision != "onnxruntime"), key=lambda candidate: candidate.p50_ms)
    else:
        offered, chosen = tried, next(candidate for candidate in tried if candidate.precision == wanted)
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


def _candidate(
    name: ArithmeticName,
    network: Network,
    calibration: Calibration,
    fp32: Candidate | None,
    took_ms: NDArray[np.float64] | None,
) -> Candidate:
    """`fp32`: None for fp32 itself."""
    judged = calibration.judged if fp32 is None else calibration.judged.by(network, f"val: infer, {name}")
    threshold = calibration.threshold(judged, name, _REMARKS.get(name, ""))
    product = calibration.product
    changed = moved = 0.0
    if fp32 is not None:
        passes = judged.certainty(product) >= threshold.value
        changed = float((passes != (fp32.calibration.certainty(product) >= fp32.threshold.value)).mean())
        moved = float(np.abs(judged.honest.max(1) - fp32.calibration.honest.max(1)).max())
    tolerance = calibration.tolerance(judged, threshold, name)
    return Candidate(name, network, judged, threshold, tolerance, changed, moved, took_ms)
