"""One page to review a composition: what was found, what was discarded and why, and what was composed."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from inspectd.errors import ConfigError
from inspectd_tools.sampling import spread
from inspectd_tools.synthetic.compose.dataset import Order
from inspectd_tools.synthetic.compose.extraction import Prepared
from inspectd_tools.synthetic.compose.photos import read_grey

_COLUMNS = 6
_DISCARD_ROWS = 4


def write_sheet(prepared: Sequence[Prepared], orders: Sequence[Order], folder: Path) -> None:
    """Write `review.png` to `folder`. Raises OSError."""
    classes = list(dict.fromkeys(order.class_ for order in orders))
    discarded = [entry for entry in prepared if entry.discards]
    discard_rows = min(_DISCARD_ROWS, -(-len(discarded) // _COLUMNS))
    rows = 2 * len(classes) + 1 + discard_rows
    figure = Figure(figsize=(2.6 * _COLUMNS, 2.2 * rows), layout="constrained")
    grid = figure.subplots(rows, _COLUMNS, squeeze=False)
    for ax in grid.flat:
        ax.axis("off")
    for number, name in enumerate(classes):
        found = [entry for entry in prepared if entry.source.class_ == name and entry.stamp is not None]
        for ax, entry in zip(grid[2 * number], spread(found, _COLUMNS), strict=False):
            _show_found(ax, entry)
        grid[2 * number][0].set_title(f"{name}: {len(found)} found", loc="left", fontsize=9)
        made = [order for order in orders if order.class_ == name]
        for ax, order in zip(grid[2 * number + 1], spread(made, _COLUMNS), strict=False):
            _show(ax, read_grey(folder / order.file))
        grid[2 * number + 1][0].set_title(f"{name}: {len(made)} composed", loc="left", fontsize=9)
    grounds = [entry.ground for entry in prepared if entry.ground is not None]
    for ax, ground in zip(grid[2 * len(classes)], spread(grounds, _COLUMNS), strict=False):
        _show(ax, ground.image)
    grid[2 * len(classes)][0].set_title(f"{len(grounds)} grounds, without print", loc="left", fontsize=9)
    for ax, entry in zip(grid[2 * len(classes) + 1 :].flat, discarded, strict=False):
        _show_found(ax, entry)
        ax.set_title(f"{entry.source.path.name}\n" + _wrapped(entry.discards[0]), fontsize=6, color="tab:red")
    if discarded:
        figure.suptitle(
            f"{len(discarded)} of {len(prepared)} photos discarded, the first in red below; all in sources.csv"
        )
    figure.savefig(folder / "review.png", dpi=80)


def _show_found(ax: Axes, entry: Prepared) -> None:
    try:
        _show(ax, read_grey(entry.source.path))
    except ConfigError:  # the reason why it was discarded
        return
    if entry.outline is not None:
        ax.plot(
            *np.vstack([entry.outline, entry.outline[:1]]).T,
            color="tab:orange",
            linewidth=1,
            scalex=False,
            scaley=False,
        )


def _show(ax: Axes, image: np.ndarray) -> None:
    """Show the image reduced, but with its original coordinates."""
    scale = min(1.0, 240 / max(image.shape))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    ax.imshow(small, cmap="gray", vmin=0, vmax=255, extent=(0, image.shape[1], image.shape[0], 0))
    ax.axis("off")


def _wrapped(text: str, width: int = 46) -> str:
    return "\n".join(text[start : start + width] for start in range(0, min(len(text), 3 * width), width))
