"""What a training has left in its folder."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from inspectd.errors import ConfigError
from inspectd_tools.training.experiment import Experiment
from inspectd_tools.training.loop import BEST
from inspectd_tools.training.models import Classifier


def read_run(run: Path) -> tuple[Experiment, Classifier, dict[str, Any]]:
    """The experiment, the classifier with its best weights, and where they came from. Raises ConfigError."""
    try:
        experiment = Experiment.model_validate_json((run / "experiment.json").read_bytes())
        provenance = json.loads((run / "provenance.json").read_bytes())
        classifier = Classifier(experiment)
        classifier.load_state_dict(load_file(run / BEST))
    except OSError as error:
        raise ConfigError(
            f"{error.filename or run}: can't be read: {error.strerror}; is {run} a finished run?"
        ) from error
    except (ValueError, RuntimeError, SafetensorError) as error:
        raise ConfigError(f"{run}: is no run that these tools wrote: {error}") from error
    return experiment, classifier, provenance
