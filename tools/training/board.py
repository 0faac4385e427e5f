"""TensorBoard: the epochs as they come; then confusion matrix, hyperparameters and sample images."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

from inspectd_tools.training.data import Images
from inspectd_tools.training.experiment import Experiment

_SAMPLES = 16


def log_run(
    run: Path, experiment: Experiment, epochs: list[dict[str, Any]], results: dict[str, Any], images: Images
) -> None:
    """Event files into `run/tensorboard`, from what the run has recorded."""
    with SummaryWriter(str(run / "tensorboard")) as writer:
        for epoch in epochs:
            for key in ("train_loss", "validation_loss", "validation_accuracy", "images_per_s"):
                writer.add_scalar(key, epoch[key], epoch["number"])
        places = np.linspace(0, len(images.labels) - 1, min(_SAMPLES, len(images.labels))).astype(int)
        writer.add_images("training images", torch.from_numpy(images.pixels[places]))
        figures = {f"final/{key}": results[key] for key in ("validation_accuracy", "validation_loss")}
        if "test" in results:
            writer.add_figure(
                "confusion matrix of the test", _confusion(results["test"]["confusion"], experiment.classes)
            )
            figures["final/test_accuracy"] = results["test"]["accuracy"]
        keys = {
            key: value if isinstance(value, int | float | str | bool) else json.dumps(value)
            for key, value in experiment.model_dump(mode="json").items()
        }
        writer.add_hparams(keys, figures, run_name=".")


def _confusion(counts: list[list[int]], classes: tuple[str, ...]) -> Figure:
    figure = Figure(figsize=(7, 6), layout="constrained")
    ax = figure.subplots()
    ax.imshow(counts, cmap="Blues")
    for row, values in enumerate(counts):
        for column, value in enumerate(values):
            ax.text(column, row, str(value), ha="center", va="center")
    ax.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    ax.set_yticks(range(len(classes)), classes)
    ax.set(xlabel="said", ylabel="truth")
    return figure
