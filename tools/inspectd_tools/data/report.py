"""One page about a data set, to look at before training with it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from inspectd.camera.image_files import read_photo
from inspectd.inference.preprocess import to_colour
from inspectd_tools.data.manifest import SPLITS, DataManifest
from inspectd_tools.data.scan import Seen
from inspectd_tools.data.split import closest_across

_EXAMPLES = 8
_LISTED = 12


def report_page(manifest: DataManifest, looked_at: Iterable[Seen], broken: Sequence[Path]) -> Figure:
    """Examples and counts per class, photos that could be in both train and test, sizes, brightness, sharpness, duplicates.

    `looked_at`: the photos of the manifest; there may be more.
    """
    by_path = {photo.path: photo for photo in looked_at}
    seen = [by_path[photo.path] for photo in manifest.photos]
    n = len(manifest.names)
    figure = Figure(figsize=(16, 1.3 * n + 8.5), layout="constrained")
    examples, facts = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.3 * n + 1.5, 7])[:, 0]
    grid = examples.subplots(n + 1, _EXAMPLES, squeeze=False)
    for label, name in enumerate(manifest.names):
        _examples(list(grid[label]), [photo.path for photo in seen if photo.label == label])
        counts = " / ".join(str(manifest.count(label, split)) for split in SPLITS)
        grid[label][0].set_title(f"{name}: {counts} train / val / test", loc="left", fontsize=9)
    _closest(list(grid[n]), manifest, seen)
    counted, sizes, brightness, sharpness, text = facts.subplots(1, 5)
    _counts(counted, manifest)
    labels = np.array([photo.label for photo in seen])
    sizes.set_title("size, px")
    for label, name in enumerate(manifest.names):
        of_class = [photo for photo in seen if photo.label == label]
        sizes.scatter([photo.width for photo in of_class], [photo.height for photo in of_class], s=6, label=name)
    sizes.legend(fontsize=7)
    sizes.set(xlabel="width", ylabel="height")
    _histograms(brightness, manifest.names, labels, np.array([photo.brightness for photo in seen]))
    brightness.set_title("brightness (mean)")
    _histograms(sharpness, manifest.names, labels, np.log10([max(photo.sharpness, 0.01) for photo in seen]))
    sharpness.set_title("sharpness (log10, Laplacian)")
    text.axis("off")
    text.text(0, 1, _findings(manifest, broken), va="top", fontsize=7, wrap=True)
    return figure


def _examples(axes: Sequence[Axes], paths: Sequence[Path]) -> None:
    places = np.linspace(0, len(paths) - 1, min(len(axes), len(paths))).astype(int)
    for ax in axes:
        ax.axis("off")
    for ax, place in zip(axes, places, strict=False):
        _show(ax, paths[place])


def _closest(axes: Sequence[Axes], manifest: DataManifest, seen: Sequence[Seen]) -> None:
    """Pairs of photos: a test photo, and the training photo that is most similar to it."""
    pairs = closest_across(seen, [photo.split for photo in manifest.photos], len(axes) // 2)
    for ax in axes:
        ax.axis("off")
    for number, (place, other, bits) in enumerate(pairs):
        for ax, photo, side in ((axes[2 * number], place, "test"), (axes[2 * number + 1], other, "train")):
            _show(ax, seen[photo].path)
            ax.set_title(f"{side}: {seen[photo].path.name[-22:]}, {bits} bits", fontsize=6)
    axes[0].text(
        0, 1.25, "most similar in test and train: do they show the same thing?", transform=axes[0].transAxes, fontsize=9
    )


def _show(ax: Axes, path: Path) -> None:
    image = cv2.cvtColor(to_colour(read_photo(path)), cv2.COLOR_BGR2RGB)
    scale = 200 / max(image.shape[:2])
    ax.imshow(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))


def _counts(ax: Axes, manifest: DataManifest) -> None:
    left = np.zeros(len(manifest.names))
    for split in SPLITS:
        counts = np.array([manifest.count(label, split) for label in range(len(manifest.names))])
        ax.barh(manifest.names, counts, left=left, label=split)
        left += counts
    ax.set_title("photos")
    ax.invert_yaxis()
    ax.legend(fontsize=7)


def _histograms(ax: Axes, classes: Sequence[str], labels: NDArray[np.int64], values: NDArray[np.float64]) -> None:
    """One above the other on the same scale; drawn over each other, six classes can't be distinguished."""
    edges = np.linspace(values.min(), values.max() + 1e-9, 30)
    for label, name in enumerate(classes):
        counts, _ = np.histogram(values[labels == label], edges)
        bottom = len(classes) - 1 - label
        ax.stairs(bottom + 0.9 * counts / counts.max(), edges, baseline=bottom, fill=True, label=name)
    ax.set_yticks([])


def _findings(manifest: DataManifest, broken: Sequence[Path]) -> str:
    sizes = Counter(photo.group for photo in manifest.photos)
    shared = [(name, count) for name, count in sizes.most_common() if count > 1]
    lines = [f"{len(shared)} groups of photos of the same thing ({sum(count for _, count in shared)} photos),"]
    lines += ["kept in one split each" + ("; largest:" if shared else "")]
    lines += [f"  {count} like {name}" for name, count in shared[:_LISTED]]
    lines += [f"{len(broken)} broken files", *(f"  {path.name}" for path in broken[:_LISTED])]
    return "\n".join(lines)
