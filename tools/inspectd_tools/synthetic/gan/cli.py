"""Train a GAN on tens of photos per class and write similar images, one folder per class.

The network is small enough for a CPU: 64 px take about 20 minutes on one core, 96 px 40, 128 px over an hour. Held-out
photos show whether the images are new or memorised. `tools/synthesize.py score` shows whether they help.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch

from inspectd.errors import ConfigError
from inspectd.files.json_file import read_json
from inspectd.terminal import console
from inspectd_tools.cli import add_device_option, exit_code, new_parser, not_negative, positive
from inspectd_tools.data.images import Images
from inspectd_tools.data.manifest import relative
from inspectd_tools.device import card, resolve
from inspectd_tools.synthetic.dataset import write_image, write_table
from inspectd_tools.synthetic.gan.images import as_rgb, generate, grid, write_sheet
from inspectd_tools.synthetic.gan.memorisation import compare, memorisation_table
from inspectd_tools.synthetic.gan.networks import Generator
from inspectd_tools.synthetic.gan.photos import Photos, load
from inspectd_tools.synthetic.gan.training import BATCH, train_gan
from inspectd_tools.synthetic.quality.features import NETWORKS, FeatureSpace, Network

_EPILOG = """\
examples:
  python tools/prepare_data.py photos/labels --out labels.csv
  python tools/gan.py combined --data labels.csv --out runs/labels-gan --weights mobilenet_v2-imagenet-features.safetensors
  python tools/synthesize.py score runs/labels-gan/images labels.csv --weights mobilenet_v2-imagenet-features.safetensors
  python tools/gan.py combined --data labels.csv --out runs/labels-gan --resume --n_imgs 500
      continues an interrupted run; this one is complete, so only more images are made

written to --out:
  images/<class>/             the images; images/sources.csv: the photos that were learned, for synthesize.py mix
  samples.png                 one row of images per class
  memorised.png               the images closest to a training photo, each beside that photo
  memorisation.json           does the GAN copy its photos?
  models/<class or combined>/ averaged weights, epochs, sample sheets, curves for TensorBoard; last.pt to resume

exit codes: 0 done, 1 a file could not be written, 2 wrong usage, 70 the training diverged, 78 the photos, weights or run
cannot be used"""

_GPU_ONLY_PX = 256
_STEPS = 3000
_COLUMNS = 10


@dataclass(frozen=True, slots=True)
class Options:
    """The command line; the help of `parser` explains each field."""

    kind: Literal["separate", "combined"]
    data: Path
    out: Path
    n_imgs: int
    latent_vector_size: int
    epochs: int | None
    size: int
    weights: Path | None
    network: Network
    resume: bool
    device: str
    seed: int


def parser() -> argparse.ArgumentParser:
    program = new_parser(__doc__, _EPILOG)
    program.add_argument(
        "kind",
        choices=("separate", "combined"),
        help="separate: one GAN per class; combined: one GAN that is given the class",
    )
    program.add_argument(
        "--data",
        type=Path,
        required=True,
        help="manifest of tools/prepare_data.py (csv): its train photos are learned, its val photos are held out; or folder "
        "with one folder of photos per class, a fifth of which is held out",
    )
    program.add_argument("--out", type=Path, required=True, metavar="RUN", help="new folder")
    program.add_argument("--n_imgs", type=positive, default=100, metavar="N", help="images per class; default: 100")
    program.add_argument("--latent_vector_size", type=positive, default=128, metavar="N", help="default: 128")
    program.add_argument(
        "--epochs", type=positive, metavar="N", help=f"default: as many as give {_STEPS} steps of {BATCH} photos"
    )
    program.add_argument(
        "--size", type=int, choices=(64, 96, 128, 256), default=64, help="in px; 256 needs a GPU; default: 64"
    )
    program.add_argument(
        "--weights",
        type=Path,
        help="weights of the network whose features are compared; default: those of torchvision",
    )
    program.add_argument("--network", choices=NETWORKS, default=NETWORKS[0], help=f"default: {NETWORKS[0]}")
    program.add_argument("--resume", action="store_true", help="continue an interrupted run")
    add_device_option(program)
    program.add_argument(
        "--seed",
        type=not_negative,
        default=0,
        help="the same seed gives the same images on the same machine; default: 0",
    )
    return program


def main(arguments: list[str] | None = None) -> int:
    program = parser()
    options = Options(**vars(program.parse_args(arguments)))
    if options.out.exists() and not options.resume:
        program.error(f"{options.out}: exists; give a new folder, so that no earlier run is lost, or --resume")
    return exit_code("gan", lambda: _make(options))


def _make(options: Options) -> None:
    device = resolve(options.device)
    if options.size == _GPU_ONLY_PX and device.type == "cpu":
        parser().error(f"--size {_GPU_ONLY_PX}: needs a GPU; use 128 or less on the CPU")
    space = FeatureSpace(options.network, options.weights)
    photos = load(options.data, options.size, options.seed)
    _begin(options, photos)
    generators = _train(options, photos, device)
    images = {
        name: generate(generator, torch.full((options.n_imgs,), label), options.seed + place)
        for place, (name, (generator, label)) in enumerate(zip(photos.classes, generators, strict=True))
    }
    for name, pixels in images.items():
        _write(options.out / "images" / name, pixels, photos.width_px)
    _write_sources(options.out / "images", photos.train)
    shown = [np.resize(pixels, (_COLUMNS, *pixels.shape[1:])) for pixels in images.values()]
    write_sheet(options.out / "samples.png", grid(np.concatenate(shown), _COLUMNS))
    found, pairs = compare(photos, images, space)
    write_sheet(options.out / "memorised.png", pairs)
    results = {
        "feature_space": space.name,
        "device": device.type,
        "card": card(device),
        "classes": {name: asdict(figures) | {"verdict": figures.verdict} for name, figures in found.items()},
    }
    (options.out / "memorisation.json").write_text(json.dumps(results, indent=2), encoding="utf-8")
    console().print(memorisation_table(found, space))


def _begin(options: Options, photos: Photos) -> None:
    """Make the folder of a new run. A folder that exists must have the same photos and networks. Raises ConfigError."""
    settings: dict[str, Any] = {
        "kind": options.kind,
        "size": options.size,
        "latent_vector_size": options.latent_vector_size,
        "seed": options.seed,
        "classes": list(photos.classes),
        "data_fingerprint": photos.train.fingerprint,
    }
    path = options.out / "gan.json"
    if options.out.exists():
        try:
            before = read_json(path)
        except ConfigError as error:
            raise ConfigError(f"{error}; there is nothing to resume") from error
        changed = [key for key, value in settings.items() if before.get(key) != value]
        if changed:
            raise ConfigError(
                f"{options.out}: was started with another {', '.join(changed)} and cannot be resumed with these"
            )
    options.out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, indent=2), encoding="utf-8")


def _train(options: Options, photos: Photos, device: torch.device) -> list[tuple[Generator, int]]:
    """For each class: its generator, and the label to give to it."""
    pixels, labels = torch.from_numpy(photos.train.pixels), torch.from_numpy(photos.train.labels)

    def trained(name: str, places: torch.Tensor, own_labels: torch.Tensor, class_count: int) -> Generator:
        epochs = options.epochs or -(-_STEPS // max(1, len(own_labels) // BATCH))
        run = options.out / "models" / name
        latent = options.latent_vector_size
        return train_gan(pixels[places], own_labels, class_count, latent, epochs, options.seed, run, device)

    if options.kind == "combined":
        generator = trained("combined", torch.arange(len(labels)), labels, len(photos.classes))
        return [(generator, label) for label in range(len(photos.classes))]
    places = [torch.nonzero(labels == label).flatten() for label in range(len(photos.classes))]
    return [
        (trained(name, of_class, torch.zeros_like(of_class), 1), 0)
        for name, of_class in zip(photos.classes, places, strict=True)
    ]


def _write(folder: Path, pixels: np.ndarray, width_px: int) -> None:
    """Write the images, stretched back to the shape of the photos. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    for earlier in folder.glob("*.png"):
        earlier.unlink()
    for number, image in enumerate(pixels):
        stretched = cv2.resize(as_rgb(image), (width_px, image.shape[1]), interpolation=cv2.INTER_LINEAR)
        code = cv2.COLOR_RGB2GRAY if len(image) == 1 else cv2.COLOR_RGB2BGR
        write_image(folder / f"{number:05d}.png", cv2.cvtColor(stretched, code))


def _write_sources(folder: Path, learned: Images) -> None:
    """List the photos that were learned, so that `synthesize.py mix` puts the images only into the split of these photos."""
    rows = (
        {"photo": relative(path, folder), "sha256": digest}
        for path, digest in zip(learned.files, learned.digests, strict=True)
    )
    write_table(folder / "sources.csv", ("photo", "sha256"), rows)


if __name__ == "__main__":
    sys.exit(main())
