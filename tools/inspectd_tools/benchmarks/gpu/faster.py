"""What torch.compile and a CUDA graph of the whole step gain in training: whether they are worth it is known only on the GPU."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from inspectd_tools.benchmarks.duq_step import now_s
from inspectd_tools.benchmarks.gpu.plan import Place
from inspectd_tools.device import resolve
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.networks.inputs import to_network
from inspectd_tools.settings import TrainingSettings, load_settings
from inspectd_tools.training.optimizer import optimizer_of
from inspectd_tools.training.step import training_step

_WARM_UP, _AT_ONCE = 3, 10
_SECONDS = 2.0

Step = Callable[[], object]
Way = Callable[[Classifier, Step], Step]


def faster(place: Place) -> Iterator[dict[str, Any]]:
    """A step with a gradient penalty can't be compiled: torch.compile can't differentiate twice."""
    device = resolve(place.device)
    quick = ["batch_size=4"] if place.quick else []
    labels = ["pretrained=false", "optimizer=SGD", "head_fit=gradient", "gp_const=null", *quick]
    compiled: Way = partial(_compiled, backend="eager" if place.quick else "inductor")
    with_penalty: dict[str, Way] = {"eager": _eager, "CUDA graph": _graph}
    without = {"eager": _eager, "compiled": compiled, "CUDA graph": _graph}
    rows: list[dict[str, Any]] = []
    for name, changes, ways in (
        ("duq-fashionmnist", quick, with_penalty),
        ("filter-label", labels, without),
    ):
        for says, way in ways.items():
            row: dict[str, Any] = {"settings": name, "step": says}
            try:
                row["images/s"] = _images_per_s(
                    load_settings(name, changes), way, device, 0 if place.quick else _SECONDS
                )
            except Exception as error:  # the other ways may still work; each has its own kinds of exceptions
                row["refused"] = f"{type(error).__name__}: {str(error)[:300]}"
            rows.append(row)
            yield {"ways": rows}


def _eager(_: Classifier, step: Step) -> Step:
    return step


def _compiled(classifier: Classifier, step: Step, backend: str) -> Step:
    """As `tools/train.py --compile`."""
    classifier.features = torch.compile(classifier.features, backend=backend)  # type: ignore[method-assign]
    return step


def _graph(_: Classifier, step: Step) -> Step:
    """The whole step, recorded once and started as one piece: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs"""
    if not torch.cuda.is_available():
        raise RuntimeError("a CUDA graph needs a GPU")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _step in range(_WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def _images_per_s(settings: TrainingSettings, way: Way, device: torch.device, seconds: float) -> float:
    """Of the training step on one batch of random images that stays on the device."""
    torch.manual_seed(0)
    classifier = Classifier(settings).to(device)
    optimizer, spec, classes = optimizer_of(classifier, settings), settings.input, len(settings.classes)
    pixels = torch.randint(0, 256, (settings.batch_size, spec.channels, spec.height, spec.width), dtype=torch.uint8)
    inputs = to_network(pixels.to(device), spec)
    labels = torch.randint(0, classes, (settings.batch_size,)).to(device)
    weights = torch.ones(classes, device=device)
    step = way(classifier, lambda: training_step(classifier, settings, optimizer, inputs, labels, weights))
    for _ in range(_WARM_UP):
        step()
    steps, begin_s = 0, now_s(device)
    while (took_s := now_s(device) - begin_s) < seconds or not steps:
        for _ in range(_AT_ONCE):
            step()
        steps += _AT_ONCE
    return steps * settings.batch_size / took_s
