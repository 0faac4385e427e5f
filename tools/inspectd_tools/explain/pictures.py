"""Maps as pictures: photo, heat map and overlay side by side, and one page of overlays per class."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from inspectd.camera.image_files import read_photo
from inspectd.contact_sheet import Tile, write_contact_sheet
from inspectd.inference.preprocess import InputSpec, to_colour
from inspectd_tools.explain.evidence import Map
from inspectd_tools.explain.explanation import Explanation, Seen

_WIDTH_PX = (320, 960)
"""Smaller photos are enlarged so that the text fits above them; larger ones are reduced."""
_BRIGHTEST = 99.5
"""Percentile of the map's magnitude that gets the strongest colour, so that a few pixels do not darken all others."""
_STRONGEST_COVER = 0.8
_RED_BGR = (0, 0, 200)

Picture = NDArray[np.uint8]
"""(h, w, 3) RGB"""


def draw(explanation: Explanation, spec: InputSpec, title: str) -> Image.Image:
    """Photo, heat map and overlay, with the prediction and the target above them."""
    seen = explanation.seen
    truth = f"truth: {seen.subject.truth}" if seen.subject.truth else seen.subject.path.name
    legend = "red: for, blue: against" if explanation.method.is_signed else "bright: matters"
    captions = (
        f"{seen.predicted}\nCertainty = {seen.certainty:.2f}, {truth}",
        f"{title}\n{'the map is zero everywhere' if explanation.is_blank else legend}",
        "",
    )
    return _side_by_side(panels(explanation, spec), captions)


def draw_pair(explanation: Explanation, spec: InputSpec, captions: tuple[str, str]) -> Image.Image:
    """Photo and overlay, each under a caption of at most two lines."""
    photo, _, overlay = panels(explanation, spec)
    return _side_by_side((photo, overlay), captions)


def panels(explanation: Explanation, spec: InputSpec) -> tuple[Picture, Picture, Picture]:
    """Photo, heat map and overlay of the same size. Outside the region that the network sees, the photo stays as it is."""
    photo = _photo(explanation.seen)
    height, width = photo.shape[:2]
    region = spec.region
    rows = slice(round(region.top * height), round(region.bottom * height))
    columns = slice(round(region.left * width), round(region.right * width))
    inside = photo[rows, columns]
    value = cv2.resize(_scaled(explanation.map), inside.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    colours = (
        matplotlib.colormaps["RdBu_r"]((1 + value) / 2)
        if explanation.method.is_signed
        else matplotlib.colormaps["inferno"](value)
    )
    coloured = colours[..., :3] * 255
    cover = _STRONGEST_COVER * np.abs(value)[..., None]
    heat, overlay = np.full_like(photo, 255), photo.copy()
    heat[rows, columns] = coloured.round()
    overlay[rows, columns] = (inside * (1 - cover) + coloured * cover).round()
    return photo, heat, overlay


def write_pages(folder: Path, explanations: Sequence[Explanation], spec: InputSpec) -> list[Path]:
    """Write `<class>.png` with all photos of that class: by truth, or by prediction if the truth is not known.

    Raises OSError.
    """
    by_class: dict[str, list[Explanation]] = {}
    for explanation in explanations:
        by_class.setdefault(class_of(explanation.seen), []).append(explanation)
    for name, members in by_class.items():
        write_sheet(folder / f"{name}.png", members, spec)
    return [folder / f"{name}.png" for name in by_class]


def write_sheet(path: Path, explanations: Sequence[Explanation], spec: InputSpec) -> None:
    """Write a contact sheet of overlays. Raises OSError."""
    tiles = []
    for explanation in explanations:
        seen = explanation.seen
        overlay = cv2.cvtColor(panels(explanation, spec)[2], cv2.COLOR_RGB2BGR)
        tiles.append(Tile(overlay, (f"{seen.predicted} {seen.certainty:.2f}", seen.subject.path.name), _RED_BGR))
    write_contact_sheet(path, tiles)


def class_of(seen: Seen) -> str:
    return seen.subject.truth or seen.predicted


def _side_by_side(columns: Sequence[Picture], captions: Sequence[str]) -> Image.Image:
    """Pictures of the same size, each below its caption of at most two lines."""
    height, width = columns[0].shape[:2]
    gap_px = max(4, width // 60)
    size_px = max(12.0, width / 22)
    font = ImageFont.load_default(size_px)
    top = 2 * round(size_px * 1.3) + gap_px
    page = Image.new("RGB", (len(columns) * (width + gap_px) - gap_px, height + top), "white")
    pen = ImageDraw.Draw(page)
    for number, (picture, caption) in enumerate(zip(columns, captions, strict=True)):
        left = number * (width + gap_px)
        pen.text((left + 4, 2), caption, "black", font)
        page.paste(Image.fromarray(picture), (left, top))
    return page


def _photo(seen: Seen) -> Picture:
    image = cv2.cvtColor(to_colour(read_photo(seen.subject.path)), cv2.COLOR_BGR2RGB)
    height, width = image.shape[:2]
    wanted = int(np.clip(width, *_WIDTH_PX))
    way = cv2.INTER_NEAREST if wanted > width else cv2.INTER_AREA
    return np.asarray(cv2.resize(image, (wanted, max(1, round(height * wanted / width))), interpolation=way))


def _scaled(attribution: Map) -> Map:
    """Scale a map to -1..1."""
    highest = np.percentile(np.abs(attribution), _BRIGHTEST) or np.abs(attribution).max()
    return np.clip(attribution / highest, -1, 1) if highest > 0 else attribution
