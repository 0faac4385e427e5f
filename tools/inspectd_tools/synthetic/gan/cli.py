"""Train a GAN on tens of photos a class and write images like them, one folder a class.

The network is small enough for a CPU: 64 px take about 20 minutes of one core, 96 px 40, 128 px over an hour. Photos set
aside tell whether the images are new or learnt by heart; `tools/synthesize.py score` tells whether they help.
"""

import argparse
import csv
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from inspectd.errors import ConfigError
from inspectd.files.json_file import read_json
from inspectd.terminal import console
from inspectd_tools.cli import exit_code, not_negative, positive
from inspectd_tools.data.images import Images
from inspectd_tools.data.manifest import relative
from inspectd_tools.synthetic.gan.images import as_rgb, generate, grid, write_sheet
from inspectd_tools.synthetic.gan.memorisation import compare, memorisation_table
from inspectd_tools.synthetic.gan.networks import Generator
from inspectd_tools.synthetic.gan.photos import Photos, load
from inspectd_tools.synthetic.gan.training import BATCH, train_gan
from inspectd_tools.synthetic.quality.features import NETWORKS, FeatureSpace

_EPILOG = """\
examples:
  python tools/prepare_data.py photos/labels --out labels.csv
  python tools/gan.py combined --data labels.csv --out runs/labels-gan --weights mobilenet_v2-imagenet-features.safetensors
  python tools/synthesize.py score runs/labels-gan/images labels.csv --weights mobilenet_v2-imagenet-features.safetensors
  python tools/gan.py combined --data labels.csv --out runs/labels-gan --resume --n_imgs 500
      goes on where it was cut; here it is through, and only more images are drawn

in --out afterwards:
  images/<class>/             what was asked for; images/sources.csv: the photos behind it, for synthesize.py mix
  samples.png                 a row of them for each class
  memorised.png               those closest to a training photo, each beside that photo
  memorisation.json           is it a copyist?
  models/<class or combined>/ averaged weights, epochs, sample sheets, TensorBoard's curves; last.pt to go on from

exit codes: 0 done, 1 the disk refused, 2 wrong usage, 70 the training diverged, 78 the photos, weights or run can't be used"""

_GPU_ONLY_PX = 256
_STEPS = 3000
_COLUMNS = 10


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "kind", choices=("separate", "combined"), help="a GAN for each class, or one that is told the class"
    )
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="manifest of tools/prepare_data.py (csv): learns from train, holds out val; or folder with one folder of "
        "photos a class, of which a fifth is held out",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="new folder")
    parser.add_argument("--n_imgs", type=positive, default=100, metavar="N", help="images a class; default: 100")
    parser.add_argument("--latent_vector_size", type=positive, default=128, metavar="N", help="default: 128")
    parser.add_argument(
        "--epochs", type=positive, metavar="N", help=f"default: as many as make {_STEPS} steps of {BATCH} photos"
    )
    parser.add_argument(
        "--size", type=int, choices=(64, 96, 128, 256), default=64, help="px, 256 on a GPU; default: 64"
    )
    parser.add_argument(
        "--weights", type=Path, help="network in whose features samples and photos are compared; default: torchvision's"
    )
    parser.add_argument("--network", choices=NETWORKS, default=NETWORKS[0], help=f"default: {NETWORKS[0]}")
    parser.add_argument("--resume", action="store_true", help="go on with the run where it was cut")
    parser.add_argument(
        "--seed", type=not_negative, default=0, help="same seed, same images on the same machine; default: 0"
    )
    args = parser.parse_args(arguments)
    if args.out.exists() and not args.resume:
        parser.error(f"{args.out}: exists; give a new folder, so that no earlier run is lost, or --resume")
    if args.size == _GPU_ONLY_PX and not torch.cuda.is_available():
        parser.error("--size 256: needs a GPU, and torch finds none; take 128 or less")
    return exit_code("gan", lambda: _make(args))


def _make(args: argparse.Namespace) -> None:
    space = FeatureSpace(args.network, args.weights)
    photos = load(args.data, args.size, args.seed)
    _begin(args, photos)
    generators = _train(args, photos)
    images = {
        name: generate(generator, torch.full((args.n_imgs,), label), args.seed + place)
        for place, (name, (generator, label)) in enumerate(zip(photos.classes, generators, strict=True))
    }
    for name, pixels in images.items():
        _write(args.out / "images" / name, pixels, photos.width_px)
    _write_sources(args.out / "images", photos.train)
    shown = [np.resize(pixels, (_COLUMNS, *pixels.shape[1:])) for pixels in images.values()]
    write_sheet(args.out / "samples.png", grid(np.concatenate(shown), _COLUMNS))
    found, pairs = compare(photos, images, space)
    write_sheet(args.out / "memorised.png", pairs)
    results = {
        "feature_space": space.name,
        "classes": {name: asdict(figures) | {"verdict": figures.verdict} for name, figures in found.items()},
    }
    (args.out / "memorisation.json").write_text(json.dumps(results, indent=2), encoding="utf-8")
    console().print(memorisation_table(found, space))


def _begin(args: argparse.Namespace, photos: Photos) -> None:
    """The folder of a new run; that of an older one must be of the same photos and networks."""
    settings: dict[str, Any] = {
        "kind": args.kind,
        "size": args.size,
        "latent_vector_size": args.latent_vector_size,
        "seed": args.seed,
        "classes": list(photos.classes),
        "data_fingerprint": photos.train.fingerprint,
    }
    path = args.out / "gan.json"
    if args.out.exists():
        try:
            before = read_json(path)
        except ConfigError as error:
            raise ConfigError(f"{error}; there is nothing to resume") from error
        changed = [key for key, value in settings.items() if before.get(key) != value]
        if changed:
            raise ConfigError(
                f"{args.out}: was begun with another {', '.join(changed)} and can't be resumed with these"
            )
    args.out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, indent=2), encoding="utf-8")


def _train(args: argparse.Namespace, photos: Photos) -> list[tuple[Generator, int]]:
    """Of each class: its generator, and the label to ask it with."""
    pixels, labels = torch.from_numpy(photos.train.pixels), torch.from_numpy(photos.train.labels)

    def trained(name: str, places: torch.Tensor, own_labels: torch.Tensor, class_count: int) -> Generator:
        epochs = args.epochs or -(-_STEPS // max(1, len(own_labels) // BATCH))
        run = args.out / "models" / name
        return train_gan(pixels[places], own_labels, class_count, args.latent_vector_size, epochs, args.seed, run)

    if args.kind == "combined":
        generator = trained("combined", torch.arange(len(labels)), labels, len(photos.classes))
        return [(generator, label) for label in range(len(photos.classes))]
    places = [torch.nonzero(labels == label).flatten() for label in range(len(photos.classes))]
    return [
        (trained(name, of_class, torch.zeros_like(of_class), 1), 0)
        for name, of_class in zip(photos.classes, places, strict=True)
    ]


def _write(folder: Path, pixels: np.ndarray, width_px: int) -> None:
    """Stretched back to the photos' own shape."""
    folder.mkdir(parents=True, exist_ok=True)
    for earlier in folder.glob("*.png"):
        earlier.unlink()
    for number, image in enumerate(pixels):
        stretched = cv2.resize(as_rgb(image), (width_px, image.shape[1]), interpolation=cv2.INTER_LINEAR)
        code = cv2.COLOR_RGB2GRAY if len(image) == 1 else cv2.COLOR_RGB2BGR
        path = folder / f"{number:05d}.png"
        if not cv2.imwrite(str(path), cv2.cvtColor(stretched, code)):
            raise OSError(f"{path}: can't be written")


def _write_sources(folder: Path, learnt: Images) -> None:
    """The photos behind every image, so that `synthesize.py mix` keeps it out of splits that it has not learnt from."""
    with (folder / "sources.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["photo", "sha256"])
        writer.writerows(
            (relative(path, folder), digest) for path, digest in zip(learnt.files, learnt.digests, strict=True)
        )


if __name__ == "__main__":
    sys.exit(main())
