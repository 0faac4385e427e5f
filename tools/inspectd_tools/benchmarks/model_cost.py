"""The cost of the backbones: multiply-adds, parameters and activation memory, with a softmax head and with a DUQ head.

First at the size of ImageNet with 1000 classes, beside the published figures; with --settings, also for the input and classes
of these training settings. No weights are needed, because only shapes are followed.
"""

import argparse
import dataclasses
import json
import sys
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.table import Table
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from inspectd.terminal import console
from inspectd_tools.changes import add_set_option
from inspectd_tools.cli import exit_code, new_parser
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.networks.pretrained import TORCHVISION_NAMES
from inspectd_tools.networks.torchvision_compat import torchvision
from inspectd_tools.settings import TrainingSettings, load_settings

_EPILOG = """\
examples:
  python tools/profile_models.py
  python tools/profile_models.py --settings filter-label --set input.width=320 --set input.height=240

what is counted, for one image:
  MACs         multiply-adds of convolutions and matrix products (torch.utils.flop_counter), without normalisation, activation
               functions, additions and pooling, as in the published figures
  GFLOPs       two per MAC
  parameters   weights and biases, without the running averages of batch normalisation and of the DUQ centroids
  peak         activation memory: largest size of all outputs that are still needed, in evaluation, float32, layer by layer;
               without weights, image, what a runtime saves by fusing layers, and its scratch memory
  published    as torchvision states for its weights, at the size they were trained for

exit codes: 0 done, 2 wrong usage, 78 the settings cannot be used"""

_IMAGENET_PX = 224
_IMAGENET_CLASSES = 1000


@dataclass(frozen=True, slots=True)
class Profile:
    """One classifier, for one image."""

    model: str
    head: str
    classes: int
    channels: int
    height: int
    width: int
    macs: int
    flops: int
    parameters: int
    activation_bytes: int
    published_macs: float | None = None
    published_parameters: int | None = None


class _Activations(TorchDispatchMode):
    """Counts the bytes of tensors that are created in this mode and still exist; shared memory counts once."""

    def __init__(self, given: Iterable[Tensor]) -> None:
        super().__init__()
        self._seen = weakref.WeakSet(tensor.untyped_storage() for tensor in given)
        self._alive = 0
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor) and (storage := tensor.untyped_storage()) not in self._seen:
                self._seen.add(storage)
                self._alive += storage.nbytes()
                weakref.finalize(storage, self._release, storage.nbytes())
                self.peak = max(self.peak, self._alive)
        return result

    def _release(self, size: int) -> None:
        self._alive -= size


@dataclass(frozen=True, slots=True)
class Options:
    """The command line; the help of `parser` explains each field."""

    settings: str | None
    changes: list[str]
    json: bool


def parser() -> argparse.ArgumentParser:
    program = new_parser(__doc__, _EPILOG)
    program.add_argument("--settings", metavar="NAME", help="a file of config/training, such as filter-label")
    add_set_option(program, "the training settings")
    program.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return program


def main(arguments: list[str] | None = None) -> int:
    program = parser()
    options = Options(**vars(program.parse_args(arguments)))
    if options.changes and options.settings is None:
        program.error("--set: changes a key of training settings; name them with --settings")
    return exit_code("profile_models", lambda: _profile(options))


def _profile(options: Options) -> None:
    settings = load_settings(options.settings, options.changes) if options.settings is not None else None
    profiles = {"ImageNet": imagenet_profiles()}
    if options.settings is not None and settings is not None:
        profiles[options.settings] = settings_profiles(settings)
    if options.json:
        print(
            json.dumps({name: [dataclasses.asdict(row) for row in rows] for name, rows in profiles.items()}, indent=2)
        )
    else:
        console().print(*(_table(name, rows) for name, rows in profiles.items()))


def imagenet_profiles() -> list[Profile]:
    """Every backbone with both heads at 224 px; if its figures are published for another size, also with softmax at that size."""
    profiles = []
    for model, name in TORCHVISION_NAMES.items():
        weights = torchvision.models.get_model_weights(name).DEFAULT
        (published_px,) = weights.transforms().crop_size
        published = {"published_macs": weights.meta["_ops"] * 1e9, "published_parameters": weights.meta["num_params"]}
        for side_px in sorted({_IMAGENET_PX, published_px}):
            softmax = profile(_imagenet(model, side_px))
            profiles.append(dataclasses.replace(softmax, **(published if side_px == published_px else {})))
        profiles.append(profile(_imagenet(model, _IMAGENET_PX, "RBF_flag=true")))
    return profiles


def settings_profiles(settings: TrainingSettings) -> list[Profile]:
    """Every backbone, and that of the settings, with both heads and the input, classes and pooling of the settings."""
    return [
        profile(settings.model_copy(update={"model": model, "RBF_flag": is_duq}))
        for model in dict.fromkeys((*TORCHVISION_NAMES, settings.model))
        for is_duq in (False, True)
    ]


def profile(settings: TrainingSettings) -> Profile:
    """Cost of the classifier that the settings describe, from shapes alone."""
    spec = settings.input
    with torch.device("meta"):
        classifier = Classifier(settings).eval()
        image = torch.empty(1, spec.channels, spec.height, spec.width)
    activations = _Activations((*classifier.parameters(), *classifier.buffers(), image))
    with torch.no_grad(), FlopCounterMode(display=False) as counter, activations:
        classifier(image)
    return Profile(
        model=settings.model,
        head="DUQ" if settings.RBF_flag else "softmax",
        classes=len(settings.classes),
        channels=spec.channels,
        height=spec.height,
        width=spec.width,
        macs=counter.get_total_flops() // 2,
        flops=counter.get_total_flops(),
        parameters=sum(
            parameter.numel() for part in (classifier.backbone, classifier.head) for parameter in part.parameters()
        ),
        activation_bytes=activations.peak,
    )


def _imagenet(model: str, side_px: int, *settings: str) -> TrainingSettings:
    classes = json.dumps([str(number) for number in range(_IMAGENET_CLASSES)])
    size = (f"input.width={side_px}", f"input.height={side_px}")
    return load_settings(
        "photos", [f"classes={classes}", 'pass_class="0"', f"model={model}", *size, "RBF_flag=false", *settings]
    )


def _table(name: str, profiles: list[Profile]) -> Table:
    title = f"{name}: {profiles[0].classes} classes, {profiles[0].channels} channel(s)"
    table = Table("model", "head", "input", title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    published = any(row.published_macs is not None for row in profiles)
    for column in ("G\nMACs", "\nGFLOPs", "M para-\nmeters", "peak\nMB", *["published\nG / M"] * published):
        table.add_column(column, justify="right", no_wrap=True)
    for row in profiles:
        figures = (row.macs / 1e9, row.flops / 1e9, row.parameters / 1e6, row.activation_bytes / 1e6)
        cells = [f"{value:.3f}" for value in figures[:2]] + [f"{value:.2f}" for value in figures[2:]]
        if row.published_macs is not None and row.published_parameters is not None:
            cells.append(f"{row.published_macs / 1e9:.3f} / {row.published_parameters / 1e6:.2f}")
        table.add_row(row.model, row.head, f"{row.height}x{row.width}", *cells)
    return table


if __name__ == "__main__":
    sys.exit(main())
