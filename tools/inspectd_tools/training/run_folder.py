"""What a training has left in its folder."""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from inspectd.errors import ConfigError
from inspectd.files.json_file import read_json
from inspectd.section import checked
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.settings import Experiment
from inspectd_tools.training.loop import WEIGHTS


def read_run(run: Path) -> tuple[Experiment, Classifier, dict[str, Any]]:
    """The experiment, the classifier with the run's weights in evaluation mode, and where they came from.

    Raises ConfigError naming the file.
    """
    path, weights = run / "experiment.json", run / WEIGHTS
    experiment = read_experiment(run)
    provenance = read_json(run / "provenance.json")
    classifier = Classifier(experiment).eval()
    try:
        classifier.load_state_dict(load_file(weights))
    except FileNotFoundError as error:
        raise ConfigError(f"{weights}: no such file; has the training come to its end?") from error
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"{weights}: is no whole safetensors file: {error}") from error
    except RuntimeError as error:
        raise ConfigError(f"{weights}: does not hold the weights of the classifier in {path}") from error
    return experiment, classifier, provenance


def read_experiment(run: Path) -> Experiment:
    """Raises ConfigError naming the file."""
    path = run / "experiment.json"
    try:
        return checked(Experiment, read_json(path), path)
    except ConfigError as error:
        raise ConfigError(f"{path}: is not an experiment that this version knows; is {run} a run? {error}") from error
