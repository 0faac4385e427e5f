"""The network of a surface: the first layers of a pretrained MobileNetV2, which stay as they are, and a small head."""

import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from inspectd.errors import ConfigError
from inspectd.guard.surface import CELL_PX
from inspectd_tools.networks.pretrained import read_weights
from inspectd_tools.networks.torchvision_compat import torchvision

_SURROUND_CELLS = 5
_DARK = 10.0
"""Grey levels added to a brightness before dividing by it, so that noise in the dark stays small."""
_GAIN = 6.0
_LAYERS = (4, 7, 11)
"""`features[:n]` has strides of 4, 8 and 16 px."""
CHANNELS = 3 * 24 + 32 + 64


class Features(nn.Module):
    """(1, 1, h, w) grey 0..255 -> (1, CHANNELS, h // 8, w // 8).

    A pixel is seen relative to its surround, so light and exposure hardly matter.
    """

    def __init__(self, weights: Path) -> None:
        """`weights`: of MobileNetV2, with torchvision's names. Raises ConfigError."""
        super().__init__()
        layers = torchvision.models.mobilenet_v2().features[: _LAYERS[-1]]
        given = {name.removeprefix("features."): value for name, value in read_weights(weights).items()}
        wanted = layers.state_dict()
        if any(name not in given or given[name].shape != value.shape for name, value in wanted.items()):
            raise ConfigError(
                f"{weights}: does not hold the weights of MobileNetV2's features, with torchvision's names"
            )
        layers.load_state_dict({name: given[name] for name in wanted})
        first, second, third = _LAYERS
        self._quarter, self._eighth, self._sixteenth = layers[:first], layers[first:second], layers[second:third]
        self.eval().requires_grad_(False)

    def forward(self, grey: Tensor) -> Tensor:
        height, width = (length // CELL_PX * CELL_PX for length in grey.shape[2:])
        grey = grey[:, :, :height, :width]
        cells = functional.avg_pool2d(grey, CELL_PX)
        surround = functional.avg_pool2d(cells, _SURROUND_CELLS, 1, _SURROUND_CELLS // 2, count_include_pad=False)
        surround = functional.interpolate(surround, scale_factor=CELL_PX, mode="bilinear", align_corners=False)
        contrast = _GAIN * (grey - surround) / (surround + _DARK)
        quarter = self._quarter(contrast.expand(-1, 3, -1, -1))
        eighth = self._eighth(quarter)
        sixteenth = self._sixteenth(eighth)
        far = functional.interpolate(sixteenth, scale_factor=2, mode="bilinear", align_corners=False)
        pooled = (
            functional.avg_pool2d(quarter, 2),
            functional.max_pool2d(quarter, 2),
            -functional.max_pool2d(-quarter, 2),
        )
        return torch.cat([*pooled, eighth, far[:, :, : eighth.shape[2], : eighth.shape[3]]], dim=1)


class Head(nn.Module):
    """(1, CHANNELS, rows, columns) features -> (1, 1, rows, columns) logits: how much each cell looks like a fault."""

    def __init__(self, mean: Tensor, spread: Tensor, width: int = 48) -> None:
        """`mean`, `spread` (CHANNELS,): of the features of good photos."""
        super().__init__()
        self.mean: Tensor
        self.spread: Tensor
        self.register_buffer("mean", mean[:, None, None])
        self.register_buffer("spread", spread[:, None, None])
        self._first = nn.Conv2d(len(mean), width, 1)
        self._second = nn.Conv2d(width, width, 3, padding=1)
        self._third = nn.Conv2d(width, width, 3, padding=1)
        self._last = nn.Conv2d(width, 1, 1)
        nn.init.constant_(self._last.bias, -2.0)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        usual = ((features - self.mean) / self.spread).clamp(-8, 8)
        hidden = functional.relu(self._first(functional.dropout(usual, 0.1, self.training)))
        hidden = hidden + functional.relu(self._third(functional.relu(self._second(hidden))))
        logits: Tensor = self._last(hidden)
        return logits


class _Exported(nn.Module):
    def __init__(self, features: Features, head: Head) -> None:
        super().__init__()
        self._features, self._head = features, head

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self._head(self._features(image.float()))
        return logits


def export(features: Features, head: Head) -> bytes:
    """ONNX: (1, 1, h, w) uint8 of any size -> (1, 1, h // 8, w // 8) logits."""
    free: dict[str, Any] = {"image": {2: "h", 3: "w"}, "logits": {2: "rows", 3: "columns"}}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        file = Path(folder) / "surface.onnx"
        warnings.simplefilter("ignore")  # of the exporter itself
        torch.onnx.export(
            _Exported(features, head).eval(),
            (torch.zeros(1, 1, 200, 264, dtype=torch.uint8),),
            file,
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes=free,
            opset_version=18,
            dynamo=False,
        )
        return file.read_bytes()
