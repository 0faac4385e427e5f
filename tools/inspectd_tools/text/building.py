"""From a trained network to the reader's bundle: calibrate each font, choose golden lines, write the folder."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.inference.sealed import ListedFile
from inspectd.text.bundle import write_reader_manifest
from inspectd.text.judging import Judge
from inspectd.text.manifest import Font, GoldenLine, ReaderManifest
from inspectd.text.network import compiled
from inspectd_tools.text.calibration import LogProbs, Scored, calibrated, lines_needed, score
from inspectd_tools.text.fonts import PrintedFont
from inspectd_tools.text.network import Network, export
from inspectd_tools.text.texts import ALPHABET
from inspectd_tools.training.run_folder import git_commit

_GOLDEN: Final = 2
"""Golden lines per font."""
_TOLERANCE: Final = 0.02
_CALIBRATION_SEED: Final = 5000


@dataclass(frozen=True, slots=True)
class Description:
    name: str
    version: str
    alpha: float
    """At most this share of the wrong lines is accepted."""
    training: dict[str, Any]


def build(network: Network, fonts: Sequence[PrintedFont], description: Description, folder: Path) -> ReaderManifest:
    """Write the bundle into the new `folder`, the network first. Raises EngineError: a font is not learned; OSError."""
    model = export(network)
    (folder / "golden").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model)
    run = compiled(model)
    judge = Judge(ALPHABET)

    def log_probs(crop: NDArray[np.uint8]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = run(crop[None, None])[0]
        return found

    scored = {
        font.name: _scored(font, number, lines_needed(description.alpha), log_probs, judge)
        for number, font in enumerate(fonts)
    }
    calibrated_fonts = {
        font.name: calibrated(font.name, font.characters, scored[font.name], font.made_from, description.alpha)
        for font in fonts
    }
    manifest = ReaderManifest(
        kind="reader",
        name=description.name,
        version=description.version,
        created=datetime.now(UTC).replace(microsecond=0),
        git_commit=git_commit(),
        alphabet=ALPHABET,
        network=ListedFile(path="model.onnx", sha256=hashlib.sha256(model).hexdigest()),
        fonts=calibrated_fonts,
        golden=tuple(_golden(folder, scored, calibrated_fonts, log_probs, judge)),
        golden_tolerance=_TOLERANCE,
        training=description.training,
    )
    write_reader_manifest(folder, manifest)
    return manifest


def _scored(font: PrintedFont, number: int, most: int, log_probs: LogProbs, judge: Judge) -> Scored:
    rng = np.random.default_rng(_CALIBRATION_SEED + number)
    return score(font.name, font.characters, font.for_calibration(most, rng), log_probs, judge, rng)


def _golden(
    folder: Path, scored: Mapping[str, Scored], fonts: Mapping[str, Font], log_probs: LogProbs, judge: Judge
) -> list[GoldenLine]:
    """Of each font some lines that are accepted, but not the surest ones: those would not notice a change."""
    golden = []
    for name, lines in scored.items():
        sure = np.flatnonzero((lines.right > fonts[name].threshold / 2) & (lines.near_miss < 2 * fonts[name].threshold))
        tried = sure[np.argsort(lines.right[sure])][len(sure) // 10 :: max(len(sure) // 20, 1)]
        chosen = []
        for place in tried:
            line, near_miss = lines.lines[place], lines.near_miss_texts[place]
            right, wrong = judge.log_likelihoods(log_probs(line.crop), (line.text, near_miss))
            if wrong < fonts[name].threshold <= right:  # not if it has a 0 like an O: here it has no pattern
                chosen.append((line, near_miss, right, wrong))
        for number, (line, near_miss, right, wrong) in enumerate(chosen[:_GOLDEN]):
            path = f"golden/{name}-{number + 1}.png"
            cv2.imwrite(str(folder / path), line.crop, [cv2.IMWRITE_PNG_COMPRESSION, 9])
            golden.append(
                GoldenLine(
                    path=path,
                    sha256=hashlib.sha256((folder / path).read_bytes()).hexdigest(),
                    font=name,
                    text=line.text,
                    log_likelihood=right,
                    near_miss=near_miss,
                    near_miss_log_likelihood=wrong,
                )
            )
    return golden
