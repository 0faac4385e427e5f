"""Calibration and test images, and the scores an exported network gives them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from inspectd.inference.openvino import core
from inspectd.terminal import track
from inspectd_tools.data.images import Images, load_judged
from inspectd_tools.data.manifest import Split
from inspectd_tools.deploy.threshold import Groups
from inspectd_tools.metrics.rates import pass_certainty
from inspectd_tools.settings import TrainingSettings

Network: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""(1, C, H, W) uint8 -> (1, K)"""


@dataclass(frozen=True, slots=True)
class Judged:
    """`scores` (N, K) of the images. `names` of their labels: classes, then kinds of unknowns."""

    images: Images
    names: tuple[str, ...]
    scores: NDArray[np.float32]

    def by(self, network: Network, what: str) -> "Judged":
        """The same images, judged by another network."""
        return replace(self, scores=_scores(self.images, network, what))

    def scores_by_class(self, place: int) -> dict[str, float]:
        """Of one image, as a manifest records them."""
        row = self.scores[place]
        return dict(zip(self.names[: len(row)], map(float, row), strict=True))

    def groups(self, settings: TrainingSettings) -> Groups:
        values = pass_certainty(self.scores, settings.classes.index(settings.pass_class))
        certainty = {name: values[self.images.labels == label] for label, name in enumerate(self.names)}
        return Groups.of(certainty, settings.pass_class)

    def right(self, settings: TrainingSettings) -> tuple[int, int]:
        """Images of known classes whose largest score is their class's, and of how many."""
        known = self.images.labels < len(settings.classes)
        return int((self.scores[known].argmax(1) == self.images.labels[known]).sum()), int(known.sum())


def judge(source: Path, side: Split, settings: TrainingSettings, network: Network) -> Judged:
    """`source`: a manifest, of which `side` is taken, or a folder of class folders. Raises ConfigError."""
    images, names = load_judged(source, side, settings.classes, settings.input, f"{side}: decode")
    return Judged(images, names, _scores(images, network, f"{side}: infer"))


def openvino_network(xml: Path, precision: Literal["fp32", "bf16", "int8"] = "fp32", threads: int = 0) -> Network:
    """Compiled as the daemon compiles it; `precision` as in `InferenceConfig`."""
    hint = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    hint["INFERENCE_PRECISION_HINT"] = "bf16" if precision == "bf16" else "f32"
    request = core().compile_model(xml, "CPU", hint).create_infer_request()

    def infer(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = request.infer([batch])[0].copy()
        return scores

    return infer


def onnx_network(graph: bytes) -> Network:
    """Node by node, as the graph says it, on the CPU: no kernel of the CPU's own takes the place of several nodes."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def infer(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = session.run(None, {name: batch})[0]
        return scores

    return infer


def _scores(images: Images, network: Network, what: str) -> NDArray[np.float32]:
    return np.concatenate([network(pixels[None]) for pixels in track(images.pixels, what)])
