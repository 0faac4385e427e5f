"""An engine that really hangs: on a white image, and only there, its graph loops for thousands of years."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.factories import MEAN, STD, edit_manifest, make_toy_bundle

WHITE = 250
"""Mean grey level of an image whose inference never ends."""


def make_hanging_bundle(folder: Path) -> Path:
    make_toy_bundle(folder, backends=["onnxruntime"])
    file = folder / "model.onnx"
    model = onnx.load(file)
    _loop_on_white(model.graph)
    onnx.checker.check_model(model)
    onnx.save(model, file)
    edit_manifest(folder)
    return folder


def _loop_on_white(graph: onnx.GraphProto) -> None:
    """Before the scores come out they are copied 2^62 times if the image is white, 0 times if not."""
    graph.node[-1].output[0] = "settled"
    constants = {
        "white": np.array([((WHITE - 20) / 255 - MEAN) / STD], np.float32),
        "for_ever": np.array([2**62], np.int64),
        "scalar": np.array([1], np.int64),
    }
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    body = helper.make_graph(
        [helper.make_node("Identity", ["go_on"], ["still"]), helper.make_node("Identity", ["x"], ["y"])],
        "copy",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, None),
        ],
    )
    graph.node.extend(
        [
            helper.make_node("Greater", ["mean", "white"], ["is_white"]),
            helper.make_node("Cast", ["is_white"], ["is_white_number"], to=TensorProto.INT64),
            helper.make_node("Mul", ["is_white_number", "for_ever"], ["turns_4d"]),
            helper.make_node("Reshape", ["turns_4d", "scalar"], ["turns"]),
            helper.make_node("Loop", ["turns", "", "settled"], ["scores"], body=body),
        ]
    )
