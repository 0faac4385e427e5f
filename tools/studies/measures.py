"""What is measured on a trained run besides its accuracy."""

import io
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from inspectd.errors import ConfigError
from inspectd.inference.openvino import has_bf16
from inspectd_tools import explain
from inspectd_tools.dataset.manifest import read_manifest
from inspectd_tools.profile_models import profile
from inspectd_tools.studies.rows import Figure
from inspectd_tools.studies.study import Closeness, Cost, Foreign, Maps, Measure, Noise, Speed
from inspectd_tools.training.data import Images, load_photos
from inspectd_tools.training.experiment import Experiment
from inspectd_tools.training.export import exported, write_model_files
from inspectd_tools.training.judge import openvino_network
from inspectd_tools.training.loop import all_scores
from inspectd_tools.training.models import Classifier
from inspectd_tools.training.results import auroc
from inspectd_tools.training.run import read_run
from inspectd_tools.training.timing import interleaved

MAPS = "maps"


def measure(asked: Measure, trained: Path, manifest: Path, foreign: Path | None) -> list[Figure]:
    """Of the run in `trained` and the test photos of `manifest`; `foreign`: manifest of another data set.

    Raises ConfigError where the measure does not apply to this run.
    """
    experiment, classifier, _ = read_run(trained)
    if isinstance(asked, Cost):
        return list(_cost(experiment))
    if isinstance(asked, Maps):
        return _maps(asked, trained, manifest)
    if isinstance(asked, Closeness):
        return []  # of the photos, not of a run
    test = _test_photos(manifest, experiment, None)
    if isinstance(asked, Speed):
        return list(_speed(asked, experiment, classifier, test))
    if isinstance(asked, Noise):
        return list(_noise(asked, experiment, classifier, test))
    assert foreign is not None
    return list(_foreign(asked, experiment, classifier, test, _test_photos(foreign, experiment, asked.photos)))


def _cost(experiment: Experiment) -> Iterator[Figure]:
    costs = profile(experiment)
    yield Figure("cost", "GFLOPs", costs.flops / 1e9)
    yield Figure("cost", "GMACs", costs.macs / 1e9)
    yield Figure("cost", "M parameters", costs.parameters / 1e6)
    yield Figure("cost", "activation MB", costs.activation_bytes / 1e6)


def _maps(asked: Maps, trained: Path, manifest: Path) -> list[Figure]:
    out = trained.parent / MAPS
    shutil.rmtree(out, ignore_errors=True)  # of an earlier try
    said = io.StringIO()
    arguments = ["maps", str(trained), "--data", str(manifest), "--method", asked.method, "--out", str(out)]
    with redirect_stderr(said):
        code = explain.main([*arguments, "--limit", str(asked.photos)])
    if code:
        raise ConfigError(said.getvalue().strip().removeprefix("explain: "))
    return [Figure("maps", "photos", float(asked.photos))]


def _speed(asked: Speed, experiment: Experiment, classifier: Classifier, test: Images) -> Iterator[Figure]:
    """All cores, in turns, without preprocessing."""
    model = exported(classifier, experiment.input)

    @torch.inference_mode()
    def eager(batch: NDArray[np.uint8]) -> object:
        return model(torch.from_numpy(batch))

    with tempfile.TemporaryDirectory(prefix="inspectd-study-") as folder:
        write_model_files(model, experiment.input, Path(folder))
        session = onnxruntime.InferenceSession(Path(folder) / "model.onnx", providers=["CPUExecutionProvider"])
        candidates: dict[str, Callable[[NDArray[np.uint8]], object]] = {
            "PyTorch": eager,
            "ONNX Runtime": lambda batch: session.run(None, {"image": batch}),
            "OpenVINO fp32": openvino_network(Path(folder) / "openvino" / "model.xml"),
        }
        if has_bf16():
            candidates["OpenVINO bf16"] = openvino_network(Path(folder) / "openvino" / "model.xml", "bf16")
        took_ms = interleaved({name: partial(run, test.pixels[:1]) for name, run in candidates.items()}, asked.runs)
    for name, values in took_ms.items():
        yield Figure("speed", f"{name} ms p50", float(np.median(values)))
        yield Figure("speed", f"{name} ms p99", float(np.percentile(values, 99)))
        yield Figure("speed", f"{name} images/s", float(1000 / values.mean()))


def _noise(asked: Noise, experiment: Experiment, classifier: Classifier, test: Images) -> Iterator[Figure]:
    """Noise on the photo as the network gets it, clipped to 0..255; the same for every run."""
    clean = _certainty(experiment, classifier, test)
    for sigma in asked.sigmas:
        noisy = Images(test.files, with_noise(test.pixels, sigma), test.labels, test.digests)
        scores = all_scores(classifier, experiment, noisy).double().numpy()
        certainty = scores.max(1)
        yield Figure("noise", f"certainty at sigma {sigma:g}", float(certainty.mean()))
        yield Figure("noise", f"accuracy at sigma {sigma:g}", float((scores.argmax(1) == test.labels).mean()))
        told = auroc(certainty, clean)
        if sigma and told is not None:
            yield Figure("noise", f"AUROC at sigma {sigma:g}", told)


def with_noise(pixels: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    """Of standard deviation `sigma` grey values, rounded and clipped."""
    noise = np.random.default_rng(0).normal(0, sigma, pixels.shape) if sigma else 0
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


def _foreign(
    asked: Foreign, experiment: Experiment, classifier: Classifier, test: Images, foreign: Images
) -> Iterator[Figure]:
    own, other = (_certainty(experiment, classifier, images) for images in (test, foreign))
    yield Figure("foreign", "certainty of own photos", float(own.mean()))
    yield Figure("foreign", f"certainty of {asked.data}", float(other.mean()))
    told = auroc(other, own)
    if told is not None:
        yield Figure("foreign", f"AUROC against {asked.data}", told)


def _certainty(experiment: Experiment, classifier: Classifier, images: Images) -> NDArray[np.float64]:
    certainty: NDArray[np.float64] = all_scores(classifier, experiment, images).max(1).values.double().numpy()
    return certainty


def _test_photos(manifest: Path, experiment: Experiment, limit: int | None) -> Images:
    """Evenly from the first to the last. Raises ConfigError."""
    photos = read_manifest(manifest).of("test")
    if not photos:
        raise ConfigError(f"{manifest}: holds no photo in split test")
    count = len(photos) if limit is None else min(limit, len(photos))
    places = np.linspace(0, len(photos) - 1, count).astype(int)
    return load_photos([photos[place] for place in places], experiment.input, "test")
