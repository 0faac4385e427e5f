"""The reader's network: fully convolutional, one answer per four columns of the crop."""

import warnings
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from inspectd.errors import EngineError
from inspectd.text.crop import HEIGHT, MAX_WIDTH, WIDTH_STEP
from inspectd_tools.text.texts import ALPHABET

SYMBOLS: Final = 2 + len(ALPHABET)
"""The blank, the damaged character, and the alphabet."""
_LEAST_CONTRAST = 6.0
"""In grey values: noise on bare paper is not raised to look like print."""


class Network(nn.Module):
    """(N, 1, 32, w) uint8 or float grey values -> (N, w / 4, symbols) logarithms of probabilities. Symbol 0 is the blank."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_block(1, 16, 3, (2, 2)),  # 16 x w/2
            *_block(16, 32, 3, (2, 1)),  # 8
            *_block(32, 48, 3, (1, 1)),
            *_block(48, 64, 3, (2, 2)),  # 4 x w/4
            *_block(64, 80, (4, 3), (1, 1), (0, 1)),  # 1
            *_block(80, 64, (1, 5), (1, 1), (0, 2)),
        )
        self.head = nn.Conv2d(64, SYMBOLS, 1)

    def forward(self, crops: Tensor) -> Tensor:
        grey = crops.float()
        mean = grey.mean(dim=(2, 3), keepdim=True)
        deviation = ((grey - mean) ** 2).mean(dim=(2, 3), keepdim=True).sqrt()
        logits = self.head(self.features((grey - mean) / (deviation + _LEAST_CONTRAST)))
        return functional.log_softmax(logits.squeeze(2).transpose(1, 2), dim=2)


def _block(
    inputs: int, outputs: int, kernel: int | tuple[int, int], stride: tuple[int, int], padding: tuple[int, int] = (1, 1)
) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def export(network: Network) -> bytes:
    """ONNX, for crops of any width. The weights keep their names, so that `restore` can go on with them."""
    crop = torch.zeros(1, 1, HEIGHT, 192, dtype=torch.uint8)
    width = WIDTH_STEP * torch.export.Dim("columns", min=2, max=MAX_WIDTH // WIDTH_STEP)
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning
        )  # torch 2.13's own
        program = torch.onnx.export(
            network.eval(),
            (crop,),
            dynamo=True,
            optimize=False,  # it would fold the batch normalisation; the runtimes do that themselves
            dynamic_shapes=({3: width},),
            input_names=["crop"],
            output_names=["log_probs"],
            opset_version=18,
            verbose=False,
        )
    assert program is not None
    return program.model_proto.SerializeToString()


def restore(model: bytes, path: Path) -> Network:
    """The network that `export` wrote. `path`: for messages. Raises EngineError."""
    weights = {
        tensor.name: torch.from_numpy(np.array(numpy_helper.to_array(tensor)))
        for tensor in onnx.load_from_string(model).graph.initializer
    }
    network = Network()
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            weights[name] = value
        elif name not in weights or weights[name].shape != value.shape:
            raise EngineError(
                f"{path}: is not a reader's network that can be trained on: it has no fitting weights {name}"
            )
    network.load_state_dict(weights)
    return network
