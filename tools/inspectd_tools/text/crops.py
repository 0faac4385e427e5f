"""Lines of a user's own labels: crops of good photos with the text that they say."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.camera.image_files import read_photo
from inspectd.errors import ConfigError
from inspectd.files.csv_file import read_csv
from inspectd.inference.preprocess import to_grey
from inspectd.text.crop import HEIGHT, line_crop
from inspectd_tools.text.lines import Line
from inspectd_tools.text.texts import ALPHABET

LIST: Final = "lines.csv"
_FOR_CALIBRATION: Final = 0.4
"""Share of the crops that training does not see."""
_LEAST: Final = 50
_LEAST_SEEN: Final = 5
"""Crops that must show a character, so that it may be read."""


@dataclass(frozen=True, slots=True)
class _Crop:
    image: NDArray[np.uint8]
    """(h, w) grey."""
    text: str


@dataclass(frozen=True, slots=True)
class CroppedFont:
    name: str
    made_from: str
    learned: Sequence[_Crop]
    kept: Sequence[_Crop]

    @property
    def characters(self) -> str:
        """Those that training sees often enough."""
        count = Counter(character for crop in self.learned for character in crop.text)
        return "".join(character for character in ALPHABET if count[character] >= _LEAST_SEEN)

    @property
    def source(self) -> "CroppedFont":
        return self

    def line(self, width: int, rng: np.random.Generator) -> Line:
        """One of the crops in another light and a little elsewhere, squeezed if `width` is too small."""
        crop = self.learned[int(rng.integers(len(self.learned)))]
        return Line(_changed(crop.image, width, rng), crop.text, None)

    def for_calibration(self, most: int, rng: np.random.Generator) -> Sequence[Line]:
        """The crops that training does not see, each once."""
        return [Line(_resized(crop.image), crop.text, None) for crop in self.kept[:most]]


def read_crops(name: str, folder: Path) -> CroppedFont:
    """Crops of one line each, and `lines.csv` with the columns file and text. Raises ConfigError."""
    rows = read_csv(folder / LIST, ("file", "text"))
    crops = []
    for row in rows:
        unknown = sorted(set(row["text"]) - set(ALPHABET) - {" "})
        if unknown or not row["text"].strip():
            raise ConfigError(
                f"{folder / LIST}: the text {row['text']!r} of {row['file']} must have characters of {ALPHABET} only"
            )
        crops.append(_Crop(to_grey(read_photo(folder / row["file"])), row["text"]))
    if len(crops) < _LEAST:
        raise ConfigError(f"{folder}: has {len(crops)} crops; at least {_LEAST} are needed, better 300")
    order = np.random.default_rng(len(crops)).permutation(len(crops))
    kept = round(_FOR_CALIBRATION * len(crops))
    digest = hashlib.sha256((folder / LIST).read_bytes()).hexdigest()
    return CroppedFont(
        name,
        f"{len(crops)} crops of {folder.name}, sha256 of {LIST} {digest}",
        [crops[place] for place in order[kept:]],
        [crops[place] for place in order[:kept]],
    )


def _resized(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """As `inspectd.text.crop.line_crop` does it."""
    return line_crop(image, np.eye(3), (0, 0, image.shape[1], image.shape[0]))


def _changed(image: NDArray[np.uint8], width: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(h, w) -> (HEIGHT, width): in other light, a little elsewhere and turned."""
    height, wide = image.shape
    angle = np.deg2rad(rng.uniform(-0.8, 0.8))
    natural = wide * HEIGHT / height
    scale = np.array([wide / min(width, natural), height / HEIGHT]) * rng.uniform(0.95, 1.06, 2)
    across = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag(scale)
    middle = np.array([wide / 2, height / 2]) + rng.uniform(-0.05, 0.05, 2) * height
    matrix = np.column_stack([across, middle - across @ np.array([width / 2, HEIGHT / 2])])
    grey = cv2.warpAffine(
        image.astype(np.float32),
        matrix,
        (width, HEIGHT),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    grey = rng.uniform(0.8, 1.15) * grey + rng.uniform(-20, 20)
    grey *= 1 + rng.uniform(-0.12, 0.12) * np.linspace(-1, 1, width, dtype=np.float32)
    if rng.random() < 0.5:
        grey = cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.3, 0.9))
    grey += rng.uniform(0.3, 3) * rng.standard_normal(grey.shape, np.float32)
    return np.asarray(np.clip(grey, 0, 255), np.uint8)
