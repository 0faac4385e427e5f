"""torchvision, which can be imported even if it was built for another torch.

A CUDA build of torchvision beside a CPU build of torch fails at import: "operator torchvision::nms does not
exist". Models and transforms do not use the detection operators, so it is enough to declare the two that the import
looks up. If the builds match, the first import succeeds and nothing is declared.
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
