"""Photos with what the model says of them, one by one and the worst errors on a sheet."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from rich.progress import track

from inspectd.contact_sheet import write_contact_sheet
from inspectd_tools.evaluation.judgement import Judgement

_WIDTH_PX = (320, 1280)
"""Smaller photos are enlarged so that text fits below them, larger ones made smaller."""
_TILES = 30
_RED, _RED_BGR = (200, 0, 0), (0, 0, 200)


def write_annotated(folder: Path, judgements: Sequence[Judgement], limit: int | None) -> int:
    """`<folder>/<truth>/<row in predictions.csv>-<file>.jpg` of at most `limit` photos; returns how many.

    With a limit, wrong ones come first, the most certain of them before all, then others evenly spread. Raises OSError.
    """
    chosen = _choose(judgements, limit)
    for truth in {judgements[place].truth for place in chosen}:
        (folder / Path(truth).name).mkdir(parents=True, exist_ok=True)

    def write(place: int) -> None:
        photo = judgements[place]
        name = f"{place + 1:05}-{photo.path.stem}.jpg"
        annotate(photo).save(folder / Path(photo.truth).name / name, quality=92, subsampling=0)

    with ThreadPoolExecutor() as pool:
        for _ in track(pool.map(write, chosen), "annotate", len(chosen)):
            pass
    return len(chosen)


def annotate(photo: Judgement) -> Image.Image:
    """The photo with its predicted class in red; below it, on white, certainty, truth and verdict."""
    picture = Image.fromarray(cv2.cvtColor(_image(photo), cv2.COLOR_BGR2RGB))
    width = int(np.clip(picture.width, *_WIDTH_PX))
    height = max(1, round(picture.height * width / picture.width))
    way = Image.Resampling.NEAREST if width > picture.width else Image.Resampling.BOX
    lines = [f"Certainty = {photo.certainty:.2f}", f"Truth: {photo.truth}"]
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


def write_sheets(folder: Path, judgements: Sequence[Judgement], good: int) -> dict[str, int]:
    """A sheet of the worst of each kind of error, if there is one; returns how many there are. `good`: label of the pass class.

    `wrong.png`: taken for another class, most certain first. With verdicts, `false_accepts.png`: faulty or unknown and
    passed, most certain first, and `false_rejects.png`: good and not passed, the least like good first. Without,
    `unknown.png`: unknown, most certain first. Raises OSError.
    """
    certain_first = partial(sorted, key=lambda photo: -photo.certainty)
    sheets = {"wrong": certain_first(photo for photo in judgements if photo.is_wrong)}
    if all(photo.verdict is None for photo in judgements):
        sheets["unknown"] = certain_first(photo for photo in judgements if photo.is_unknown)
    else:
        passed = [photo for photo in judgements if photo.verdict == "pass"]
        sheets["false_accepts"] = certain_first(photo for photo in passed if photo.label != good)
        rejected = [photo for photo in judgements if photo.label == good and photo.verdict != "pass"]
        sheets["false_rejects"] = sorted(rejected, key=lambda photo: photo.scores[good])
    for name, photos in sheets.items():
        if photos:
            write_contact_sheet(folder / f"{name}.png", [_tile(photo) for photo in photos[:_TILES]])
    return {name: len(photos) for name, photos in sheets.items()}


def _choose(judgements: Sequence[Judgement], limit: int | None) -> list[int]:
    places = list(range(len(judgements)))
    if limit is None or limit >= len(places):
        return places
    wrong = sorted(
        (place for place in places if judgements[place].is_wrong), key=lambda place: -judgements[place].certainty
    )
    others = [place for place in places if not judgements[place].is_wrong]
    spread = np.linspace(0, len(others) - 1, max(0, limit - len(wrong))).astype(int)
    return wrong[:limit] + [others[place] for place in spread]


def _image(photo: Judgement) -> NDArray[np.uint8]:
    """(h, w, 3) BGR of the file; of a photo without a file of its own, what the network saw."""
    if photo.path.is_file():
        return cv2.imread(str(photo.path), cv2.IMREAD_COLOR)
    rgb = np.repeat(photo.pixels, 3 // len(photo.pixels), axis=0)
    return np.ascontiguousarray(rgb[::-1].transpose(1, 2, 0))


def _font(lines: Sequence[str], width: int) -> ImageFont.FreeTypeFont:
    """As large as the longest line allows."""
    size = width / 20
    longest = max(ImageFont.load_default(size).getlength(line) for line in lines)
    font = ImageFont.load_default(size * min(1.0, 0.94 * width / longest))
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _tile(photo: Judgement) -> tuple[NDArray[np.uint8], tuple[str, str], tuple[int, int, int]]:
    said = f"{photo.predicted} {photo.certainty:.2f}"
    return _image(photo), (said, f"is {photo.truth}"), _RED_BGR
