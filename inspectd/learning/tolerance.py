"""How far the score of a golden image may be from what was recorded.

Golden images are the only check of another processor, runtime or library. A runtime that moves every score by the tolerance
must not let a calibration part pass that must not pass. So the tolerance is a quarter of the margin: of the distance from the
threshold down to the largest certainty of a faulty or unknown calibration part that is below it. A quarter, since golden
images are few, and other images can move further. Where that is less than an arithmetic needs, the threshold is raised
until it is not (`least_margin`).
"""

from typing import Final

from inspectd.inference.manifest import ArithmeticName
from inspectd.learning.by_kind import ByKind

_PARTS_OF_MARGIN: Final = 4
_LEAST: Final[dict[ArithmeticName, float]] = {
    "fp32": 0.0005,
    "onnxruntime": 0.0005,
    "bf16": 0.002,
    "int8": 0.002,
    "tensorrt-fp16": 0.002,
    "tensorrt-int8": 0.002,
}
"""In fp32, two runtimes differ by the order of additions: by up to 0.000003 on 4400 images of the shipped engine. With less
precise numbers, one value that is rounded to the other side moves a score further."""
_MOST: Final = 0.02
"""A runtime that differs more is broken, whatever the margin."""


def least_margin(arithmetic: ArithmeticName) -> float:
    """How far the threshold must be above the largest certainty that must not pass."""
    return _PARTS_OF_MARGIN * _LEAST[arithmetic]


def golden_tolerance(calibration: ByKind, threshold: float, arithmetic: ArithmeticName) -> float:
    """For a threshold that `calibrate` chose with the margin of this arithmetic."""
    bad = [value for values in (calibration.all_faulty, calibration.all_unknown) for value in values.tolist()]
    margin = threshold - max((value for value in bad if value < threshold), default=0)
    return min(max(margin / _PARTS_OF_MARGIN, _LEAST[arithmetic]), _MOST)
