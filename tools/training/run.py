"""What a training has left in its folder."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from inspectd.errors import ConfigError
from inspectd_tools.training.experiment import Experiment
from inspectd_tools.training.loop import WEIGHTS
from inspectd_tools.training.models import Classifier


def read_run(run: Path) -> tuple[Experiment, Classifier, dict[str, Any]]:
    """The experiment, the classifier with the run's weights in evaluation mode, and where they came from.

    Raises ConfigError naming the file.
    """
    path, weights, origin = run / "experiment.json", run / WEIGHTS, run / "provenance.json"
    try:
        experiment = Experiment.model_validate_json(path.read_bytes())
        provenance = json.loads(origin.read_bytes())
    except OSError as error:
        raise ConfigError(f"{error.filename or run}: can't be read: {error.strerror}; is {run} a run?") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: is no experiment that this version knows: {error}") from error
    except ValueError as error:
        raise ConfigError(f"{origin}: is no valid JSON: {error}") from error
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
