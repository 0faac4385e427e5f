"""From a trained classifier to the files that a line loads: ONNX and OpenVINO, with exactly the same weights.

Weights are rounded to fp16 once, before either file is written, and stored as fp16; both runtimes compute in fp32. This halves
the size of the bundle, and the results of the two can only differ by the order of additions.
"""

import warnings
from pathlib import Path

import numpy as np
import onnx
import openvino
import torch
from onnx import TensorProto, helper, numpy_helper

from inspectd.inference.openvino import core
from inspectd.inference.preprocess import InputSpec
from inspectd_tools.deploy.bundle import Model
from inspectd_tools.networks.exported import ExportedClassifier

_SMALL = 256
"""Smaller tensors are stored in fp32: a Cast costs more than half precision saves."""


def write_model_files(model: ExportedClassifier, spec: InputSpec, folder: Path) -> list[Model]:
    """Write `model.onnx` and `openvino/model.xml` + `.bin`."""
    (folder / "openvino").mkdir(parents=True)
    onnx_file = folder / "model.onnx"
    image = torch.zeros(1, spec.channels, spec.height, spec.width, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning
        )  # torch 2.13's own
        torch.onnx.export(
            model,
            (image,),
            onnx_file,
            input_names=["image"],
            output_names=["scores"],
            opset_version=18,
            external_data=False,
            dynamo=True,
            verbose=False,
        )
    network = core().read_model(onnx_file)
    openvino.save_model(network, folder / "openvino" / "model.xml", compress_to_fp16=True)
    onnx.save(_stored_as_fp16(onnx.load(onnx_file)), onnx_file)
    return [
        Model("model.onnx", "onnxruntime", "fp16"),
        Model("openvino/model.xml", "openvino", "fp16"),
        Model("openvino/model.bin", "openvino", "fp16"),
    ]


def _stored_as_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) <= _SMALL:
            continue
        values = numpy_helper.to_array(tensor).astype(np.float16)
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values, f"{name}_fp16"))
        casts.append(helper.make_node("Cast", [f"{name}_fp16"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    onnx.checker.check_model(model)
    return model
