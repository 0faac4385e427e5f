"""Remove the ink from a label: which pixels are ink, the surface without ink, and the ink alone."""

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
"""With less than this share of bare pixels around it, the light of a pixel is not known well enough."""


def ink_mask(image: Grey, config: InkConfig) -> Grey:
    """(h, w) -> 255 where there is ink: grey in range, and darker than the bare surface around it by the contrast."""
    smooth = cv2.GaussianBlur(image, (0, 0), 1)
    darker = smooth < (1 - config.contrast) * surface(image, config)
    return (darker & (smooth >= config.grey[0]) & (smooth <= config.grey[1])).astype(np.uint8) * 255


def surface(image: Grey, config: InkConfig) -> Grey:
    """An estimate of the surface under the print: a morphological closing that is wider than every stroke."""
    smooth = cv2.GaussianBlur(image, (0, 0), 1)
    return cv2.morphologyEx(smooth, cv2.MORPH_CLOSE, np.ones((config.stroke_px, config.stroke_px), np.uint8))


def grown(mask: Grey, by_px: int) -> Grey:
    return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by_px + 1, 2 * by_px + 1)))


def inpainted(image: Grey, mask: Grey, config: GroundConfig) -> Grey:
    """Navier-Stokes (Bertalmio et al. 2001) or Telea (2004). Smooth: without the surface's texture."""
    return cv2.inpaint(image, mask, config.radius_px, _METHODS[config.inpaint])


def textured(image: Grey, mask: Grey, usable: Grey, config: GroundConfig) -> Grey:
    """`image` with the bare surface where `mask` is set: its light inpainted, its texture copied.

    Light is the mean of the bare pixels around a pixel. Only where there are none it is inpainted, from values without
    noise, because inpainting turns noise into streaks. Texture is the rest: each pixel takes the texture of a bare pixel
    (`usable`, not `mask`) at one of a few offsets. These are the offsets at which the texture is most similar to itself, so
    that a weave continues in phase (He and Sun, "Statistics of patch offsets for image completion", 2012).
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
    """(h, w): the texture that each missing pixel takes; 0 where no offset leads to a bare pixel."""
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
    """The ink alone: the share of light (0..255) that it reflects compared with the bare surface; 255 where there is no ink.

    Multiplying another surface by it is Poisson blending of the logarithms: nothing is left of the original surface, and
    there is no step at the edges of the ink.
    """
    share = image.astype(np.float32) / np.maximum(bare, 1)
    return np.where(mask > 0, np.clip(255 * share + 0.5, 0, 255), 255).astype(np.uint8)


def _self_similar_offsets(texture: NDArray[np.float32], bare: NDArray[np.float32]) -> list[tuple[int, int]]:
    """(dx, dy), best first: peaks of the autocorrelation over pairs of bare pixels; all are longer than a stroke is wide."""
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
