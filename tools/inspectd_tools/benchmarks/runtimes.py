"""The same network on several runtimes: time, size, and difference to fp32.

All runtimes use the same number of threads and take turns, so that other work on the machine affects all of them equally.
"""

import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table
from safetensors.torch import save_file
from torch import Tensor

from inspectd.errors import EngineError
from inspectd.inference.openvino import has_bf16
from inspectd.inference.preprocess import InputSpec
from inspectd_tools.data.images import load_judged
from inspectd_tools.data.manifest import UNKNOWN
from inspectd_tools.deploy.export import write_model_files
from inspectd_tools.deploy.quantise import quantise
from inspectd_tools.metrics.classification import auroc
from inspectd_tools.metrics.timing import Latency, interleaved
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.networks.duq import DuqHead
from inspectd_tools.networks.exported import ExportedClassifier, exported
from inspectd_tools.networks.inputs import normalise
from inspectd_tools.networks.predict import Network, predict
from inspectd_tools.networks.runtimes import onnx_network, openvino_network, torch_network
from inspectd_tools.settings import TrainingSettings, load_settings
from inspectd_tools.training.run_folder import read_run

_FP32 = "PyTorch eager"
_IMAGES = 32


@dataclass(frozen=True, slots=True)
class Subject:
    """A network, and images to compare the runtimes with."""

    name: str
    model: ExportedClassifier
    spec: InputSpec
    calibration: NDArray[np.uint8]
    """(N, C, H, W) images from which INT8 takes its ranges."""
    images: NDArray[np.uint8]
    known: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, bool))
    """(N,): false for unknown images. Empty for a network that was not trained."""
    labels: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass(frozen=True, slots=True)
class Figures:
    subject: str
    runtime: str
    latency: Latency
    mb: float
    moved: float
    """Largest difference of a certainty from fp32."""
    accuracy: float | None
    """Difference from fp32, on the known test images."""
    auroc: float | None
    """Difference from fp32 of the OOD AUROC: how well the certainty distinguishes known from unknown images."""


def untrained(backbones: Iterable[str]) -> Iterator[list[Subject]]:
    """Each backbone with a DUQ and with a softmax head, random weights, 224x224 px."""
    for backbone in backbones:
        heads = []
        for head, duq in (("DUQ", "true"), ("softmax", "false")):
            size = ["input.width=224", "input.height=224"]
            changes = [f'model="{backbone}"', f"RBF_flag={duq}", "pretrained=false", *size]
            settings = load_settings("filter-label", changes)
            torch.manual_seed(0)
            blocks = torch.randint(0, 256, (_IMAGES, settings.input.channels, 7, 7), dtype=torch.uint8)
            images = blocks.repeat_interleave(32, 2).repeat_interleave(32, 3)
            model = exported(settled(settings, images), settings.input)
            heads.append(Subject(f"{backbone}, {head}", model, settings.input, images.numpy(), images.numpy()))
        yield heads


@torch.no_grad()
def settled(settings: TrainingSettings, images: Tensor) -> Classifier:
    """A classifier with random weights that gives each of the images (N, C, H, W) uint8 other scores, in evaluation mode.

    A network that has seen no images gives them all the same score.
    """
    torch.manual_seed(0)
    classifier, inputs = Classifier(settings), normalise(images, settings.input)
    for module in classifier.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # its statistics become those of these images
    classifier.features(inputs)
    if isinstance(classifier.head, DuqHead):
        features = classifier.eval().features(inputs)
        classifier.head.fit_covariance(features, torch.arange(len(images)) % len(settings.classes))
    return classifier.eval()


def trained(runs: Iterable[Path], data: Path) -> Iterator[list[Subject]]:
    """Each run with the val and test photos of a manifest, or a folder. Raises ConfigError."""
    for run in runs:
        settings, classifier, _ = read_run(run)
        calibration, *_ = load_judged(data, "val", settings.classes, settings.input, "val: decode")
        test, _, names = load_judged(data, "test", settings.classes, settings.input, "test: decode")
        known = np.array([not names[label].startswith(UNKNOWN) for label in test.labels])
        name = f"{settings.model}, {'DUQ' if settings.RBF_flag else 'softmax'}"
        model = exported(classifier.eval(), settings.input)
        yield [Subject(name, model, settings.input, calibration.pixels, test.pixels, known, test.labels)]


def compare_runtimes(subjects: Sequence[Subject], threads: int, runs: int) -> list[list[Figures]]:
    """For each subject, one row per runtime that works here; standard error says why another does not.

    All runtimes and subjects take turns, so that subjects can be compared too. Their names must differ.
    """
    with _torch_threads(threads), tempfile.TemporaryDirectory(prefix="inspectd-benchmark-") as folder:
        made = [
            (subject, *_networks(subject, Path(folder) / str(place), threads)) for place, subject in enumerate(subjects)
        ]
        took_ms = interleaved(
            {
                (subject.name, runtime): partial(run, subject.images[:1])
                for subject, networks, _ in made
                for runtime, run in networks.items()
            },
            runs,
        )
        return [_figures(subject, networks, mb, took_ms) for subject, networks, mb in made]


def _figures(
    subject: Subject,
    networks: dict[str, Network],
    mb: dict[str, float],
    took_ms: dict[tuple[str, str], NDArray[np.float64]],
) -> list[Figures]:
    scores = {name: predict(network, subject.images) for name, network in networks.items()}
    return [
        Figures(
            subject.name,
            name,
            Latency.of(took_ms[subject.name, name]),
            mb[name],
            float(np.abs(values.max(1) - scores[_FP32].max(1)).max()),
            _change(_accuracy, subject, values, scores[_FP32]),
            _change(_auroc, subject, values, scores[_FP32]),
        )
        for name, values in scores.items()
    ]


def runtimes_table(rows: list[Figures], threads: int) -> Table:
    """The rows of one subject as a table."""
    columns = ("runtime", "ms p50", "p99", "MB", "certainty moved", "accuracy", "OOD AUROC")
    table = Table(*columns, title=f"{rows[0].subject}: batch 1, {threads} threads; differences from {_FP32}")
    for row in rows:
        changes = ("" if value is None else f"{value:+.2%}" for value in (row.accuracy, row.auroc))
        cells = (
            f"{row.latency.p50_ms:.2f}",
            f"{row.latency.p99_ms:.2f}",
            f"{row.mb:.1f}",
            f"{row.moved:.4f}",
            *changes,
        )
        table.add_row(row.runtime, *cells)
    return table


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _networks(subject: Subject, folder: Path, threads: int) -> tuple[dict[str, Network], dict[str, float]]:
    """Runtime -> function that runs the network, and runtime -> MB on disk."""
    model, xml, int8 = subject.model, folder / "openvino" / "model.xml", folder / "int8" / "model.xml"
    write_model_files(model, subject.spec, folder)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "model.safetensors")
    fp32 = openvino_network(xml, "fp32", threads)
    answers = predict(fp32, subject.calibration) if len(subject.known) else None
    networks: dict[str, Network] = {
        _FP32: torch_network(model),
        "torch.compile": torch_network(torch.compile(model)),
        "ONNX Runtime": onnx_network(folder / "model.onnx", threads),
        "OpenVINO fp32": fp32,
    }
    if has_bf16():
        networks["OpenVINO bf16"] = openvino_network(xml, "bf16", threads)
    else:
        print("benchmark: OpenVINO bf16 is left out: this processor does not support it", file=sys.stderr)
    try:
        quantise(xml, subject.calibration, answers, int8.parent)
        networks["OpenVINO INT8"] = openvino_network(int8, "int8", threads)
    except EngineError as error:
        print(f"benchmark: OpenVINO INT8 is left out: {error}", file=sys.stderr)
    try:
        networks["torch.compile"](subject.images[:1])
    except Exception as error:  # for example without a C++ compiler; its exceptions have no common class
        print(f"benchmark: torch.compile is left out: {str(error).splitlines()[0]}", file=sys.stderr)
        del networks["torch.compile"]
    files = {"torch": folder.glob("*.safetensors"), "ONNX": folder.glob("*.onnx"), "OpenVINO": xml.parent.iterdir()}
    files["INT8"] = int8.parent.glob("*")
    mb = {kind: sum(path.stat().st_size for path in paths) / 1e6 for kind, paths in files.items()}
    kinds = {_FP32: "torch", "torch.compile": "torch", "ONNX Runtime": "ONNX", "OpenVINO INT8": "INT8"}
    return networks, {name: mb[kinds.get(name, "OpenVINO")] for name in networks}


def _accuracy(subject: Subject, scores: NDArray[np.float32]) -> float | None:
    known = subject.known
    return float((scores[known].argmax(1) == subject.labels[known]).mean()) if known.any() else None


def _auroc(subject: Subject, scores: NDArray[np.float32]) -> float | None:
    certainty = scores.max(1)
    return auroc(certainty[~subject.known], certainty[subject.known]) if len(subject.known) else None


def _change(
    figure: Callable[[Subject, NDArray[np.float32]], float | None],
    subject: Subject,
    scores: NDArray[np.float32],
    reference: NDArray[np.float32],
) -> float | None:
    before, after = figure(subject, reference), figure(subject, scores)
    return None if before is None or after is None else after - before
