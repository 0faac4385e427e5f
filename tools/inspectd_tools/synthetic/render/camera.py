"""Light, lens and sensor: from a scene to the camera's 8-bit image."""

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd_tools.synthetic.render.style import Style

_NOISE_FIELDS = 8
_MARGIN = 64


def take_photo(
    scene: NDArray[np.float32],
    rng: np.random.Generator,
    style: Style,
    *,
    exposure: float | None = None,
    defocus_px: float | None = None,
) -> tuple[NDArray[np.uint8], dict[str, float]]:
    """(h, w) float32 grey 0..255 -> (h, w) uint8 and the random parameters; `exposure` and `defocus_px` replace theirs if given."""
    drawn = {
        "exposure": float(rng.uniform(*style.exposure)),
        "defocus_px": float(rng.uniform(*style.defocus_px)),
        "motion_blur_px": float(rng.uniform(*style.motion_blur_px)),
        "read_noise": float(rng.uniform(*style.read_noise)),
        "shot_noise": float(rng.uniform(*style.shot_noise)),
    }
    if exposure is not None:
        drawn["exposure"] = exposure
    if defocus_px is not None:
        drawn["defocus_px"] = defocus_px
    image = scene * (drawn["exposure"] * _light(scene.shape, rng, style))
    image = cv2.GaussianBlur(image, (0, 0), drawn["defocus_px"])
    if drawn["motion_blur_px"] > 1:
        image = cv2.filter2D(image, -1, _motion_kernel(drawn["motion_blur_px"]))
    np.clip(image, 0, 400, out=image)
    deviation = np.sqrt(drawn["shot_noise"] ** 2 * image + drawn["read_noise"] ** 2)
    image += deviation * _noise(scene.shape, rng)
    return np.clip(image + 0.5, 0, 255).astype(np.uint8), drawn


def _light(shape: tuple[int, ...], rng: np.random.Generator, style: Style) -> NDArray[np.float32]:
    """A plane (lamp off-centre) times vignetting (cos^4 law, to second order)."""
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :]
    slope_x, slope_y = rng.uniform(-style.light_slope, style.light_slope, 2).astype(np.float32)
    vignetting = np.float32(rng.uniform(*style.vignetting))
    return (1 + slope_x * x + slope_y * y) * (1 - vignetting * (x**2 + y**2))


def _motion_kernel(length_px: float) -> NDArray[np.float32]:
    """The belt moves from left to right while the shutter is open."""
    half = int(np.ceil(length_px / 2))
    offsets = np.arange(-half, half + 1)
    kernel = np.clip(length_px / 2 - np.abs(offsets) + 0.5, 0, 1).astype(np.float32)
    return (kernel / kernel.sum())[None, :]


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Gaussian noise cut from a few large fields: new noise for every image would take longer than the rest of the image."""
    field = _noise_fields(shape)[int(rng.integers(_NOISE_FIELDS))]
    y, x = (int(rng.integers(0, 2 * _MARGIN)) for _ in range(2))
    window = field[y : y + shape[0], x : x + shape[1]]
    return window[:: int(rng.choice([-1, 1])), :: int(rng.choice([-1, 1]))]


@functools.cache
def _noise_fields(shape: tuple[int, ...]) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(2000)
    size = (shape[0] + 2 * _MARGIN, shape[1] + 2 * _MARGIN)
    return [rng.standard_normal(size, np.float32) for _ in range(_NOISE_FIELDS)]
