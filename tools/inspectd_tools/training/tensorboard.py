"""A run in TensorBoard: figures of the epochs, sample images, confusion matrix and hyperparameters."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from inspectd_tools.data.images import Images
from inspectd_tools.metrics.plots import confusion_figure
from inspectd_tools.settings import TrainingSettings

_SAMPLES = 16


def log_run(
    run: Path, settings: TrainingSettings, epochs: list[dict[str, Any]], results: dict[str, Any], images: Images
) -> None:
    """Write event files to `run/tensorboard` from what the run recorded."""
    with SummaryWriter(str(run / "tensorboard")) as writer:
        for epoch in epochs:
            for key in ("train_loss", "validation_loss", "validation_accuracy", "images_per_s"):
                writer.add_scalar(key, epoch[key], epoch["number"])
        places = np.linspace(0, len(images.labels) - 1, min(_SAMPLES, len(images.labels))).astype(int)
        writer.add_images("training images", torch.from_numpy(images.pixels[places]))
        figures = {f"final/{key}": results[key] for key in ("validation_accuracy", "validation_loss")}
        if "test" in results:
            writer.add_figure(
                "confusion matrix of the test", confusion_figure(results["test"]["confusion"], settings.classes)
            )
            figures["final/test_accuracy"] = results["test"]["accuracy"]
        keys = {
            key: value if isinstance(value, int | float | str | bool) else json.dumps(value)
            for key, value in settings.model_dump(mode="json").items()
        }
        writer.add_hparams(keys, figures, run_name=".")
