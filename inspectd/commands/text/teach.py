"""`inspectd text teach`: from good photos of a line to the section `text` of its config."""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from inspectd.camera.image_files import list_photos, read_photo
from inspectd.commands.text import reading
from inspectd.commands.text.layout import Layout, find_layout
from inspectd.commands.text.picture import write_picture
from inspectd.commands.text.proposal import corrected, propose
from inspectd.commands.text.reading import Read
from inspectd.commands.text.section import text_section
from inspectd.config import Config, load_config
from inspectd.errors import ConfigError
from inspectd.inference import Engine, load_bundle, load_engine
from inspectd.inference.preprocess import to_grey
from inspectd.part import Image, Pass
from inspectd.terminal import track
from inspectd.text.reader import Reader, load_reader

_FEWEST = 5
_MOST = 60
"""More photos show nothing new."""


def run(
    config: Path,
    photos: Path,
    reader: Path | None,
    font: str | None,
    out: Path | None,
    picture: Path,
    crops: Path | None,
) -> int:
    """Write the section to `out`, or to standard output, the boxes to `picture`, and the lines of all photos to `crops`.

    Raises ConfigError: the engine finds no print, there are too few good photos, or reader and font do not fit.
    """
    if crops is not None and crops.exists() and any(crops.iterdir()):
        raise ConfigError(f"--crops {crops}: is not empty; name a new folder")
    line = load_config(config)
    reader = reader or (line.text.reader if line.text else None)
    known = None if reader is None else load_reader(reader, line.inference)
    font = _font(known, font)
    prints = _good_prints(line, photos)
    layout = find_layout(prints)
    if not layout.lines and not layout.codes:
        raise ConfigError(
            f"{photos}: no line of text and no code was found on {len(prints)} good photos; is the print sharp?"
        )
    texts = [corrected(said) for said in _texts(layout, prints, known)]
    proposals = propose(layout, texts)
    section = text_section(proposals, None if reader is None else reader.resolve(), font)
    write_picture(picture, prints[0], proposals)
    if crops is not None:
        _write_crops(crops, layout, prints, texts)
    if out is None:
        print(section, end="")
    else:
        out.write_text(section, encoding="utf-8")
    _say(
        f"{len(layout.lines)} line(s) of text and {len(layout.codes)} code(s) on {len(prints)} photos; look at {picture}"
    )
    if layout.lines and known is None:
        _say(
            "no reader was given: commission the printer's font (tools/reader.py commission), then run this again with --reader"
        )
    return 0


def _font(reader: Reader | None, font: str | None) -> str | None:
    if reader is None:
        return font
    fonts = ", ".join(reader.fonts)
    if font is None and len(reader.fonts) > 1:
        raise ConfigError(f"--font: say which font the printer uses; the reader {reader.name} knows {fonts}")
    if font is not None and font not in reader.fonts:
        raise ConfigError(f"--font {font}: the reader {reader.name} is not commissioned for it; it knows {fonts}")
    return font or next(iter(reader.fonts))


def _good_prints(line: Config, folder: Path) -> list[Image]:
    """(h, w) uint8 grey: the straightened prints of photos that the engine lets pass. Raises ConfigError."""
    engine = load_engine(load_bundle(line.engine), line.inference)
    if engine.print_size is None:
        raise ConfigError(
            f"{line.engine}: this engine has no guard that finds the print, so nothing says where on the image a text is; "
            "build one with tools/fit_guard.py"
        )
    paths = list_photos(folder).found
    chosen = [paths[index] for index in np.unique(np.linspace(0, len(paths) - 1, min(_MOST, len(paths))).astype(int))]
    found = [_print(engine, engine.print_size, path) for path in track(chosen, "look at photos", stderr=True)]
    prints = [print_ for print_ in found if print_ is not None]
    if len(prints) < _FEWEST:
        raise ConfigError(
            f"{folder}: the engine lets {len(prints)} of {len(chosen)} photos pass; at least {_FEWEST} photos of good labels are "
            "needed, best of several jobs and days, so that it can be seen what changes"
        )
    return prints


def _print(engine: Engine, size: tuple[int, int], path: Path) -> Image | None:
    image = read_photo(path)
    judged = engine.judge(image)
    if not isinstance(judged.verdict, Pass) or judged.print_to_image is None:
        return None
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(to_grey(image), judged.print_to_image[:2], size, flags=flags), np.uint8)


def _texts(layout: Layout, prints: list[Image], reader: Reader | None) -> list[list[str]]:
    """Per line what each print says, '' if it is not known."""
    read = _reading(reader)
    if read is None:
        _say("nothing reads the lines, so their text is not proposed: pip install 'inspectd[teach]', or give --reader")
        return [[""] * len(prints) for _ in layout.lines]
    return [[read(print_, box) for print_ in prints] for box in track(layout.lines, "read lines", stderr=True)]


def _write_crops(folder: Path, layout: Layout, prints: Sequence[Image], texts: Sequence[Sequence[str]]) -> None:
    """One picture per line and photo, and `lines.csv` with what it says, as `tools/reader.py commission` takes them.

    Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = [("file", "text")]
    for line, ((left, top, width, height), said) in enumerate(zip(layout.lines, texts, strict=True), 1):
        for photo, (print_, text) in enumerate(zip(prints, said, strict=True)):
            rows.append((f"line_{line}-{photo:03}.png", text))
            if not cv2.imwrite(str(folder / rows[-1][0]), print_[top : top + height, left : left + width]):
                raise OSError(f"{folder / rows[-1][0]}: can't be written")
    with (folder / "lines.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def _reading(reader: Reader | None) -> Read | None:
    return reading.rapidocr() or (None if reader is None else reading.own(reader))


def _say(sentence: str) -> None:
    print(f"inspectd: {sentence}", file=sys.stderr)
