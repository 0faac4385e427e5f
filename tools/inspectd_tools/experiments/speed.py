"""Inference time of a trained network, one photo at a time, on the runtimes of the line."""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from inspectd.inference.openvino import has_bf16
from inspectd_tools.data.images import Images
from inspectd_tools.deploy.export import write_model_files
from inspectd_tools.experiments.records import Figure
from inspectd_tools.metrics.timing import Latency, interleaved
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.networks.exported import exported
from inspectd_tools.networks.runtimes import onnx_network, openvino_network, torch_network
from inspectd_tools.settings import TrainingSettings


def speed(runs: int, settings: TrainingSettings, classifier: Classifier, test: Images) -> Iterator[Figure]:
    """All cores, in turns, without preprocessing."""
    model = exported(classifier, settings.input)
    with tempfile.TemporaryDirectory(prefix="inspectd-experiment-") as folder:
        write_model_files(model, settings.input, Path(folder))
        candidates = {
            "PyTorch": torch_network(model),
            "ONNX Runtime": onnx_network(Path(folder) / "model.onnx"),
            "OpenVINO fp32": openvino_network(Path(folder) / "openvino" / "model.xml"),
        }
        if has_bf16():
            candidates["OpenVINO bf16"] = openvino_network(Path(folder) / "openvino" / "model.xml", "bf16")
        took_ms = interleaved({name: partial(run, test.pixels[:1]) for name, run in candidates.items()}, runs)
    for name, values in took_ms.items():
        latency = Latency.of(values)
        yield Figure("speed", f"{name} ms p50", latency.p50_ms)
        yield Figure("speed", f"{name} ms p99", latency.p99_ms)
        yield Figure("speed", f"{name} images/s", latency.images_per_s)
