"""What is explained: a run, or the run that an engine was built from, and the chosen photos."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from inspectd.camera.image_files import decode_photo
from inspectd.errors import ConfigError
from inspectd.files.csv_file import is_csv
from inspectd.inference.bundle import Bundle, load_bundle
from inspectd.inference.preprocess import preprocess
from inspectd_tools.data.manifest import UNKNOWN, Split, read_manifest
from inspectd_tools.data.scan import MASKS, photos_of
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.networks.exported import exported
from inspectd_tools.sampling import spread
from inspectd_tools.settings import TrainingSettings
from inspectd_tools.training.run_folder import read_run


@dataclass(frozen=True, slots=True)
class Source:
    name: str
    settings: TrainingSettings
    classifier: Classifier
    threshold: float | None
    """The threshold of the engine; None for a run."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A photo to explain. `truth`: a class, a kind of unknown, or the verdict of the line; '' if nothing says it."""

    path: Path
    truth: str


def open_source(model: Path, run: Path | None) -> Source:
    """Open a run folder; or an engine, for which `run` is the run it was built from. Raises ConfigError or EngineError."""
    if (model / "engine.yaml").is_file():
        if run is None:
            raise ConfigError(f"{model}: an engine has no gradients; give the run it was built from with --run")
        bundle = load_bundle(model)
        settings, classifier, _ = read_run(run)
        _check_source(bundle, settings, classifier, run)
        manifest = bundle.manifest
        return Source(f"{manifest.name} {manifest.version}", settings, classifier, manifest.threshold.value)
    if run is not None:
        raise ConfigError(f"--run: is only for an engine, and {model} is not an engine (no engine.yaml)")
    settings, classifier, _ = read_run(model)
    return Source(str(model), settings, classifier, None)


def _check_source(bundle: Bundle, settings: TrainingSettings, classifier: Classifier, run: Path) -> None:
    """The run must give the golden images of the engine the scores that the engine has recorded. Raises ConfigError."""
    manifest = bundle.manifest
    if (settings.classes, settings.input) != (manifest.classes, manifest.input):
        raise ConfigError(
            f"--run {run}: is not what {bundle.folder} was built from: its classes or its input are different"
        )
    model = exported(deepcopy(classifier), settings.input)  # rounded as the engine is
    for golden, recorded in zip(manifest.golden, manifest.golden_scores_at("fp32"), strict=True):
        image = decode_photo(bundle.read(golden), bundle.folder / golden.path)
        with torch.no_grad():
            scores = model(torch.from_numpy(preprocess(image, settings.input)))[0].numpy()
        difference = float(np.abs(scores - np.array(recorded)).max())
        if not difference <= manifest.golden_tolerance:
            raise ConfigError(
                f"--run {run}: is not what {bundle.folder} was built from: the scores of {golden.path} differ by "
                f"{difference:.3f} from those of the engine; allowed: {manifest.golden_tolerance}"
            )


def find_subjects(data: Path, split: Split, parts: Sequence[int]) -> list[Subject]:
    """Find the photos in one split of a manifest, in a folder, or of these parts in the archive. Raises ConfigError."""
    if parts:
        return [subject for part in parts for subject in _of_part(data, part)]
    if is_csv(data):
        manifest = read_manifest(data)
        found = [Subject(photo.path, manifest.names[photo.label]) for photo in manifest.photos if photo.split == split]
        if not found:
            raise ConfigError(f"{data}: has no photo in split {split}")
        return found
    if not data.is_dir():
        raise ConfigError(f"{data}: is neither a folder nor a manifest (.csv)")
    inside = [(path, path.relative_to(data).parts) for path in photos_of(data)]
    return [Subject(path, parts[0] if len(parts) > 1 else "") for path, parts in inside if MASKS not in parts[:-1]]


def choose(subjects: Sequence[Subject], limit: int) -> list[Subject]:
    """Choose at most `limit` photos, equally many per class if possible, so that rare faults are included.

    Unknown photos fill what is left.
    """
    by_truth: dict[str, list[Subject]] = {}
    for subject in subjects:
        by_truth.setdefault(subject.truth, []).append(subject)
    chosen: list[Subject] = []
    in_turn = sorted(by_truth.values(), key=lambda members: (members[0].truth.startswith(UNKNOWN), len(members)))
    for place, members in enumerate(in_turn):
        chosen += spread(members, -(-(limit - len(chosen)) // (len(by_truth) - place)))
    return sorted(chosen, key=subjects.index)


def _of_part(archive: Path, part: int) -> list[Subject]:
    """The archive names files `<day>/<part>_<verdict>.png` (inspectd/records/archive.py). Raises ConfigError."""
    found = sorted(archive.glob(f"????-??-??/{part:09d}_*.png"))
    if not found:
        raise ConfigError(
            f"{archive}: has no image of part {part}; the archive keeps rejected parts and every n-th passed part, and "
            "deletes the oldest when it is full"
        )
    return [Subject(path, path.stem.partition("_")[2]) for path in found]
