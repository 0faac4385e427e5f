"""Where something is in an image: turned and shifted against the mean of good ones, to a fraction of a pixel.

Inverse compositional Lucas-Kanade with weights: what differs from one good image to the next (other text, another
light) counts little, and so does what fits badly in this one (something in front of it). Gain, offset and slope of the light are fitted along, so that they are not taken for movement.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.float32]
"""(h, w) float32."""

_ROUNDS = 4
"""Of aligning all images to their mean, then taking the mean anew."""
_STEPS = 6
_SETTLED_PX = 0.03
_MOST_PIXELS = 3000
"""The ones in which a movement shows most."""
_DOUBTED = 4.0
"""A difference of so many usual squares counts half."""


class Pose(NamedTuple):
    """Turned clockwise about the template's centre, then shifted right and down."""

    angle_deg: float
    x_px: float
    y_px: float

    def scaled(self, factor: float) -> "Pose":
        """The same with pixels `factor` times smaller."""
        return Pose(self.angle_deg, self.x_px * factor, self.y_px * factor)

    def matrix(self, width: int, height: int) -> NDArray[np.float64]:
        """(3, 3): from template coordinates to image coordinates of an image that large."""
        radians = np.deg2rad(self.angle_deg)
        cos, sin = np.cos(radians), np.sin(radians)
        x, y = (width - 1) / 2, (height - 1) / 2
        return np.array(
            [
                [cos, -sin, x - cos * x + sin * y + self.x_px],
                [sin, cos, y - sin * x - cos * y + self.y_px],
                [0, 0, 1],
            ]
        )


NOWHERE = Pose(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Template:
    """The mean of good images, aligned, at one size of pixel."""

    mean: Grey
    weight: Grey
    """0..1: how well good images agree there."""

    @property
    def arrays(self) -> dict[str, Grey]:
        return {"mean": self.mean, "weight": self.weight}


class Registration:
    """Finds the pose of an image (h, w) against a template of the same size.

    `doubting`: pixels that fit badly count little. Slower, and with a start that is far off more easily lost.
    """

    def __init__(self, template: Template, *, doubting: bool = False) -> None:
        self.template = template
        height, width = template.mean.shape
        y, x = np.mgrid[:height, :width].astype(np.float64)
        y, x = y - (height - 1) / 2, x - (width - 1) / 2
        along_y, along_x = np.gradient(cv2.GaussianBlur(template.mean, (0, 0), 0.7).astype(np.float64))
        movement = [along_y * x - along_x * y, along_x, along_y]
        light = [template.mean, np.ones_like(x), x / width, y / height]
        columns = np.stack([column.ravel() for column in [*movement, *light]], axis=1)
        weight = template.weight.ravel()
        telling = weight * (columns[:, 1] ** 2 + columns[:, 2] ** 2)
        self._used = np.sort(np.argsort(telling)[-_MOST_PIXELS:])
        self._columns = columns[self._used].astype(np.float32)
        self._weight = weight[self._used]
        self._mean = template.mean.ravel()[self._used]
        self._radius = float(np.hypot(width, height) / 2)
        self._solved = None if doubting else self._solver(self._weight)

    def locate(self, image: Grey, start: Pose = NOWHERE) -> Pose:
        """`image` (h, w) float32 -> its pose, searched from `start` on."""
        height, width = image.shape
        pose = start.matrix(width, height)
        for _ in range(_STEPS):
            error = straightened(image, pose).ravel()[self._used] - self._mean
            radians, x_px, y_px = self._step(error)
            pose = pose @ np.linalg.inv(Pose(np.rad2deg(radians), x_px, y_px).matrix(width, height))
            if abs(radians) * self._radius + abs(x_px) + abs(y_px) < _SETTLED_PX:
                break
        return _pose(pose, width, height)

    def _step(self, error: NDArray[np.float32]) -> tuple[float, float, float]:
        """Turn and shift that explain the differences (n,) best."""
        solver = self._solved
        if solver is None:
            squares = self._weight * error**2
            usual = 2.2 * float(np.median(squares)) + 1e-12  # of normal differences this is the mean square
            solver = self._solver(self._weight / (1 + squares / (_DOUBTED * usual)))
        normal, weighted = solver
        radians, x_px, y_px, *_ = np.linalg.solve(normal, weighted.T @ error).tolist()
        return radians, x_px, y_px

    def _solver(self, weight: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """(7, 7) normal equations and (n, 7) weighted columns."""
        weighted = self._columns * weight[:, None]
        normal = (weighted.T @ self._columns).astype(np.float64)
        normal[np.diag_indices(len(normal))] *= 1 + 1e-7
        return normal, weighted


def straightened(image: Grey, pose: NDArray[np.float64], size: tuple[int, int] | None = None) -> Grey:
    """What the template's pixels show in the image. `size`: width, height; default: those of the image."""
    straight: Grey = cv2.warpAffine(
        image,
        pose[:2],
        size or image.shape[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return straight


def fit(
    images: Sequence[Grey], relevant: Grey | None = None, start: Sequence[Pose] | None = None
) -> tuple[Template, list[Pose]]:
    """Template of good images (h, w) and the pose of each. `relevant` (h, w) 0..1: where to look at all.

    `start`: about where they are, which allows for doubting pixels.
    """
    height, width = images[0].shape
    doubting = start is not None
    poses = list(start or [NOWHERE] * len(images))
    aligned = _aligned(images, poses)
    for _ in range(_ROUNDS):
        template = _template(aligned, relevant)
        registration = Registration(template, doubting=doubting)
        poses = [registration.locate(image, pose) for image, pose in zip(images, poses, strict=True)]
        middle = Pose(*np.median(np.array(poses), axis=0).tolist())
        poses = [_minus(pose, middle, width, height) for pose in poses]
        aligned = _aligned(images, poses)
    return _template(aligned, relevant), poses


def _aligned(images: Sequence[Grey], poses: Sequence[Pose]) -> NDArray[np.float32]:
    height, width = images[0].shape
    return np.stack(
        [straightened(image, pose.matrix(width, height)) for image, pose in zip(images, poses, strict=True)]
    )


def _template(aligned: NDArray[np.float32], relevant: Grey | None) -> Template:
    lit = aligned / np.maximum(aligned.mean(axis=(1, 2), keepdims=True), 1e-3) * aligned.mean()
    spread = lit.std(axis=0)
    weight = 1 / (spread + np.median(spread) + 1e-3) ** 2
    weight /= weight.max()
    if relevant is not None:
        weight = weight * relevant
    return Template(aligned.mean(axis=0).astype(np.float32), weight.astype(np.float32))


def _pose(matrix: NDArray[np.float64], width: int, height: int) -> Pose:
    angle_deg = float(np.rad2deg(np.arctan2(matrix[1, 0], matrix[0, 0])))
    centre = np.array([(width - 1) / 2, (height - 1) / 2, 1])
    x_px, y_px = (matrix @ centre - centre)[:2].tolist()
    return Pose(angle_deg, x_px, y_px)


def _minus(pose: Pose, middle: Pose, width: int, height: int) -> Pose:
    return _pose(pose.matrix(width, height) @ np.linalg.inv(middle.matrix(width, height)), width, height)
