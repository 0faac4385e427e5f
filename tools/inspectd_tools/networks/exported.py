"""A trained classifier as an engine runs it: with normalisation inside, without batch normalisation, weights rounded to fp16.

Weights are rounded once, before any file is written, so that every runtime computes in fp32 with the same weights.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from inspectd.errors import EngineError
from inspectd.inference.preprocess import InputSpec
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.networks.duq import DuqHead, FoldedDuqHead
from inspectd_tools.networks.inputs import scale_and_offset


class ExportedClassifier(nn.Module):
    """The network that the line runs: (N, C, H, W) uint8 -> (N, classes) scores, with the normalisation inside."""

    scale: Tensor
    offset: Tensor

    def __init__(self, classifier: Classifier, spec: InputSpec) -> None:
        super().__init__()
        self.backbone, self.pool = classifier.backbone, classifier.pool
        head = classifier.head
        self.head = FoldedDuqHead(head) if isinstance(head, DuqHead) else nn.Sequential(head.linear, nn.Softmax(dim=1))
        scale, offset = scale_and_offset(spec)
        self.register_buffer("scale", scale)
        self.register_buffer("offset", offset)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.head(self.pool(self.backbone(images.float() * self.scale + self.offset)))
        return scores


def exported(classifier: Classifier, spec: InputSpec) -> ExportedClassifier:
    """The classifier in evaluation mode, with batch normalisation folded into the convolutions and weights rounded to fp16.

    Raises EngineError if the weights are too large for fp16.
    """
    model = ExportedClassifier(classifier, spec).eval()
    _fold_batch_norm(model)
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(tensor.half().float())
            if not torch.isfinite(tensor).all():
                raise EngineError(
                    "some weights are too large for half precision: the features of a class hardly vary, so the training collapsed; "
                    "look at epochs.json of the run, then train with another seed or a lower lr"
                )
    return model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload,no-any-return]


def _fold_batch_norm(module: nn.Module) -> None:
    if isinstance(module, nn.Sequential):
        for place, (first, second) in enumerate(zip(list(module), list(module)[1:], strict=False)):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                module[place] = fuse_conv_bn_eval(first, second)
                module[place + 1] = nn.Identity()
    for child in module.children():
        _fold_batch_norm(child)
