"""torchvision, importable also where its build does not match torch's.

A CUDA build of torchvision beside a CPU build of torch fails at import: "operator torchvision::nms does not
exist". Models and transforms don't use the detection operators, so declaring the two that are looked up at
import is enough. Where the builds match the first import succeeds and nothing is declared.
"""

import torch

try:
    import torchvision
except RuntimeError as error:
    if "torchvision::nms does not exist" not in str(error):
        raise
    for _operator in ("nms", "qnms"):
        torch.library.define(f"torchvision::{_operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision

from torchvision.transforms import v2 as transforms

__all__ = ["torchvision", "transforms"]
