"""Pretrained weights of a backbone, from a file or from torchvision."""

from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from inspectd.errors import ConfigError
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.networks.torchvision_compat import torchvision
from inspectd_tools.settings import TrainingSettings

TORCHVISION_NAMES = {
    "MobileNetV2": "mobilenet_v2",
    "ResNet18": "resnet18",
    "ShuffleNetV2": "shufflenet_v2_x1_0",
    "EfficientNetB1": "efficientnet_b1",
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """Which weights of the backbone came from the file. The others keep their random start."""

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    """Weights that are not in the file, or have another shape there."""
    unused: tuple[str, ...]


def load_backbone(classifier: Classifier, settings: TrainingSettings, path: Path | None) -> Loaded:
    """Give the backbone pretrained weights: from a file with torchvision's names, or, if `path` is None, torchvision's own.

    For grey images, the first convolution gets the sum of the weights for red, green and blue. `path`: safetensors, or a state
    dict as torch saves it. Raises ConfigError if the file can't be read or fewer than half of the weights fit.
    """
    given = {
        key.removeprefix("features."): value
        for key, value in (read_weights(path) if path is not None else _torchvision_weights(settings)).items()
    }
    wanted = classifier.backbone.state_dict()
    for key, value in wanted.items():
        if key in given and given[key].ndim == 4 and given[key].shape[1] == 3 and value.shape[1] == 1:
            given[key] = given[key].sum(dim=1, keepdim=True)
    fits = [key for key, value in wanted.items() if key in given and given[key].shape == value.shape]
    missing = tuple(key for key in wanted if key not in fits)
    if 2 * len(fits) < len(wanted):
        raise ConfigError(
            f"{path or 'torchvision'}: does not fit {settings.model}: {len(missing)} of {len(wanted)} weights "
            f"are missing or have another shape, such as {missing[0]}"
        )
    classifier.backbone.load_state_dict({key: given[key] for key in fits}, strict=False)
    return Loaded(tuple(fits), missing, tuple(key for key in given if key not in wanted))


def read_weights(path: Path) -> dict[str, Tensor]:
    """Names and tensors from a safetensors file or a state dict as torch saves it. Raises ConfigError."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        values = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from error
    except (SafetensorError, RuntimeError, EOFError, UnpicklingError) as error:
        raise ConfigError(
            f"{path}: is not a file that holds only tensors; for safety, nothing else is loaded"
        ) from error
    if not isinstance(values, dict) or not all(isinstance(value, Tensor) for value in values.values()):
        raise ConfigError(f"{path}: must hold a state dict: names and tensors")
    return values


def _torchvision_weights(settings: TrainingSettings) -> dict[str, Tensor]:
    name = TORCHVISION_NAMES.get(settings.model)
    if name is None:
        raise ConfigError(
            f"pretrained: torchvision has no weights of {settings.model}; give a file as --weights, or set pretrained=false"
        )
    try:
        weights: dict[str, Tensor] = torchvision.models.get_model(name, weights="DEFAULT").state_dict()
    except (URLError, OSError) as error:
        raise ConfigError(
            f"pretrained: torchvision's weights can't be downloaded ({error}); give a file as --weights, or set pretrained=false"
        ) from error
    return weights
