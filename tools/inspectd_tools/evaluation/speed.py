"""Inference time, one photo at a time, on every runtime and precision that the model can run on here."""

from dataclasses import asdict
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from inspectd.errors import EngineError, InferenceError
from inspectd.inference import Bundle, InferenceConfig
from inspectd.terminal import track
from inspectd_tools.evaluation.model import Model, open_engine
from inspectd_tools.metrics.timing import Latency, interleaved

RUNS = 100
_ALL = (
    ("openvino", "fp32"),
    ("openvino", "bf16"),
    ("openvino", "int8"),
    ("onnxruntime", "fp32"),
    ("onnxruntime", "int8"),
    ("tensorrt", "fp32"),
    ("tensorrt", "int8"),
)


def measure(model: Model, pixels: NDArray[np.uint8]) -> list[dict[str, Any]]:
    """p50 and p99 in ms and images/s of 100 inferences of (N, C, H, W), without preprocessing; or why one is not available."""
    if model.bundle is None:
        return [_row(model, pixels)]
    rows = []
    for backend, precision in track(_listed(model.bundle), "speed"):
        config = InferenceConfig.model_validate({"backend": backend, "precision": precision})
        try:
            rows.append(_row(open_engine(model.bundle, config), pixels))
        except (EngineError, InferenceError) as error:
            rows.append({"backend": backend, "precision": precision, "refused": str(error)})
    return rows


def speed_table(rows: list[dict[str, Any]]) -> Table:
    table = Table(
        "backend", "precision", "p50 ms", "p99 ms", "images/s", title=f"one image at a time, {RUNS} runs, all cores"
    )
    for row in rows:
        if "refused" in row:
            table.add_row(row["backend"], row["precision"], "-", "-", f"not available here: {row['refused']}")
        else:
            figures = f"{row['p50_ms']:.2f}", f"{row['p99_ms']:.2f}", f"{row['images_per_s']:.0f}"
            table.add_row(row["backend"], row["precision"], *figures)
    return table


def _listed(bundle: Bundle) -> list[tuple[str, str]]:
    """What the bundle has files for. Loading one shows whether this machine can run it."""
    has = {(file.backend, file.precision == "int8") for file in bundle.manifest.files}
    return [pair for pair in _ALL if (pair[0], pair[1] == "int8") in has]


def _row(model: Model, pixels: NDArray[np.uint8]) -> dict[str, Any]:
    photos = cycle(pixels)
    took_ms = interleaved({model.name: lambda: model.infer(next(photos)[None])}, RUNS)[model.name]
    return {"backend": model.backend, "precision": model.precision, "runs": RUNS, **asdict(Latency.of(took_ms))}
