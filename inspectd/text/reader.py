"""A loaded reader. It has given the recorded likelihoods for all golden lines, and its speed has been measured."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.errors import EngineError, InferenceError
from inspectd.inference.base import InferenceConfig
from inspectd.part import Image
from inspectd.text.bundle import ReaderBundle, load_reader_bundle
from inspectd.text.crop import HEIGHT, Box, line_crop
from inspectd.text.judging import Judge, Line
from inspectd.text.manifest import Font, GoldenLine
from inspectd.text.network import Run, compiled
from inspectd.text.reading import Reading

COLUMN_PX = 4
"""Pixels of the crop per column of the network's answer."""
_WARM_UP_RUNS = 10
_MEASURED_RUNS = 100


class Reader:
    """One thread at a time. `service_ms`, `median_ms`: p99 and median time of one line, measured at load."""

    def __init__(self, bundle: ReaderBundle, run: Run) -> None:
        """Raises EngineError: the network does not fit the manifest, or a golden line has another likelihood."""
        self.name = bundle.manifest.name
        self.version = bundle.manifest.version
        self.hash = bundle.hash
        self.alphabet = bundle.manifest.alphabet
        self.fonts: Mapping[str, Font] = bundle.manifest.fonts
        """The fonts that may be read; any other one must be commissioned first."""
        self._judge = Judge(bundle.manifest.alphabet)
        self._run = run
        crops = [bundle.crop(golden) for golden in bundle.manifest.golden]
        for golden, crop in zip(bundle.manifest.golden, crops, strict=True):
            self._check_golden(bundle, golden, crop)
        lines = [
            (crop, Line((0, 0, crop.shape[1], HEIGHT), golden.font, (golden.text,)))
            for golden, crop in zip(bundle.manifest.golden, crops, strict=True)
        ]
        took_ms = self._measure(lines)
        self.service_ms = float(np.percentile(took_ms, 99))
        self.median_ms = float(np.median(took_ms))

    def verify(self, image: Image, to_image: NDArray[np.float64], lines: Sequence[Line]) -> list[Reading]:
        """Compare each line of the print with the texts that are allowed there.

        `image`: (h, w) grey or (h, w, 3) BGR uint8. `to_image`: (3, 3) from px of the straightened print to px of the image.
        Raises InferenceError: a font that is not commissioned, a box that can't be cut out, or the network failed.
        """
        return [self._verify(image, to_image, line) for line in lines]

    def warm(self, boxes: Sequence[Box]) -> None:
        """Read blank lines of these sizes, so that the first label is read as fast as the others. Raises InferenceError."""
        blank = np.full((HEIGHT, HEIGHT), 128, np.uint8)
        for box in boxes:
            for _ in range(3):
                self.log_probs(line_crop(blank, np.eye(3), (0, 0, *box[2:])))

    def log_probs(self, crop: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(32, w) uint8 -> (w / 4, symbols): the logarithm of the probability of each symbol. Raises InferenceError."""
        try:
            log_probs = self._run(np.ascontiguousarray(crop)[None, None])
        except Exception as error:  # each runtime has its own kinds of exceptions; none may stop the line
            raise InferenceError(f"the reader's network failed: {error}") from error
        expected = (1, crop.shape[1] // COLUMN_PX, len(self.alphabet) + 2)
        if log_probs.shape != expected or not np.isfinite(log_probs).all():
            raise InferenceError(
                f"the reader's network gives {log_probs.shape}, or values that are not finite; {expected} is expected"
            )
        found: NDArray[np.float32] = log_probs[0]
        return found

    def unknown_characters(self, text: str, font: str) -> list[str]:
        """Characters of the text that may not be read in this font. A space is a gap, which needs no character."""
        return sorted(set(text) - set(self.fonts[font].characters) - {" "})

    def _verify(self, image: Image, to_image: NDArray[np.float64], line: Line) -> Reading:
        font = self.fonts.get(line.font)
        if font is None:
            raise InferenceError(f"the reader {self.name} is not commissioned for the font {line.font!r}")
        try:
            crop = line_crop(image, to_image, line.box)
        except (ValueError, cv2.error) as error:
            raise InferenceError(f"the text at {line.box} can't be cut out of the image: {error}") from error
        reading = self._judge.judge(self.log_probs(crop), line, font.threshold)
        if reading.verdict == "right" and self.unknown_characters(reading.text, line.font):
            return replace(reading, verdict="unreadable")  # the threshold was chosen without these characters
        return reading

    def _check_golden(self, bundle: ReaderBundle, golden: GoldenLine, crop: Image) -> None:
        path = bundle.folder / golden.path
        try:
            got = self._judge.log_likelihoods(self.log_probs(crop), (golden.text, golden.near_miss))
        except InferenceError as error:
            raise EngineError(f"{path}: {error}") from error
        recorded = (golden.log_likelihood, golden.near_miss_log_likelihood)
        for text, expected, value in zip((golden.text, golden.near_miss), recorded, got, strict=True):
            tolerance = bundle.manifest.golden_tolerance * max(1.0, abs(expected) / 10)
            if not abs(value - expected) <= tolerance:  # written in this way, NaN is an error
                raise EngineError(
                    f"{path}: the network gives {text!r} the log-likelihood {value:.4f}, but {expected:.4f} was recorded; a "
                    f"difference of up to {tolerance:.2g} is allowed"
                )

    def _measure(self, lines: Sequence[tuple[Image, Line]]) -> list[float]:
        took_ms = []
        for run in range(_WARM_UP_RUNS + _MEASURED_RUNS):
            crop, line = lines[run % len(lines)]
            begin_ns = time.monotonic_ns()
            self.verify(crop, np.eye(3), [line])
            took_ms.append((time.monotonic_ns() - begin_ns) / 1e6)
        return took_ms[_WARM_UP_RUNS:]


def load_reader(folder: Path, config: InferenceConfig) -> Reader:
    """Load a reader, compare the likelihoods of all golden lines with those of training, and measure its speed.

    Of `config` only `signed_by` counts: the reader always computes in fp32 on the CPU.

    Raises EngineError: the signature that `config.signed_by` demands is missing or wrong, or a file can't be loaded or differs.
    Raises ConfigError if `config.signed_by` can't be used.
    """
    bundle = load_reader_bundle(folder)
    if config.signed_by is not None:
        from inspectd.inference.signature import check_signature

        check_signature(bundle, config.signed_by)
    try:
        run = compiled(bundle.network)
    except Exception as error:  # each runtime has its own kinds of exceptions
        raise EngineError(f"{bundle.folder / bundle.manifest.network.path}: can't be loaded: {error}") from error
    return Reader(bundle, run)
