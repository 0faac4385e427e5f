"""The guard of a bundle: what on a label that the network would let pass is unlike good labels."""

import math

from inspectd.errors import EngineError, InferenceError
from inspectd.guard import model
from inspectd.guard.judgement import Judgement
from inspectd.guard.model import Guard
from inspectd.guard.placement import Box as Region
from inspectd.guard.placement import Matrix
from inspectd.inference.bundle import Bundle
from inspectd.inference.manifest import GuardModel
from inspectd.inference.preprocess import to_grey
from inspectd.inference.surface_network import compiled
from inspectd.part import Anomaly, Box, Image

_TOLERANCE = 0.01
"""Largest difference allowed for a score of a golden image, as a share of the recorded score or of the limit, whichever is
larger."""
_CLEAR = 10
"""A score of this many times the limit or more is clear. Beyond, scores are not compared: where a label does not look like a
good one at all, tiny differences between processors can move it far."""


class BundledGuard:
    """`size`: width and height in px of the images that it can judge; None: any. Used from any number of threads."""

    def __init__(self, bundle: Bundle, spec: GuardModel, threads: int) -> None:
        """Raises EngineError if the file is not a guard, or not one for these images and limits."""
        self.size = None if spec.width is None or spec.height is None else (spec.width, spec.height)
        self._limits = spec.limits
        path = bundle.folder / spec.path
        try:
            self._guard: Guard = model.load(bundle.read(spec), lambda network: compiled(network, threads))
        except EngineError:
            raise
        except Exception as error:  # whatever the file holds
            raise EngineError(f"{path}: can't be read as a guard: {error}") from error
        if self._guard.size != self.size:
            raise EngineError(
                f"{path}: is for images of {_px(self._guard.size)}, but engine.yaml says {_px(self.size)}"
            )
        if self._guard.kinds != spec.kinds:
            raise EngineError(
                f"{path}: finds {', '.join(self._guard.kinds)}, but engine.yaml says {', '.join(spec.kinds)}"
            )

    def misfit(self, size: tuple[int, int]) -> str | None:
        """Why images of this width and height can't be judged; None if they can."""
        if self.size is None or size == self.size:
            return None
        return (
            f"the guard of this engine was fitted to images of {_px(self.size)}, but the image has {_px(size)}: set the "
            "camera to that size, or fit the guard again to photos of this camera (tools/fit_guard.py)"
        )

    @property
    def print_size(self) -> tuple[int, int] | None:
        """Width and height of the straightened print in px; None if the guard looks at no print."""
        region = self._guard.aligned.region if self._guard.aligned else None
        return region.size if isinstance(region, Region) else None

    def judge(self, image: Image) -> tuple[Anomaly | None, Matrix | None]:
        """(h, w) grey or (h, w, 3) BGR uint8 -> what is unlike good labels, the worst of it; None if nothing is. And where the
        print is: from px of the straightened print to px of the image; None if the guard looks at no print.

        Raises InferenceError: another size, or scores that are not numbers.
        """
        height, width = image.shape[:2]
        judgement = self._look(image)
        return find_anomaly(judgement, self._limits, (width, height)), judgement.print_to_image

    def scores(self, image: Image) -> tuple[float, ...]:
        """(h, w) grey or (h, w, 3) BGR uint8 -> one score per kind, which a limit decides on. Raises InferenceError."""
        return self._look(image).scores

    def check_golden(self, image: Image, recorded: tuple[float, ...]) -> None:
        """Raises InferenceError if the scores of the image are not those that were recorded."""
        for finding, expected, limit in zip(self._look(image).findings, recorded, self._limits, strict=True):
            kind, got = finding.kind, finding.score
            clear = _CLEAR * limit
            tolerance = _TOLERANCE * min(max(expected, limit), clear)
            if not abs(min(got, clear) - min(expected, clear)) <= tolerance:
                raise InferenceError(
                    f"the guard gives {kind} the score {got:.4g}, but {expected:.4g} was recorded; a difference of up to "
                    f"{tolerance:.2g} is allowed"
                )

    def _look(self, image: Image) -> Judgement:
        height, width = image.shape[:2]
        misfit = self.misfit((width, height))
        if misfit is not None:
            raise InferenceError(misfit)
        try:
            judgement = self._guard.judge(to_grey(image))
        except Exception as error:  # no label passes because the guard failed
            raise InferenceError(f"the guard failed: {type(error).__name__}: {error}") from error
        scores = judgement.scores
        if len(scores) != len(self._limits):
            raise InferenceError(f"the guard gives {len(scores)} scores, but has {len(self._limits)} limits")
        if not all(math.isfinite(score) and score >= 0 for score in scores):
            raise InferenceError(f"the guard gives scores that are not numbers from 0 on: {list(scores)}")
        return judgement


def find_anomaly(judgement: Judgement, limits: tuple[float, ...], size: tuple[int, int]) -> Anomaly | None:
    """The score that exceeds its limit by most; None if no score does. `judgement` has finite scores.

    `size`: width and height of the image in px.
    """
    found = [
        Anomaly(finding.kind, inside(finding.box, size), finding.score / limit)
        for finding, limit in zip(judgement.findings, limits, strict=True)
        if finding.score > limit
    ]
    return max(found, key=lambda anomaly: anomaly.excess, default=None)


def inside(box: Box, size: tuple[int, int]) -> Box:
    """The part of the box that is in the image, at least one pixel."""
    left, top, width, height = box
    x0, x1 = (min(max(edge, 0), size[0]) for edge in (left, left + width))
    y0, y1 = (min(max(edge, 0), size[1]) for edge in (top, top + height))
    x0, y0 = min(x0, size[0] - 1), min(y0, size[1] - 1)
    return x0, y0, max(x1 - x0, 1), max(y1 - y0, 1)


def _px(size: tuple[int, int] | None) -> str:
    return f"{size[0]}x{size[1]} px" if size else "any size"
