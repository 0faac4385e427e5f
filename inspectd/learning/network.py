"""The network of an engine, opened where the backbone ends and the DUQ head begins.

The export writes the head as one linear layer, whose weights are stored once and as they are. So new weights of the same size
take their place, byte for byte, without a tool that writes networks.
"""

from typing import Final

import numpy as np
import openvino
from numpy.typing import NDArray

from inspectd.errors import EngineError
from inspectd.inference.bundle import Bundle
from inspectd.inference.manifest import DuqHead
from inspectd.inference.openvino import core
from inspectd.learning.head import Head

_WEIGHT, _OFFSET = "head.linear.weight", "head.linear.bias"
"""Names that the export gives."""
_SAME: Final = 1e-3
"""Largest difference between the scores of the network and those that NumPy computes from its features."""
_LARGEST = float(np.finfo(np.float16).max)

Stored = tuple[NDArray[np.float16], NDArray[np.float16]]
"""Weights (classes * rows, features) and offsets (classes * rows,) of the linear layer."""


class OpenNetwork:
    """One thread at a time. In fp32, on the CPU."""

    def __init__(self, bundle: Bundle) -> None:
        """Raises EngineError if the network has no DUQ head that can be fitted here."""
        described = bundle.manifest.head
        if not isinstance(described, DuqHead):
            raise EngineError(f"{bundle.folder}: has a softmax head; only an engine with a DUQ head can learn here")
        model = _read(bundle)
        named = {node.get_friendly_name(): node for node in model.get_ordered_ops()}
        if _WEIGHT not in named or _OFFSET not in named:
            raise EngineError(f"{bundle.folder}: its network has no {_WEIGHT}, so its head can't be replaced")
        weight, offset = (np.asarray(_constant(named[name]).data) for name in (_WEIGHT, _OFFSET))
        classes, rows = len(bundle.manifest.classes), described.centroid_size
        if weight.ndim != 2 or weight.shape[0] != classes * rows or offset.shape != (classes * rows,):
            raise EngineError(
                f"{bundle.folder}: its head has {weight.shape} weights; engine.yaml says {classes} classes with {rows} rows"
            )
        self.stored: Stored = (weight.astype(np.float16), offset.astype(np.float16))
        self.head = opened(self.stored, classes, described.length_scale)
        spec = bundle.manifest.input
        model.add_outputs(_product(named[_WEIGHT]).input(0).get_source_output())
        model.reshape([1, spec.channels, spec.height, spec.width])
        hint = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        self._request = core().compile_model(model, "CPU", hint).create_infer_request()

    @property
    def feature_size(self) -> int:
        return int(self.stored[0].shape[1])

    def features(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(1, C, H, W) uint8 -> (features,). Raises EngineError if the network does not compute what its head says."""
        self._request.infer([batch])
        scores, features = (self._request.get_output_tensor(place).data[0].copy() for place in range(2))
        if not np.abs(self.head.scores(features[None])[0] - scores).max() <= _SAME:
            raise EngineError(
                "the network does not compute its scores as a DUQ head does, so the head can't be replaced"
            )
        found: NDArray[np.float32] = features
        return found


def opened(stored: Stored, classes: int, length_scale: float) -> Head:
    weight, offset = (array.astype(np.float32) for array in stored)
    return Head(weight.reshape(classes, -1, weight.shape[1]), -offset.reshape(classes, -1), length_scale)


def closed(head: Head) -> Stored:
    """The head as the files store it, rounded to 11 bits. Raises EngineError if a weight is too large for that."""
    weight = head.weight.reshape(-1, head.weight.shape[2])
    offset = -head.centroids.reshape(-1)
    if not max(np.abs(weight).max(), np.abs(offset).max()) <= _LARGEST:
        raise EngineError("the fitted head has weights that are too large for half precision; the features hardly vary")
    return weight.astype(np.float16), offset.astype(np.float16)


def replaced(data: bytes, old: Stored, new: Stored, path: str) -> bytes:
    """The file of a network with `new` weights of the head in place of `old`. Raises EngineError."""
    for what, before, after in zip(("weights", "offsets"), old, new, strict=True):
        forms = [(before.astype(kind).tobytes(), after.astype(kind).tobytes()) for kind in (np.float16, np.float32)]
        found = [(here, there) for here, there in forms if data.count(here) == 1]
        if len(found) != 1:
            raise EngineError(
                f"{path}: does not have the {what} of the head in exactly one place, so they can't be replaced"
            )
        data = data.replace(*found[0])
    return data


def _read(bundle: Bundle) -> openvino.Model:
    if any(file.backend == "openvino" and file.precision != "int8" for file in bundle.manifest.files):
        files = [bundle.read(bundle.model_file("openvino", suffix, "fp32")) for suffix in (".xml", ".bin")]
        return core().read_model(*files)
    return core().read_model(bundle.read(bundle.model_file("onnxruntime", ".onnx", "fp32")), b"")


def _constant(node: openvino.Node) -> openvino.Node:
    """Where the values of this node are stored: they may be converted to fp32 on the way."""
    while node.get_type_name() != "Constant":
        node = node.input(0).get_source_output().get_node()
    return node


def _product(weight: openvino.Node) -> openvino.Node:
    """The matrix product that these weights go into."""
    node = weight
    while node.get_type_name() != "MatMul":
        (target, *_) = node.output(0).get_target_inputs()
        node = target.get_node()
    return node
