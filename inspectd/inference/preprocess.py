"""The preprocessing of camera images. Training, calibration and the line all use this one."""

from typing import Annotated, Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, model_validator

from inspectd.part import Image
from inspectd.section import Section, not_a_switch

_INTERPOLATION = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR}

Share = Annotated[float, Field(ge=0, le=1)]


class Region(Section):
    """Region of interest as shares of the image, so that it fits any resolution."""

    left: Share = 0.0
    """Left edge, as a share of the image's width."""
    top: Share = 0.0
    """Upper edge, as a share of the image's height."""
    right: Share = 1.0
    """Right edge, as a share of the image's width."""
    bottom: Share = 1.0
    """Lower edge, as a share of the image's height."""

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if self.left >= self.right or self.top >= self.bottom:
            raise ValueError("left must be less than right, and top less than bottom")
        return self


class InputSpec(Section):
    """The part and the size of a camera image that the network gets."""

    width: int = Field(ge=16, le=4096)
    """In pixels."""
    height: int = Field(ge=16, le=4096)
    """In pixels."""
    channels: Annotated[Literal[1, 3], BeforeValidator(not_a_switch)]
    """1: grey; 3: RGB."""
    region: Region = Region()
    """The part of the image that the network gets."""
    resize: Literal["area", "linear"] = "area"
    """How the region is resized to width x height. Choose these with the aspect ratio of the region."""
    mean: tuple[Share, ...]
    """Per channel, for values from 0 to 1. The exported graph contains it; here it is only recorded."""
    std: tuple[Annotated[float, Field(gt=0, le=1000)], ...]
    """Per channel, as `mean`."""

    @model_validator(mode="after")
    def _one_per_channel(self) -> Self:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                raise ValueError(f"{name} needs {self.channels} value(s), one per channel, has {len(values)}")
        return self


def preprocess(image: Image, spec: InputSpec) -> NDArray[np.uint8]:
    """(h, w) grey or (h, w, 3) BGR uint8 -> (1, C, height, width) uint8, contiguous; C = 1 grey or 3 RGB.

    Raises ValueError for any other dtype or shape, or an image too small for its region.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise ValueError(f"expected (h, w) or (h, w, 3) uint8, got {image.shape} {image.dtype}")
    height, width = image.shape[:2]
    region = spec.region
    cut = image[
        round(region.top * height) : round(region.bottom * height),
        round(region.left * width) : round(region.right * width),
    ]
    if cut.size == 0:
        raise ValueError(f"the region of interest is empty in an image of {width}x{height} px")
    if spec.channels == 1:
        cut = to_grey(cut)
    if cut.shape[:2] != (spec.height, spec.width):
        cut = cv2.resize(cut, (spec.width, spec.height), interpolation=_INTERPOLATION[spec.resize])
    if spec.channels == 1:
        return np.ascontiguousarray(cut)[np.newaxis, np.newaxis]
    return np.ascontiguousarray(cv2.cvtColor(to_colour(cut), cv2.COLOR_BGR2RGB).transpose(2, 0, 1))[np.newaxis]


def to_grey(image: Image) -> Image:
    """(h, w) or (h, w, 3) BGR uint8 -> (h, w) uint8. Always use this: file decoders weight the colours differently."""
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def to_colour(image: Image) -> Image:
    """(h, w) or (h, w, 3) BGR uint8 -> (h, w, 3) BGR uint8."""
    return image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
