"""Take the ink off a label: which pixels are ink, the surface without it, and the ink by itself."""

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd_tools.synthetic.compose.config import GroundConfig, InkConfig

Grey = NDArray[np.uint8]
_METHODS = {"navier_stokes": cv2.INPAINT_NS, "telea": cv2.INPAINT_TELEA}
_OFFSETS = 192
_OFFSET_MAX_PX = 48
_LIGHT_SIGMA_PX = 8.0
_LONELY = 0.1
"""Less than this share of bare pixels around a pixel says too little about its light."""


def ink_mask(image: Grey, config: InkConfig) -> Grey:
    """(h, w) -> 255 where there is ink: grey in range, and darker than the bare surface around by the contrast."""
    smooth = cv2.GaussianBlur(image, (0, 0), 1)
    darker = smooth < (1 - config.contrast) * surface(image, config)
    return (darker & (smooth >= config.grey[0]) & (smooth <= config.grey[1])).astype(np.uint8) * 255


def surface(image: Grey, config: InkConfig) -> Grey:
    """Roughly what lies under the print: the morphological closing, which no stroke is wide enough to survive."""
    smooth = cv2.GaussianBlur(image, (0, 0), 1)
    return cv2.morphologyEx(smooth, cv2.MORPH_CLOSE, np.ones((config.stroke_px, config.stroke_px), np.uint8))


def grown(mask: Grey, by_px: int) -> Grey:
    return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by_px + 1, 2 * by_px + 1)))


def inpainted(image: Grey, mask: Grey, config: GroundConfig) -> Grey:
    """Navier-Stokes (Bertalmio et al. 2001) or Telea (2004). Smooth: without the surface's texture."""
    return cv2.inpaint(image, mask, config.radius_px, _METHODS[config.inpaint])


def textured(image: Grey, mask: Grey, usable: Grey, config: GroundConfig) -> Grey:
    """`image` with the bare surface where `mask` is set: its light inpainted, its texture copied.

    Light is the mean of the bare pixels around; only where there are none is it inpainted, free of the noise that
    inpainting draws out into streaks. Texture is the rest: each pixel takes that of a bare one (`usable`, not `mask`) at one
    of few offsets, those at which the texture is most like itself, so that a weave goes on in step (He and Sun,
    "Statistics of patch offsets for image completion", 2012).
    """
    bare = ((mask == 0) & (usable > 0)).astype(np.float32)
    weight = cv2.GaussianBlur(bare, (0, 0), _LIGHT_SIGMA_PX)
    light = cv2.GaussianBlur(image * bare, (0, 0), _LIGHT_SIGMA_PX) / np.maximum(weight, 1e-6)
    texture = (image - light) * bare
    lonely = ((mask > 0) & (weight < _LONELY)).astype(np.uint8)
    filled = inpainted(np.clip(light + 0.5, 0, 255).astype(np.uint8), lonely, config)
    light[lonely > 0] = cv2.GaussianBlur(filled, (0, 0), _LIGHT_SIGMA_PX)[lonely > 0]
    result = light + _copied(texture, bare, mask > 0)
    return np.where(mask > 0, np.clip(result + 0.5, 0, 255), image).astype(np.uint8)


def _copied(texture: NDArray[np.float32], bare: NDArray[np.float32], missing: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(h, w): what each missing pixel takes; 0 where no offset leads to a bare one."""
    copied, missing, size = np.zeros_like(texture), missing.copy(), texture.shape[::-1]
    for dx, dy in _self_similar_offsets(texture, bare):
        shift = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
        take = missing & (cv2.warpAffine(bare, shift, size, flags=cv2.INTER_NEAREST) > 0)
        copied[take] = cv2.warpAffine(texture, shift, size, flags=cv2.INTER_NEAREST)[take]
        missing &= ~take
        if not missing.any():
            break
    return copied


def transmittance(image: Grey, bare: Grey, mask: Grey) -> Grey:
    """The ink by itself: the share of light (0..255) it leaves of what the bare surface would have sent; 255 where none.

    Multiplied onto another surface it is Poisson blending of the logarithms: nothing is left of its own surface, and
    at the edges of the ink there is no step.
    """
    share = image.astype(np.float32) / np.maximum(bare, 1)
    return np.where(mask > 0, np.clip(255 * share + 0.5, 0, 255), 255).astype(np.uint8)


def _self_similar_offsets(texture: NDArray[np.float32], bare: NDArray[np.float32]) -> list[tuple[int, int]]:
    """(dx, dy), best first: peaks of the autocorrelation among pairs of bare pixels; none is too short to leave a stroke."""
    shape = [cv2.getOptimalDFTSize(side + _OFFSET_MAX_PX) for side in texture.shape]
    spectrum, weights = np.fft.rfft2(texture, shape), np.fft.rfft2(bare, shape)
    products = np.fft.irfft2(np.abs(spectrum) ** 2, shape)
    pairs = np.fft.irfft2(np.abs(weights) ** 2, shape)
    offsets = [
        (dx, dy)
        for dy in range(-_OFFSET_MAX_PX, _OFFSET_MAX_PX + 1)
        for dx in range(-_OFFSET_MAX_PX, _OFFSET_MAX_PX + 1)
        if max(abs(dx), abs(dy)) >= 8
    ]
    dx, dy = np.array(offsets).T
    similar = products[dy, dx] / np.maximum(pairs[dy, dx], 100)
    return [offsets[place] for place in np.argsort(-similar, kind="stable")[:_OFFSETS]]
