"""Training on the GPU: the speed of a step, that it computes the same as the CPU, and whole trainings as far as the time goes."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from inspectd_tools.benchmarks.duq_step import compare_steps
from inspectd_tools.benchmarks.gpu.plan import NotRun, Place
from inspectd_tools.device import CPU, resolve, sent
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.networks.inputs import to_network
from inspectd_tools.settings import load_settings
from inspectd_tools.training.optimizer import optimizer_of
from inspectd_tools.training.step import training_step

_POLL_S = 0.5
_STEPS = 20
_SEEDS = 3
_SOME = 20


def step(place: Place) -> Iterator[dict[str, Any]]:
    device = resolve(place.device)
    losses = {
        device: losses_of_first_steps(device, 3 if place.quick else _STEPS) for device in dict.fromkeys((CPU, device))
    }
    on_cpu, here = losses[CPU], losses[device]
    yield {
        "loss after the first step, CPU": on_cpu[0],
        "largest relative difference of a loss": max(abs(a - b) / abs(a) for a, b in zip(on_cpu, here, strict=True)),
        "steps compared": len(here),
    }
    images, epochs = (256, 1) if place.quick else (20_000, 3)
    yield asdict(compare_steps(images, epochs, device, _fashion(place)))


def fashion(place: Place) -> Iterator[dict[str, Any]]:
    """All seeds at once: one alone leaves the GPU idle between its small kernels."""
    more = ["epochs=1", "epoch_images=256", "scheduler=none"] if place.quick else []
    data = str(_fashion(place))
    yield from _trained(
        place,
        "fashion",
        {
            f"seed-{seed}": ["duq-fashionmnist", "--data", data, *_as_options(f"seed={seed}", *more)]
            for seed in range(_SEEDS)
        },
    )


def cifar(place: Place) -> Iterator[dict[str, Any]]:
    """ResNet18 with the gradient penalty, as in the thesis's experiment 4."""
    folder = None if place.datasets is None else place.datasets / "cifar10" / "train"
    if folder is None or not folder.is_dir():
        raise NotRun("--datasets: has no cifar10/train with one folder per class")
    more = ["epochs=1", "epoch_images=64", "batch_size=16", "scheduler=none"] if place.quick else ["batch_size=32"]
    if place.quick:
        folder = _some(folder, place.out / "cifar-photos")
    yield from _trained(place, "cifar", {"seed-0": ["duq-cifar10", "--data", str(folder), *_as_options(*more)]})


def _some(folder: Path, copy: Path) -> Path:
    """Links to a few photos of each class."""
    for path in sorted(path for each in folder.iterdir() for path in sorted(each.iterdir())[:_SOME]):
        link = copy / path.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(path.resolve())
    return copy


def _as_options(*changes: str) -> list[str]:
    return [text for change in changes for text in ("--set", change)]


def _fashion(place: Place) -> Path:
    folders = [place.datasets / "fashion-mnist"] if place.datasets else []
    folder = next((each for each in (*folders, Path("/usr/share/datasets/fashion-mnist")) if each.is_dir()), None)
    if folder is None:
        raise NotRun("--datasets: has no fashion-mnist with the four idx files")
    return folder


def losses_of_first_steps(device: torch.device, steps: int) -> list[float]:
    """Of the first steps of a DUQ network on random images, the same on every device."""
    settings = load_settings("duq-fashionmnist", ["duq_start=near", "length_scale=0.5", "lr=0.01"])
    torch.manual_seed(0)
    classifier = Classifier(settings).to(device)
    optimizer = optimizer_of(classifier, settings)
    images = torch.randint(0, 256, (steps, 128, 1, 28, 28), dtype=torch.uint8)
    labels, weights = torch.randint(0, 10, (steps, 128)), torch.ones(10, device=device)
    found = []
    for pixels, classes in zip(images, labels, strict=True):
        inputs = to_network(sent(pixels, device), settings.input)
        found.append(float(training_step(classifier, settings, optimizer, inputs, sent(classes, device), weights)))
    return found


def _trained(place: Place, name: str, runs: dict[str, list[str]]) -> Iterator[dict[str, Any]]:
    """Train in other processes, all at once, and say all the time how far they are. `runs`: folder -> arguments."""
    folder, begin_s = place.out / name, time.monotonic()
    if folder.exists():
        shutil.rmtree(folder)
    command = [sys.executable, "-m", "inspectd_tools.training.cli", "--device", place.device]
    trainings = [
        subprocess.Popen([*command, *arguments, "--run", str(folder / run)]) for run, arguments in runs.items()
    ]
    while any(training.poll() is None for training in trainings):
        time.sleep(_POLL_S)
        yield {"runs": _progress(folder), "s": time.monotonic() - begin_s}
    yield {"runs": _progress(folder), "s": time.monotonic() - begin_s}
    codes = [training.returncode for training in trainings]
    if any(codes):
        raise SystemExit(f"the trainings ended with the exit codes {codes}; see {name}.log")


def _progress(run: Path) -> list[dict[str, Any]]:
    rows = []
    for path in sorted(run.rglob("epochs.json")):
        try:
            epochs = json.loads(path.read_text(encoding="utf-8"))
            results = path.with_name("results.json")
            test = json.loads(results.read_text(encoding="utf-8")).get("test", {}) if results.exists() else {}
        except ValueError:  # it is being written
            continue
        last = epochs[-1]
        rows.append(
            {
                "run": path.parent.name,
                "epochs": last["number"],
                "images/s": sum(epoch["images_per_s"] for epoch in epochs) / len(epochs),
                "validation accuracy": last["validation_accuracy"],
                **({"test accuracy": test["accuracy"]} if "accuracy" in test else {}),
            }
        )
    return rows
