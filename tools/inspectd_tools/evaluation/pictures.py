"""Photos with the model's answer drawn on them: every photo by itself, and the worst errors on a contact sheet."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from inspectd.camera.image_files import read_photo
from inspectd.contact_sheet import Tile, write_contact_sheet
from inspectd.inference.preprocess import to_colour
from inspectd.part import Pass
from inspectd.terminal import track
from inspectd_tools.evaluation.predictions import Judgement
from inspectd_tools.metrics.plots import short

_WIDTH_PX = (320, 1280)
"""Smaller photos are enlarged so that the text fits below them; larger ones are reduced."""
_TILES = 30
UNKNOWN = "unknown"
_RED, _RED_BGR = (200, 0, 0), (0, 0, 200)


def worst(judgements: Sequence[Judgement], good: int) -> dict[str, list[Judgement]]:
    """The photos of each contact sheet, the worst first. `good`: label of the pass class.

    - wrong: classified as another class, most certain first.
    - With verdicts, false_accepts: faulty or unknown, but passed, most certain first; and false_rejects: good, but not
      passed, lowest score of the pass class first.
    - Without verdicts, unknown: most certain first.
    """
    certain_first = partial(sorted, key=lambda photo: -photo.certainty)
    wrong = certain_first(photo for photo in judgements if photo.is_wrong)
    if all(photo.verdict is None for photo in judgements):
        return {"wrong": wrong, UNKNOWN: certain_first(photo for photo in judgements if photo.is_unknown)}
    passed = [photo for photo in judgements if photo.verdict == Pass.word]
    rejected = [photo for photo in judgements if photo.label == good and photo.verdict != Pass.word]
    return {
        "false_accepts": certain_first(photo for photo in passed if photo.label != good),
        "false_rejects": sorted(rejected, key=lambda photo: photo.scores[good]),
        "wrong": wrong,
    }


def write_sheets(folder: Path, sheets: dict[str, list[Judgement]]) -> None:
    """Write `<name>.png` with the first photos of each sheet; a sheet without photos is not written. Raises OSError."""
    for name, photos in sheets.items():
        if photos:
            write_contact_sheet(folder / f"{name}.png", [_tile(photo) for photo in photos[:_TILES]])


def write_annotated(
    folder: Path, judgements: Sequence[Judgement], sheets: dict[str, list[Judgement]], limit: int | None
) -> None:
    """Write `<folder>/<truth>/<row in predictions.csv>-<file>.jpg` for every photo.

    With a `limit`, the errors come first, then other photos evenly spread. Raises OSError.
    """
    row = {photo: number for number, photo in enumerate(judgements, start=1)}
    chosen = judgements if limit is None else _choose(judgements, sheets, limit)
    folders = {truth: folder / Path(truth).resolve().name for truth in {photo.truth for photo in chosen}}
    for path in folders.values():
        path.mkdir(parents=True, exist_ok=True)

    def write(photo: Judgement) -> None:
        path = folders[photo.truth] / f"{row[photo]:05}-{photo.path.stem}.jpg"
        annotate(photo).save(path, quality=92, subsampling=0)

    with ThreadPoolExecutor() as pool:
        for _ in track(pool.map(write, chosen), "annotate", len(chosen)):
            pass


def annotate(photo: Judgement) -> Image.Image:
    """The photo with its predicted class in red; below it, on white, certainty, truth and verdict."""
    picture = Image.fromarray(cv2.cvtColor(_image(photo), cv2.COLOR_BGR2RGB))
    width = int(np.clip(picture.width, *_WIDTH_PX))
    height = max(1, round(picture.height * width / picture.width))
    way = Image.Resampling.NEAREST if width > picture.width else Image.Resampling.BOX
    lines = [f"Certainty = {photo.certainty:.2f}", f"Truth: {short(photo.truth)}"]
    lines += [f"Verdict: {photo.verdict}"] if photo.verdict is not None else []
    font = _font([photo.predicted, *lines], width)
    step = round(font.size * 1.4)
    page = Image.new("RGB", (width, height + step * len(lines) + step // 2), "white")
    page.paste(picture.resize((width, height), way))
    draw = ImageDraw.Draw(page)
    margin = step // 3
    draw.text((margin, margin), photo.predicted, _RED, font, stroke_width=max(1, step // 12), stroke_fill="white")
    for number, line in enumerate(lines):
        draw.text((margin, height + margin + step * number), line, "black", font)
    return page


def _choose(judgements: Sequence[Judgement], sheets: dict[str, list[Judgement]], limit: int) -> list[Judgement]:
    errors = list(dict.fromkeys(photo for name, photos in sheets.items() if name != UNKNOWN for photo in photos))
    is_error = set(errors)
    others = [photo for photo in judgements if photo not in is_error]
    count = min(len(others), max(0, limit - len(errors)))
    spread = np.linspace(0, len(others) - 1, count).astype(int)
    return errors[:limit] + [others[place] for place in spread]


def _image(photo: Judgement) -> NDArray[np.uint8]:
    """(h, w, 3) BGR: the file, or what the network saw if the photo comes from an idx file."""
    if photo.path.is_file():
        return to_colour(read_photo(photo.path))
    rgb = np.repeat(photo.pixels, 3 // len(photo.pixels), axis=0)
    return np.ascontiguousarray(rgb[::-1].transpose(1, 2, 0))


def _font(lines: Sequence[str], width: int) -> ImageFont.FreeTypeFont:
    """The largest font in which the longest line fits."""
    size = width / 20
    longest = max(ImageFont.load_default(size).getlength(line) for line in lines)
    font = ImageFont.load_default(size * min(1.0, 0.94 * width / longest))
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _tile(photo: Judgement) -> Tile:
    said = f"{photo.predicted} {photo.certainty:.2f}"
    return Tile(_image(photo), (said, f"is {short(photo.truth)}"), _RED_BGR)
