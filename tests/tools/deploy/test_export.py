"""What is exported gives what PyTorch gives, on every backbone; and TensorRT takes it."""

import importlib.util

import numpy as np
import onnx
import onnxruntime
import pytest

pytest.importorskip("torch")

import torch
from onnx import TensorProto

from inspectd.errors import EngineError
from inspectd.inference.base import TensorType
from inspectd.inference.openvino import core
from inspectd_tools.deploy.export import write_model_files
from inspectd_tools.deploy.onnx_graph import in_half_precision, in_int8
from inspectd_tools.deploy.tensorrt import build_plan
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.networks.exported import exported
from inspectd_tools.networks.inputs import normalise
from inspectd_tools.networks.runtimes import onnx_network
from inspectd_tools.settings import load_settings
from tests.factories import make_toy_bundle

needs_tensorrt = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None,
    reason="needs TensorRT for RTX: pip install tensorrt-rtx-cu13",
)


@pytest.fixture(scope="module", params=["MobileNetV2", "ResNet18", "ShuffleNetV2", "EfficientNetB1"])
def model(request, tmp_path_factory):
    """A folder with a DUQ model's files, images it tells apart, and PyTorch's scores of them."""
    folder = tmp_path_factory.mktemp("model")
    settings = load_settings(
        "filter-label",
        ["pretrained=false", "centroid_size=8", "input.width=64", "input.height=48", f'model="{request.param}"'],
    )
    torch.manual_seed(0)
    classifier = Classifier(settings)
    images = torch.randint(0, 256, (16, 1, 6, 8), dtype=torch.uint8).repeat_interleave(8, 2).repeat_interleave(8, 3)
    inputs = normalise(images, settings.input)
    with torch.no_grad():  # a network that has seen no images gives them all 0 or all 1, and any two runtimes agree
        for module in classifier.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None  # its statistics become those of these images
        classifier.features(inputs)
        classifier.eval().head.fit_covariance(classifier.features(inputs), torch.arange(16) % 4)
    graph = exported(classifier, settings.input)
    write_model_files(graph, settings.input, folder)
    with torch.no_grad():
        expected = torch.cat([graph(image[None]) for image in images]).numpy()
    assert expected.std() > 0.05
    return folder, images.numpy(), expected


def test_both_runtimes_give_what_pytorch_gives(model):
    folder, images, expected = model
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    found = np.concatenate([session.run(None, {"image": image[None]})[0] for image in images])
    np.testing.assert_allclose(found, expected, atol=5e-4)
    network = core().compile_model(folder / "openvino" / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = np.concatenate([network([image[None]])[0] for image in images])
    np.testing.assert_allclose(found, expected, atol=5e-4)


def test_in_half_precision_the_head_stays_whole_and_scores_stay_close(model):
    folder, images, expected = model
    half = in_half_precision((folder / "model.onnx").read_bytes())
    graph = onnx.load_from_string(half).graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    kinds = {kind: [n for n in graph.node if n.op_type == kind] for kind in ("Conv", "Gemm")}
    assert len(kinds["Conv"]) > 15
    assert all(types[node.input[1]] == TensorProto.FLOAT16 for node in kinds["Conv"])
    assert types[kinds["Gemm"][-1].input[1]] == TensorProto.FLOAT
    session = onnxruntime.InferenceSession(half, providers=["CPUExecutionProvider"])
    found = np.concatenate([session.run(None, {"image": image[None]})[0] for image in images])
    np.testing.assert_allclose(found, expected, atol=0.02)


@pytest.fixture(scope="module")
def int8(model):
    folder, images, expected = model
    return in_int8((folder / "model.onnx").read_bytes(), images)


def test_in_int8_all_is_symmetric_and_the_head_stays_whole(model, int8):
    folder, images, expected = model
    whole = {name: tensor.astype(np.float32) for name, tensor in _tensors((folder / "model.onnx").read_bytes()).items()}
    graph, stored = onnx.load_from_string(int8).graph, _tensors(int8)
    made_by = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            _, scale, zero_point = (stored.get(name) for name in node.input)
            assert scale.dtype == np.float16  # what is not quantised is FP16
            assert zero_point.dtype == np.int8
            assert not zero_point.any()
    quantised = [node for node in graph.node if node.op_type == "Conv" and node.input[1] in made_by]
    assert len(quantised) >= 18
    for node in quantised:
        image, weights = (made_by[name] for name in node.input[:2])
        assert made_by[image.input[0]].op_type == "QuantizeLinear"
        values, scale = (stored[name].astype(np.float32) for name in weights.input[:2])
        assert scale.shape == values.shape[:1]  # one for each channel
        step = scale[:, None, None, None]
        name = weights.input[0].removesuffix("_quantized")
        original = whole[name if name in whole else f"{name}_fp16"]
        # half a step, and a scale rounded to FP16
        assert (np.abs(values * step - original) <= 0.57 * step + 1e-6).all()
    *_, head = (node for node in graph.node if node.op_type == "Gemm")
    assert all(made_by[name].op_type != "DequantizeLinear" for name in head.input if name in made_by)
    assert stored[head.input[1]].dtype == np.float32


def test_in_int8_scores_are_near_those_of_fp32(model, int8):
    folder, images, expected = model
    network = onnx_network(int8, as_written=True)
    found = np.concatenate([network(image[None]) for image in images])
    assert np.abs(found - expected).max() > 1e-3  # it is another arithmetic
    assert np.abs(found - expected).mean() < 0.1  # of a network that was never trained


@needs_tensorrt
def test_tensorrt_builds_a_plan_in_int8(int8):
    plan = build_plan(int8)
    assert plan.inputs == [TensorType("uint8", (1, 1, 48, 64))]
    assert plan.outputs == [TensorType("float32", (1, 4))]
    weights = [tensor for tensor in _tensors(int8).values() if tensor.dtype == np.int8 and tensor.ndim == 4]
    found = [tensor[0].transpose(1, 2, 0).tobytes() in plan.data for tensor in weights]
    assert np.mean(found) > 0.9  # the first output channel's, as they are, channels last


@needs_tensorrt
def test_tensorrt_builds_a_plan_of_it(model):
    folder, images, expected = model
    plan = build_plan(in_half_precision((folder / "model.onnx").read_bytes()))
    assert plan.gpu == "rtx-sm80-sm86-sm89-sm120-sm121"
    assert plan.inputs == [TensorType("uint8", (1, 1, 48, 64))]
    assert plan.outputs == [TensorType("float32", (1, 4))]
    assert len(plan.data) > 0.9 * sum(2 * tensor.size for tensor in _weights(folder))


@needs_tensorrt
def test_a_gpu_that_is_not_in_the_list_is_asked_for_alone(tmp_path, monkeypatch):
    """Only on that machine: without the GPU, TensorRT for RTX refuses. A listed GPU gets the plan for all of the list."""
    graph = (make_toy_bundle(tmp_path / "toy") / "model.onnx").read_bytes()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 9))
    assert build_plan(graph).gpu == "rtx-sm80-sm86-sm89-sm120-sm121"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    with pytest.raises(EngineError, match="can't build"):
        build_plan(graph)


@needs_tensorrt
def test_tensorrt_for_rtx_does_not_build_it_for_turing(model, monkeypatch):
    """If this fails, a newer version does, and RTX_GPUS may have one more."""
    folder, _, _ = model
    monkeypatch.setattr("inspectd_tools.deploy.tensorrt.RTX_GPUS", ("SM75",))
    with pytest.raises(EngineError, match="can't build a plan"):
        build_plan(in_half_precision((folder / "model.onnx").read_bytes()))


@needs_tensorrt
def test_what_tensorrt_cannot_read_is_said_in_its_words():
    with pytest.raises(EngineError, match=r"can't read model\.onnx: .*Failed to parse the ONNX model"):
        build_plan(b"no model")


def _weights(folder):
    return _tensors((folder / "model.onnx").read_bytes()).values()


def _tensors(model):
    return {
        tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load_from_string(model).graph.initializer
    }
