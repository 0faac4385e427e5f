"""What a bundle keeps so that `inspectd learn` can fit its head again: features of the photos that made it."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspectd.errors import ConfigError
from inspectd.files.csv_file import is_csv
from inspectd.inference.bundle import load_bundle, write_manifest
from inspectd.inference.manifest import DuqHead, Manifest
from inspectd.inference.preprocess import InputSpec
from inspectd.inference.sealed import ListedFile
from inspectd.learning.network import OpenNetwork
from inspectd.learning.rows import FILE, Rows, unpacked
from inspectd.terminal import track
from inspectd_tools.data.images import Images, load_images
from inspectd_tools.data.manifest import read_manifest
from inspectd_tools.deploy.judged import Judged, Product
from inspectd_tools.deploy.parts import parts_of
from inspectd_tools.training.run_folder import TrainedWith

_MOST_FITTED = 200
"""Photos per class. More change means and covariances little, and the features of each take 1 KB."""


def keep_photos(folder: Path, calibration: Judged, trained: tuple[Images, tuple[str, ...]] | None) -> None:
    """Write `learning.npz` to a bundle with a DUQ head, and its manifest anew.

    `calibration`: the photos that chose the threshold, with the guard. `trained`: other photos that the head was fitted to, and
    the group of each; None: it was fitted to the calibration photos of the classes. Raises EngineError and OSError.
    """
    bundle = load_bundle(folder)
    manifest = bundle.manifest
    if not isinstance(manifest.head, DuqHead):
        return
    network = OpenNetwork(bundle)
    images, none = calibration.images, np.zeros(len(calibration.parts), bool)
    kept = Rows(
        names=calibration.names,
        features=_features(network, images),
        labels=images.labels,
        parts=calibration.parts.astype(np.int64),
        fits=none if trained else images.labels < len(manifest.classes),
        calibrates=~none,
        guard=_scores(calibration),
        digests=images.digests,
    )
    if trained:
        images, groups = trained
        none = np.zeros(len(images.labels), bool)
        parts = parts_of(groups, images.digests).astype(np.int64)
        fitted = Rows(
            manifest.classes,
            _features(network, images),
            images.labels,
            parts,
            ~none,
            none,
            np.full((len(none), kept.guard.shape[1]), np.nan, np.float32),
            images.digests,
        )
        kept = kept.joined(fitted)
    _write(folder, manifest, kept)


def keep_scores(folder: Path, calibration: Judged | None) -> None:
    """Write anew the scores that the guard of a bundle gives the photos that it keeps. Raises EngineError and OSError.

    `calibration`: photos with the guard. The scores of others are not known, so the guard is not relied on for them. None: there
    are none.
    """
    bundle = load_bundle(folder)
    if bundle.manifest.learning is None or bundle.manifest.guard is None:
        return
    kept = unpacked(bundle.read(bundle.manifest.learning))
    scores = {} if calibration is None else dict(zip(calibration.images.digests, _scores(calibration), strict=True))
    unknown = np.full(len(bundle.manifest.guard.kinds), np.nan, np.float32)
    guard = np.array([scores.get(digest, unknown) for digest in kept.digests], np.float32)
    _write(folder, bundle.manifest, replace(kept, guard=guard))


def _scores(calibration: Judged) -> NDArray[np.float32]:
    """(N, kinds) by the guard; (N, 0) without one."""
    count = len(calibration.parts)
    if calibration.stops is None:
        return np.empty((count, 0), np.float32)
    return calibration.stops.scores(calibration.images, np.arange(count)).astype(np.float32)


def trained_photos(data: Path | None, trained: TrainedWith | None, product: Product) -> tuple[Images, tuple[str, ...]]:
    """The photos that trained a network, at most 200 per class, and the group of each.

    From the manifest `data` if it is one; else from the record of the run, in which a photo's folder is its class. Raises
    ConfigError if they are not known, or a class has none.
    """
    if data is not None and is_csv(data):
        found = [(photo.path, photo.label, photo.group) for photo in read_manifest(data).of("train")]
    else:
        paths = [Path(path) for path in (trained or {"train": {}})["train"].values()]
        places = {name: place for place, name in enumerate(product.classes)}
        found = [(path, places[path.parent.name], str(path)) for path in paths if path.parent.name in places]
    rng = np.random.default_rng(0)
    chosen: list[tuple[Path, int, str]] = []
    for place, name in enumerate(product.classes):
        own = [photo for photo in found if photo[1] == place]
        if not own:
            raise ConfigError(f"the photos of {name} that trained the network are not known")
        chosen += [own[number] for number in rng.permutation(len(own))[:_MOST_FITTED]]
    images = load_images([(path, label) for path, label, _ in chosen], product.input, "train: decode")
    return images, tuple(group for *_, group in chosen)


def _write(folder: Path, manifest: Manifest, kept: Rows) -> None:
    data = kept.packed()
    (folder / FILE).write_bytes(data)
    learning = ListedFile(path=FILE, sha256=hashlib.sha256(data).hexdigest())
    write_manifest(folder, manifest.model_copy(update={"learning": learning}))


def features_of(network: OpenNetwork, photos: Sequence[tuple[Path, int]], spec: InputSpec) -> NDArray[np.float32]:
    """(N, features) of the photos of all (path, label). Raises ConfigError naming a broken file."""
    return _features(network, load_images(photos, spec))


def _features(network: OpenNetwork, images: Images) -> NDArray[np.float32]:
    batches = (images.pixels[place : place + 1] for place in range(len(images.labels)))
    return np.array([network.features(batch) for batch in track(batches, "keep", len(images.labels))], np.float32)
