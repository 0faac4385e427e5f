"""What a training has left in its folder."""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from inspectd.errors import ConfigError
from inspectd.files.json_file import read_json
from inspectd.section import checked
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.settings import TrainingSettings
from inspectd_tools.training.loop import WEIGHTS


def read_run(run: Path) -> tuple[TrainingSettings, Classifier, dict[str, Any]]:
    """The settings, the classifier with the run's weights in evaluation mode, and where they came from.

    Raises ConfigError naming the file.
    """
    path, weights = run / "settings.json", run / WEIGHTS
    settings = read_settings(run)
    provenance = read_json(run / "provenance.json")
    classifier = Classifier(settings).eval()
    try:
        classifier.load_state_dict(load_file(weights))
    except FileNotFoundError as error:
        raise ConfigError(f"{weights}: no such file; has the training come to its end?") from error
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"{weights}: is no whole safetensors file: {error}") from error
    except RuntimeError as error:
        raise ConfigError(f"{weights}: does not hold the weights of the classifier in {path}") from error
    return settings, classifier, provenance


def read_settings(run: Path) -> TrainingSettings:
    """Raises ConfigError naming the file."""
    path = run / "settings.json"
    try:
        return checked(TrainingSettings, read_json(path), path)
    except ConfigError as error:
        raise ConfigError(
            f"{path}: are not training settings that this version knows; is {run} a run? {error}"
        ) from error
