"""How fast a trained network answers, one photo at a time, on the runtimes that the line knows."""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from inspectd.inference.openvino import has_bf16
from inspectd_tools.data.images import Images
from inspectd_tools.deploy.export import write_model_files
from inspectd_tools.deploy.predict import openvino_network
from inspectd_tools.experiments.records import Figure
from inspectd_tools.metrics.timing import interleaved
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.networks.exported import exported
from inspectd_tools.settings import TrainingSettings


def speed(runs: int, settings: TrainingSettings, classifier: Classifier, test: Images) -> Iterator[Figure]:
    """All cores, in turns, without preprocessing."""
    model = exported(classifier, settings.input)

    @torch.inference_mode()
    def eager(batch: NDArray[np.uint8]) -> object:
        return model(torch.from_numpy(batch))

    with tempfile.TemporaryDirectory(prefix="inspectd-experiment-") as folder:
        write_model_files(model, settings.input, Path(folder))
        session = onnxruntime.InferenceSession(Path(folder) / "model.onnx", providers=["CPUExecutionProvider"])
        candidates: dict[str, Callable[[NDArray[np.uint8]], object]] = {
            "PyTorch": eager,
            "ONNX Runtime": lambda batch: session.run(None, {"image": batch}),
            "OpenVINO fp32": openvino_network(Path(folder) / "openvino" / "model.xml"),
        }
        if has_bf16():
            candidates["OpenVINO bf16"] = openvino_network(Path(folder) / "openvino" / "model.xml", "bf16")
        took_ms = interleaved({name: partial(run, test.pixels[:1]) for name, run in candidates.items()}, runs)
    for name, values in took_ms.items():
        yield Figure("speed", f"{name} ms p50", float(np.median(values)))
        yield Figure("speed", f"{name} ms p99", float(np.percentile(values, 99)))
        yield Figure("speed", f"{name} images/s", float(1000 / values.mean()))
