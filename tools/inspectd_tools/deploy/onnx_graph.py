"""The graph that TensorRT gets: the network of model.onnx, with the type of every tensor written into it.

Between the first convolution and the head it computes in FP16, or in INT8 by explicit quantisation. Normalisation and head stay
in fp32, because K_c depends on a squared distance, which FP16 would round too much.
"""

import tempfile
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper, version_converter
from onnxruntime.quantization import CalibrationDataReader, quantize_static
from onnxruntime.quantization.quant_utils import add_pre_process_metadata
from onnxruntime.transformers.float16 import convert_float_to_float16

_PRODUCTS = ["Conv", "Gemm", "MatMul"]
_QUANTISERS = ("QuantizeLinear", "DequantizeLinear")
_HALF_PRECISION_SCALES = 19
"""The first ONNX opset in which scales and quantised tensors may be FP16."""


def in_half_precision(model: bytes) -> bytes:
    """The graph with FP16 between the first convolution and the matrix product of the head; input and output keep their types."""
    whole = _with_whole_weights(onnx.load_from_string(model))
    nodes = list(whole.graph.node)
    first = next(place for place, node in enumerate(nodes) if node.op_type == "Conv")
    outside = [*nodes[:first], *nodes[_head(whole) :]]
    kept = [node.name for node in outside if node.op_type not in _QUANTISERS]
    half = convert_float_to_float16(whole, keep_io_types=True, node_block_list=kept)
    data: bytes = half.SerializeToString()
    return data


def in_int8(model: bytes, pixels: NDArray[np.uint8]) -> bytes:
    """The graph with INT8 inputs of the convolutions and matrix products before the head, and FP16 in the rest before it.

    `pixels` (N, C, H, W): images like those of the line; they give the range of each tensor (MinMax). The first convolution and
    those with channel groups stay in FP16: they are a small part of the work, and INT8 in them changes the scores most.

    TensorRT requires this of explicit quantisation (NVIDIA, TensorRT, Working with Quantized Types): signed and symmetric, so
    zero points are 0; one scale per output channel for weights, one per tensor for activations; biases are not quantised.
    Outputs are not quantised either: TensorRT fuses a convolution with the operations up to the next QuantizeLinear.
    """
    whole = version_converter.convert_version(_with_whole_weights(onnx.load_from_string(model)), _HALF_PRECISION_SCALES)
    add_pre_process_metadata(whole)  # batch normalisation was folded before the export
    with tempfile.TemporaryDirectory() as folder:
        quantised = Path(folder) / "model.onnx"
        quantize_static(
            whole,
            quantised,
            _Pixels(whole.graph.input[0].name, pixels),
            op_types_to_quantize=_PRODUCTS,
            nodes_to_exclude=_left_whole(whole),
            per_channel=True,
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "QuantizeBias": False,
                "OpTypesToExcludeOutputQuantization": _PRODUCTS,
            },
        )
        return in_half_precision(quantised.read_bytes())


class _Pixels(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, pixels: NDArray[np.uint8]) -> None:
        self._batches = ({name: image[None]} for image in pixels)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        return next(self._batches, None)


def _left_whole(model: onnx.ModelProto) -> list[str]:
    first, *others = (node for node in model.graph.node if node.op_type == "Conv")
    grouped = [node for node in others if any(entry.name == "group" and entry.i > 1 for entry in node.attribute)]
    return [node.name for node in (first, *grouped, *model.graph.node[_head(model) :])]


def _head(model: onnx.ModelProto) -> int:
    """Index of the last matrix product: the head is this node and all after it."""
    return max(place for place, node in enumerate(model.graph.node) if node.op_type in ("Gemm", "MatMul"))


def _with_whole_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without the Casts that turn weights stored in half precision into float."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    casts = [node for node in model.graph.node if node.op_type == "Cast" and node.input[0] in stored]
    for cast in casts:
        tensor = stored[cast.input[0]]
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, cast.output[0]))
        model.graph.node.remove(cast)
    return model
