"""The folder of a training run: how it begins, and how other tools read it."""

import csv
import json
import subprocess
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from inspectd.errors import ConfigError
from inspectd.files.atomic_write import atomic_write
from inspectd.files.csv_file import read_csv
from inspectd.files.json_file import read_json
from inspectd.section import checked
from inspectd_tools.data.published import Sets
from inspectd_tools.device import card
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.settings import TrainingSettings
from inspectd_tools.training.loop import WEIGHTS

_SETTINGS, _PROVENANCE = "settings.json", "provenance.json"
_OLD_SETTINGS = "experiment.json"
_PHOTOS, _COLUMNS = "photos.csv", ("split", "sha256", "path")

TrainedWith = dict[Literal["train", "val"], dict[str, str]]
"""Split -> SHA-256 of each photo -> its path."""


def begin_run(run: Path, settings: TrainingSettings, sets: Sets, weights: Path | None, device: torch.device) -> None:
    """Write the settings and where the run came from; `weights`: file of the pretrained backbone; `device`: where it computes.

    Raises ConfigError if the folder holds a run with other settings (but for the epochs) or other photos.
    """
    if (run / _SETTINGS).exists():
        before = read_settings(run)
        photos = read_json(run / _PROVENANCE).get("data_fingerprint")
        if before.model_copy(update={"epochs": settings.epochs}) != settings or photos != sets.train.fingerprint:
            raise ConfigError(
                f"{run}: was trained with other settings or other photos, so it can't be resumed with these"
            )
    provenance = {
        "data_fingerprint": sets.train.fingerprint,
        "n_train": len(sets.train.labels),
        "n_validation": len(sets.validation.labels),
        "weights": weights.name if weights else None,
        "torch": torch.__version__,
        "device": device.type,
        "card": card(device),
        "git_commit": git_commit(),
    }
    run.mkdir(parents=True, exist_ok=True)
    (run / _SETTINGS).write_text(settings.model_dump_json(indent=2), encoding="utf-8")
    (run / _PROVENANCE).write_text(json.dumps(provenance, indent=2), encoding="utf-8")
    if settings.dataset is None:
        _write_photos(run / _PHOTOS, sets)


def _write_photos(path: Path, sets: Sets) -> None:
    with atomic_write(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for split, images in (("train", sets.train), ("val", sets.validation)):
            writer.writerows((split, *photo) for photo in zip(images.digests, images.files, strict=True))


def trained_with(run: Path) -> TrainedWith | None:
    """The photos that a run was trained and validated with; None if it does not record them. Raises ConfigError."""
    if not (run / _PHOTOS).exists():
        return None
    found: TrainedWith = {"train": {}, "val": {}}
    for row in read_csv(run / _PHOTOS, _COLUMNS):
        found["val" if row["split"] == "val" else "train"][row["sha256"]] = row["path"]
    return found


def is_run(folder: Path) -> bool:
    """Whether a training wrote the folder; `read_run` then says what is wrong with it, if anything is."""
    return any((folder / name).is_file() for name in (_SETTINGS, _OLD_SETTINGS))


def read_run(run: Path) -> tuple[TrainingSettings, Classifier, dict[str, Any]]:
    """The settings, the classifier in evaluation mode with the weights of the run, and the provenance.

    Raises ConfigError naming the file.
    """
    settings, weights = read_settings(run), run / WEIGHTS
    provenance = read_json(run / _PROVENANCE)
    classifier = Classifier(settings).eval()
    try:
        classifier.load_state_dict(load_file(weights))
    except FileNotFoundError as error:
        raise ConfigError(f"{weights}: no such file; did the training finish?") from error
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"{weights}: is not a complete safetensors file: {error}") from error
    except RuntimeError as error:
        raise ConfigError(f"{weights}: does not hold the weights of the classifier in {run / _SETTINGS}") from error
    return settings, classifier, provenance


def read_settings(run: Path) -> TrainingSettings:
    """Raises ConfigError naming the file."""
    path, old = run / _SETTINGS, run / _OLD_SETTINGS
    if old.is_file() and not path.exists():
        raise ConfigError(f"{old}: training settings are called {_SETTINGS} now; rename the file to {path}")
    try:
        return checked(TrainingSettings, read_json(path), path)
    except ConfigError as error:
        raise ConfigError(
            f"{path}: is not training settings that this version knows; is {run} a run of tools/train.py? {error}"
        ) from error


def git_commit() -> str:
    """Commit of the checkout that holds these tools; 'unknown' outside of one."""
    answer = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() or "unknown"
