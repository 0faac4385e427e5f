"""TensorRT plans from a bundle's model.onnx: for the GPU here, or with TensorRT for RTX ahead of time for GPUs elsewhere.

Plans compute in FP16, but normalisation and head in fp32: K_c falls with a squared distance, which FP16 would round away.
The types are written into the network (strongly typed), so that no builder decides on them. No INT8: its ranges could only
be judged on a GPU. Whether a plan's answers may be used is decided by the golden images wherever it is loaded.
"""

import importlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16

from inspectd.errors import EngineError
from inspectd.inference import load_bundle, write_manifest
from inspectd.inference.base import TensorType
from inspectd_tools.training.bundle import Model, listed

RTX_GPUS = ("SM86", "SM89")
"""Compute capabilities a plan is built for ahead of time: RTX 30 and 40, A2 to A40, L4, L40."""


@dataclass(frozen=True, slots=True)
class Plan:
    data: bytes
    gpu: str
    """What it is built for, as it ends the folder's name: sm86, or rtx-sm86-sm89."""
    inputs: list[TensorType]
    outputs: list[TensorType]


def write_plan(bundle: Path) -> Model:
    """Build the plan of a bundle's model.onnx into it; engine.yaml does not list it yet. Raises EngineError."""
    plan = build_plan((bundle / "model.onnx").read_bytes())
    path = f"tensorrt-{plan.gpu}/model.plan"
    (bundle / path).parent.mkdir(exist_ok=True)
    (bundle / path).write_bytes(plan.data)
    return Model(path, "tensorrt", "fp16")


def copy_with_plan(bundle: Path, copy: Path) -> None:
    """A copy of a whole bundle with the plan in place of any it had. Raises EngineError."""
    manifest = load_bundle(bundle).manifest
    kept = tuple(file for file in manifest.files if file.backend != "tensorrt")
    for path in ["engine.yaml", *(file.path for file in kept), *(image.path for image in manifest.golden)]:
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle / path, copy / path)
    plan = listed([write_plan(copy)], copy)
    write_manifest(copy, manifest.model_copy(update={"files": (*kept, *plan)}))


def build_plan(model: bytes) -> Plan:
    """`model`: model.onnx of a bundle. Takes TensorRT where it is installed, else TensorRT for RTX.

    Raises EngineError: neither is installed, no GPU for TensorRT, or the library's own words for what it can't build.
    """
    library = _library()
    logger = library.Logger(library.Logger.ERROR)
    builder = library.Builder(logger)
    network = builder.create_network(1 << int(library.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = library.OnnxParser(network, logger)
    if not parser.parse(in_half_precision(model)):
        errors = "; ".join(parser.get_error(number).desc() for number in range(parser.num_errors))
        raise EngineError(f"{library.__name__} can't read model.onnx: {errors}")
    config = builder.create_builder_config()
    gpu = _aim(library, config)
    data = builder.build_serialized_network(network, config)
    if data is None:
        raise EngineError(f"{library.__name__} {library.__version__} can't build a plan; its own log above says why")
    return Plan(
        bytes(data),
        gpu,
        [_tensor_type(library, network.get_input(number)) for number in range(network.num_inputs)],
        [_tensor_type(library, network.get_output(number)) for number in range(network.num_outputs)],
    )


def in_half_precision(model: bytes) -> bytes:
    """The graph with FP16 between the first convolution and the head's matrix product; inputs and outputs stay."""
    whole = _with_whole_weights(onnx.load_from_string(model))
    kinds = [node.op_type for node in whole.graph.node]
    first = kinds.index("Conv")
    last = max(place for place, kind in enumerate(kinds) if kind in ("Gemm", "MatMul"))
    names = [node.name for node in whole.graph.node]
    half = convert_float_to_float16(whole, keep_io_types=True, node_block_list=[*names[:first], *names[last:]])
    data: bytes = half.SerializeToString()
    return data


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


def _library() -> ModuleType:
    for name in ("tensorrt", "tensorrt_rtx"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise EngineError("--tensorrt: pip install tensorrt where the GPU is, or tensorrt-rtx-cu13 to build for RTX GPUs")


def _aim(library: ModuleType, config: Any) -> str:
    """Set which GPUs the plan is for, and name them."""
    if library.__name__ == "tensorrt":
        if not torch.cuda.is_available():
            raise EngineError("--tensorrt: TensorRT builds for the GPU that is there, and torch finds none here")
        major, minor = torch.cuda.get_device_capability()
        return f"sm{major}{minor}"
    config.num_compute_capabilities = len(RTX_GPUS)
    for number, name in enumerate(RTX_GPUS):
        config.set_compute_capability(getattr(library.ComputeCapability, name), number)
    return "-".join(["rtx", *RTX_GPUS]).lower()


def _tensor_type(library: ModuleType, tensor: Any) -> TensorType:
    return TensorType(np.dtype(library.nptype(tensor.dtype)).name, tuple(tensor.shape))
