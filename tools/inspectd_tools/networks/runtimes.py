"""A network on each runtime, as one kind of function: pixels in, scores out."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspectd.inference.openvino import core
from inspectd_tools.networks.predict import Network


def torch_network(model: Callable[[Tensor], Tensor]) -> Network:
    """PyTorch, eager or compiled. `model`: (N, C, H, W) uint8 -> (N, K), such as an `ExportedClassifier`."""

    @torch.inference_mode()
    def infer(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = model(torch.from_numpy(batch)).numpy()
        return scores

    return infer


def openvino_network(xml: Path, precision: Literal["fp32", "bf16", "int8"] = "fp32", threads: int = 0) -> Network:
    """OpenVINO on the CPU, compiled as the daemon compiles it; `precision` as in `InferenceConfig`; 0 threads: all cores."""
    hint = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    hint["INFERENCE_PRECISION_HINT"] = "bf16" if precision == "bf16" else "f32"
    request = core().compile_model(xml, "CPU", hint).create_infer_request()

    def infer(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = request.infer([batch])[0].copy()
        return scores

    return infer


def onnx_network(model: Path | bytes, threads: int = 0, *, as_written: bool = False) -> Network:
    """ONNX Runtime on the CPU; `model`: a file, or what one holds; 0 threads: all cores.

    `as_written`: each node is computed as the graph has it, and no optimised kernel replaces several nodes.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.force_spinning_stop", "1")  # idle workers would slow what runs next
    if as_written:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def infer(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = session.run(None, {name: batch})[0]
        return scores

    return infer
