"""What is measured on a trained run in addition to its accuracy."""

import io
import shutil
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np

from inspectd.errors import ConfigError
from inspectd_tools.data.images import Images, load_photos
from inspectd_tools.data.manifest import read_manifest
from inspectd_tools.device import resolve
from inspectd_tools.experiments.config import Cost, Maps, Measure, Noise, Similarity, Speed
from inspectd_tools.experiments.paths import MAPS
from inspectd_tools.experiments.records import Figure
from inspectd_tools.experiments.robustness import of_unknown, under_noise
from inspectd_tools.settings import TrainingSettings
from inspectd_tools.training.run_folder import read_run


def measure(asked: Measure, trained: Path, manifest: Path, unknown: Path | None, device: str = "cpu") -> list[Figure]:
    """Measure the run in `trained` on the test photos of `manifest`; `unknown`: manifest of another data set; `device`: as `--device`.

    Raises ConfigError if the measure does not apply to this run.
    """
    settings, classifier, _ = read_run(trained)
    if isinstance(asked, Cost):
        return list(_cost(settings))
    if isinstance(asked, Maps):
        return _maps(asked, trained, manifest, device)
    if isinstance(asked, Similarity):
        return []  # measured once on the photos, not per run
    test = _test_photos(manifest, settings, None)
    if isinstance(asked, Speed):
        from inspectd_tools.experiments.speed import speed  # imports three runtimes, which takes seconds

        return list(speed(asked.runs, settings, classifier, test))
    classifier.to(resolve(device))
    if isinstance(asked, Noise):
        return list(under_noise(asked.sigmas, settings, classifier, test))
    assert unknown is not None
    return list(of_unknown(asked.data, settings, classifier, test, _test_photos(unknown, settings, asked.photos)))


def _cost(settings: TrainingSettings) -> Iterator[Figure]:
    from inspectd_tools.benchmarks.model_cost import profile

    costs = profile(settings)
    yield Figure("cost", "GFLOPs", costs.flops / 1e9)
    yield Figure("cost", "GMACs", costs.macs / 1e9)
    yield Figure("cost", "M parameters", costs.parameters / 1e6)
    yield Figure("cost", "activation MB", costs.activation_bytes / 1e6)


def _maps(asked: Maps, trained: Path, manifest: Path, device: str) -> list[Figure]:
    from inspectd_tools.explain import cli as explain

    out = trained.parent / MAPS
    shutil.rmtree(out, ignore_errors=True)  # of an earlier try
    said = io.StringIO()
    arguments = ["maps", str(trained), "--data", str(manifest), "--method", asked.method, "--out", str(out)]
    with redirect_stderr(said):
        code = explain.main([*arguments, "--limit", str(asked.photos), "--device", device])
    if code:
        raise ConfigError(said.getvalue().strip().removeprefix("explain: "))
    return [Figure("maps", "photos", float(asked.photos))]


def _test_photos(manifest: Path, settings: TrainingSettings, limit: int | None) -> Images:
    """The test photos, or `limit` of them, evenly spread. Raises ConfigError."""
    photos = read_manifest(manifest).of("test")
    if not photos:
        raise ConfigError(f"{manifest}: has no photo in split test")
    count = len(photos) if limit is None else min(limit, len(photos))
    places = np.linspace(0, len(photos) - 1, count).astype(int)
    return load_photos([photos[place] for place in places], settings.input, "test")
