"""What was found, in words, as a table and as pictures."""

import csv
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from inspectd.contact_sheet import Tile, write_contact_sheet
from inspectd.learning.rates import Rate
from inspectd.part import Image
from inspectd_tools.detectability.curve import Reached
from inspectd_tools.detectability.trial import Detectability, Try
from inspectd_tools.synthetic.small_faults.fault import KINDS, Kind, SmallFault, with_unit

HEADER = (
    "fault",
    "sizes tried",
    "found",
    "half are found from",
    "90 % are found from",
    "90 %, with 95 % confidence (of the short side)",
)
PICTURE = "pod.png"
TABLE = "pod.csv"
TRIES = "pod-tries.csv"
SHEET = "pod-faults.png"
SIZES = "pod-sizes.csv"
"""Names of the files that are written."""
_SHARE = 0.9
_CROP_PX = (240, 180)
_COLUMNS = 4
_EACH = 3
"""Smallest found and largest missed ones of a kind on the sheet."""
_FOUND, _MISSED, _BLACK = (0, 110, 0), (0, 0, 200), (0, 0, 0)
"""BGR"""


def rows(found: Detectability) -> list[tuple[str, ...]]:
    """Under `HEADER`, one per kind."""
    return [_row(found, kind) for kind in found.tries]


def sentence(found: Detectability, kind: Kind) -> str:
    """Such as "lost ink: 90 % are found from 21 px (with 95 % confidence)"."""
    curve = found.curves[kind]
    sure, estimate = curve.surely_reached(_SHARE), curve.reached(_SHARE)
    if sure.relation != "above":
        return f"{kind}: 90 % are found from {_size(sure, kind)} (with 95 % confidence)"
    if estimate.relation != "above":
        return (
            f"{kind}: 90 % are found from about {_size(estimate, kind)}, but not with 95 % confidence up to {with_unit(sure.size, kind)}, "
            "the largest size tried; try more photos"
        )
    return f"{kind}: 90 % are not reached up to {with_unit(sure.size, kind)}, the largest size tried"


def notes(found: Detectability) -> list[str]:
    """Sentences on photos and kinds that were left out."""
    reasons: dict[str, list[str]] = {}
    for kind, why in found.left_out.items():
        reasons.setdefault(why, []).append(kind)
    return [
        f"The engine rejects {found.rejected} of the good photos as they are. These got no faults.",
        *(f"Not tried, because {why}: {', '.join(kinds)}." for why, kinds in reasons.items()),
    ]


def write(found: Detectability, folder: Path) -> None:
    """`pod.png`, `pod.csv`, `pod-tries.csv` and `pod-faults.png`. Raises OSError."""
    write_picture(found, folder)
    with (folder / TABLE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("kind", "unit", "smallest", "largest", "tried", "found", "a50", "a90", "a90_95"))
        writer.writerows(_figures(found, kind) for kind in found.tries)
    with (folder / TRIES).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("kind", "size", "unit", "found", "verdict", "photo"))
        for kind, tries in found.tries.items():
            writer.writerows(
                (kind, f"{one.fault.size:.4g}", KINDS[kind].unit, int(one.is_found), one.said, one.photo)
                for one in tries
            )
    write_contact_sheet(folder / SHEET, [tile for kind in found.tries for tile in _tiles(found, kind)])


def write_sizes(rates: Mapping[SmallFault, Rate], folder: Path) -> None:
    """`pod-sizes.csv`. Raises OSError."""
    with (folder / SIZES).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("kind", "size", "unit", "tried", "found", "at_least", "at_most"))
        writer.writerows(
            (
                fault.kind,
                f"{fault.size:g}",
                KINDS[fault.kind].unit,
                rate.n,
                rate.errors,
                *(f"{end:.4f}" for end in rate.interval),
            )
            for fault, rate in rates.items()
        )


def write_picture(found: Detectability, folder: Path) -> None:
    """`pod.png`: a curve per kind with its lower bound, hits at the top and misses at the bottom. Raises OSError."""
    _figure(found).savefig(folder / PICTURE, dpi=80)


def _figure(found: Detectability) -> Figure:
    count = max(1, len(found.tries))
    high = -(-count // _COLUMNS)
    page = Figure(figsize=(4 * _COLUMNS, 3 * high), layout="constrained")
    axes = page.subplots(high, _COLUMNS, squeeze=False).ravel()
    for ax in axes[count:]:
        ax.axis("off")
    for ax, kind in zip(axes, found.tries, strict=False):
        curve, unit = found.curves[kind], KINDS[kind].unit
        ax.set_xscale("log")
        sizes = np.geomspace(curve.smallest, curve.largest, 60)
        ax.plot(sizes, curve.pod(sizes), color="tab:blue", label="best estimate")
        some = sizes[::4]
        ax.plot(some, curve.lower_bound(some), color="tab:blue", linestyle="--", label="lower 95 % bound")
        ax.axhline(_SHARE, color="grey", linewidth=0.8)
        sure = curve.surely_reached(_SHARE)
        if sure.relation != "above":
            ax.axvline(sure.size, color="tab:orange", label=f"a90/95: {_size(sure, kind)}")
        for is_found, mark, height in ((True, "|", 1.04), (False, "|", -0.04)):
            at = curve.sizes[curve.found == is_found]
            ax.plot(at, np.full(len(at), height), mark, color="tab:green" if is_found else "tab:red")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter("")
        ax.set(title=kind, xlabel=unit, ylabel="share found", ylim=(-0.08, 1.08))
        ax.legend(loc="center right", fontsize="small")
    return page


def _row(found: Detectability, kind: Kind) -> tuple[str, ...]:
    curve = found.curves[kind]
    hits = int(curve.found.sum())
    return (
        kind,
        f"{with_unit(curve.smallest, kind).split()[0]} to {with_unit(curve.largest, kind)}",
        f"{hits} of {len(curve.found)}",
        _size(curve.reached(0.5), kind),
        _size(curve.reached(_SHARE), kind),
        _size(curve.surely_reached(_SHARE), kind, found.short_side_px),
    )


def _size(reached: Reached, kind: Kind, short_side_px: int | None = None) -> str:
    """With the share of the photo's short side, if that is given and the size is a length."""
    size = with_unit(reached.size, kind)
    match reached.relation:
        case "above":
            return f"not reached up to {size}"
        case "at most":
            text = f"{size} or less"
        case "at":
            text = size
    is_length = KINDS[kind].unit == "px"
    return f"{text} ({reached.size / short_side_px:.1%})" if short_side_px and is_length else text


def _figures(found: Detectability, kind: Kind) -> tuple[str | int, ...]:
    curve = found.curves[kind]
    reached = (curve.reached(0.5), curve.reached(_SHARE), curve.surely_reached(_SHARE))
    marks = {"at": "", "at most": "<=", "above": ">"}
    return (
        kind,
        KINDS[kind].unit,
        f"{curve.smallest:.4g}",
        f"{curve.largest:.4g}",
        len(curve.found),
        int(curve.found.sum()),
        *(f"{marks[one.relation]}{one.size:.4g}" for one in reached),
    )


def _tiles(found: Detectability, kind: Kind) -> list[Tile]:
    """A row of the sheet: the smallest faults that were found, then the largest that were missed."""
    tries = found.tries[kind]
    smallest = [one for one in tries if one.is_found][:_EACH]
    largest = [one for one in reversed(tries) if not one.is_found][:_EACH]
    return [
        *_filled([_tile(found, one) for one in smallest], f"{kind}: no more found"),
        *_filled([_tile(found, one) for one in largest], f"{kind}: no more missed"),
    ]


def _filled(tiles: list[Tile], otherwise: str) -> list[Tile]:
    blank = np.full((*_CROP_PX[::-1], 3), 255, np.uint8)
    return tiles + [Tile(blank, (otherwise, ""), _BLACK)] * (_EACH - len(tiles))


def _tile(found: Detectability, one: Try) -> Tile:
    """The place of the fault; the whole photo if the fault is large."""
    seeded = found.seeded(one)
    image, (left, top, width, height) = seeded.image, seeded.box
    caption = (f"{'found' if one.is_found else 'missed'}: {one.fault}", one.said)
    colour = _FOUND if one.is_found else _MISSED
    if width > _CROP_PX[0] * 0.9 or height > _CROP_PX[1] * 0.9:
        return Tile(image, caption, colour)
    x, y = (
        int(np.clip(start + length / 2 - side / 2, 0, max(0, whole - side)))
        for start, length, side, whole in zip((left, top), (width, height), _CROP_PX, image.shape[1::-1], strict=True)
    )
    crop: Image = image[y : y + _CROP_PX[1], x : x + _CROP_PX[0]]
    return Tile(
        cv2.copyMakeBorder(crop, 0, 0, 0, 0, cv2.BORDER_CONSTANT), caption, colour, (left - x, top - y, width, height)
    )
