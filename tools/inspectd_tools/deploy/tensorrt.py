"""TensorRT plans from model.onnx of a bundle: for the GPU of this machine, or with TensorRT for RTX for GPUs of other machines.

The types are written into the network (strongly typed, see inspectd_tools.deploy.onnx_graph), so the builder does not choose
them. When a plan is loaded, the golden images decide whether it may be used.
"""

import importlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch

from inspectd.errors import EngineError
from inspectd.inference import load_bundle, write_manifest
from inspectd.inference.base import TensorType
from inspectd_tools.deploy.bundle import Model, listed
from inspectd_tools.deploy.onnx_graph import in_half_precision

RTX_GPUS = ("SM80", "SM86", "SM89", "SM120", "SM121")
"""Compute capabilities for which TensorRT for RTX builds: A30 and A100; RTX 30, A2 to A40; RTX 40, L4, L40; RTX 50; GB10. It does not
build for 7.5 (Turing), because it has no float32 matrix product there, and the head of the network computes in float32. On a machine with another GPU, such
as an H100 (9.0), it is asked to build for that one alone."""


@dataclass(frozen=True, slots=True)
class Plan:
    data: bytes
    gpu: str
    """The GPU that it is built for, which ends the name of its folder: sm86, or rtx-sm80-sm86-sm89-sm120-sm121."""
    inputs: list[TensorType]
    outputs: list[TensorType]


def write_plan(bundle: Path, graph: bytes, precision: Literal["fp16", "int8"]) -> Model:
    """Build a plan from `graph` (ONNX) and write it to the bundle; engine.yaml does not list it yet. Raises EngineError."""
    plan = build_plan(graph)
    path = f"tensorrt-{plan.gpu}/model{'-int8' if precision == 'int8' else ''}.plan"
    (bundle / path).parent.mkdir(exist_ok=True)
    (bundle / path).write_bytes(plan.data)
    return Model(path, "tensorrt", precision)


def copy_with_plan(bundle: Path, copy: Path) -> None:
    """Copy a bundle, with a new FP16 plan instead of its own plans. Raises EngineError."""
    manifest = load_bundle(bundle).manifest
    kept = tuple(file for file in manifest.files if file.backend != "tensorrt")
    old_plans = {file.path for file in manifest.files} - {file.path for file in kept}
    for path in {"engine.yaml", *(file.path for file in manifest.listed)} - old_plans:
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle / path, copy / path)
    graph = in_half_precision((copy / "model.onnx").read_bytes())
    plan = listed([write_plan(copy, graph, "fp16")], copy)
    precisions = {name: own for name, own in manifest.precisions.items() if name != "tensorrt-int8"}
    write_manifest(copy, manifest.model_copy(update={"files": (*kept, *plan), "precisions": precisions}))


def build_plan(graph: bytes) -> Plan:
    """Build a plan from `graph` (ONNX with the types to compute in), with TensorRT or, if that is not installed, TensorRT for RTX.

    Raises EngineError if neither is installed, TensorRT finds no GPU, or the library can't build the graph.
    """
    library = _library()
    logger = library.Logger(library.Logger.ERROR)
    builder = library.Builder(logger)
    network = builder.create_network(1 << int(library.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = library.OnnxParser(network, logger)
    if not parser.parse(graph):
        errors = "; ".join(parser.get_error(number).desc() for number in range(parser.num_errors))
        raise EngineError(f"{library.__name__} can't read model.onnx: {errors}")
    config = builder.create_builder_config()
    gpu = _aim(library, config)
    data = builder.build_serialized_network(network, config)
    if data is None:
        raise EngineError(f"{library.__name__} {library.__version__} can't build a plan; its log above says why")
    return Plan(
        bytes(data),
        gpu,
        [_tensor_type(library, network.get_input(number)) for number in range(network.num_inputs)],
        [_tensor_type(library, network.get_output(number)) for number in range(network.num_outputs)],
    )


def _library() -> ModuleType:
    for name in ("tensorrt", "tensorrt_rtx"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise EngineError(
        "--tensorrt: needs a package: pip install tensorrt on a machine with a GPU, or tensorrt-rtx-cu13 to build for RTX GPUs"
    )


def _aim(library: ModuleType, config: Any) -> str:
    """Set which GPUs the plan is for, and return their name."""
    here = "SM{}{}".format(*torch.cuda.get_device_capability()) if torch.cuda.is_available() else None
    if library.__name__ == "tensorrt":
        if here is None:
            raise EngineError("--tensorrt: TensorRT builds for the GPU of this machine, and torch finds none")
        return here.lower()
    is_listed = here in (None, *RTX_GPUS)
    names = RTX_GPUS if is_listed else ("CURRENT",)
    config.num_compute_capabilities = len(names)
    for number, name in enumerate(names):
        if not config.set_compute_capability(getattr(library.ComputeCapability, name), number):
            raise EngineError(f"{library.__name__} {library.__version__} can't build for {name}; install a newer one")
    return "-".join(["rtx", *(RTX_GPUS if is_listed else (str(here),))]).lower()


def _tensor_type(library: ModuleType, tensor: Any) -> TensorType:
    return TensorType(np.dtype(library.nptype(tensor.dtype)).name, tuple(tensor.shape))
