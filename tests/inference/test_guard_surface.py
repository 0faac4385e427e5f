"""An engine whose guard has a surface: it loads with both runtimes, and judges images of any size."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import pytest
from onnx import TensorProto, helper

from inspectd.errors import EngineError, InferenceError
from inspectd.guard.model import Guard
from inspectd.guard.surface import KINDS, Surface
from inspectd.inference import Engine, InferenceConfig, load_bundle, load_engine
from inspectd.inference.surface_network import compiled
from inspectd.part import Pass, Uncertain
from tests.factories import add_guard, edit_manifest, make_toy_bundle, sha256_of, toy_image


def network(side: int = 8) -> bytes:
    """Its logits are a tenth of what the mean grey of a cell lacks to 140: what is dark looks like a fault."""
    nodes = [
        helper.make_node("Cast", ["image"], ["grey"], to=TensorProto.FLOAT),
        helper.make_node("AveragePool", ["grey"], ["mean"], kernel_shape=[side, side], strides=[side, side]),
        helper.make_node("Sub", ["dark", "mean"], ["difference"]),
        helper.make_node("Div", ["difference", "ten"], ["logits"]),
    ]
    constants = [
        helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name, value in (("dark", 140.0), ("ten", 10.0))
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 1, "h", "w"])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 1, "rows", "columns"])
    graph = helper.make_graph(nodes, "surface", [image], [logits], constants)
    opset = helper.make_opsetid("", 17)
    return bytes(helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString())


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy engine, with a surface as its guard."""
    folder = add_guard(make_toy_bundle(tmp_path_factory.mktemp("engines") / "toy"))
    golden = [
        cv2.imread(str(folder / image.path), cv2.IMREAD_GRAYSCALE) for image in load_bundle(folder).manifest.golden
    ]
    guard = Guard(None, Surface(network(), compiled(network(), 1)))
    guard.save(folder / "guard.npz")
    described = {
        "kinds": list(KINDS),
        "limits": [1.0, 1.0, 1e5, 1e5],  # no line exceeds its limit
        "golden_scores": [list(guard.judge(image).scores) for image in golden],
    }

    def edit(values: dict[str, Any]) -> None:
        values["guard"].update(described, sha256=sha256_of(folder / "guard.npz"))
        del values["guard"]["width"], values["guard"]["height"]

    edit_manifest(folder, edit)
    return folder


def load(folder: Path) -> Engine:
    return load_engine(load_bundle(folder), InferenceConfig(backend="onnxruntime", threads=1))


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_judges_images_of_any_size(pristine: Path, runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if runtime == "onnxruntime":
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    engine = load(pristine)
    assert engine.misfit((641, 83)) is None
    for width, height in [(160, 120), (331, 97), (160, 120), (100, 200)]:
        good = toy_image("no_fail", width=width, height=height)
        assert isinstance(engine.judge(good).verdict, Pass)
        spoilt = good.copy()
        spoilt[40:56, 60:76] = 20
        verdict = engine.judge(spoilt).verdict
        assert isinstance(verdict, Uncertain)
        assert verdict.anomaly is not None
        assert verdict.anomaly.kind == "part"
        left, top, box_width, box_height = verdict.anomaly.box
        assert left <= 68 <= left + box_width
        assert top <= 48 <= top + box_height


@pytest.mark.parametrize("size", [(63, 200), (200, 40)])
def test_an_image_that_is_too_small_is_an_error(pristine: Path, size: tuple[int, int]) -> None:
    with pytest.raises(InferenceError, match="at least 64x64"):
        load(pristine).judge(toy_image("no_fail", width=size[0], height=size[1]))


@pytest.mark.parametrize(
    ("data", "said"), [(b"no network", ""), (network(4), r"gives \(1, 1, 16, 18\) for an image of 64x72 px")]
)
def test_another_network_is_refused(pristine: Path, tmp_path: Path, data: bytes, said: str) -> None:
    folder = Path(shutil.copytree(pristine, tmp_path / "toy"))
    Guard(None, Surface(data, compiled(network(), 1))).save(folder / "guard.npz")
    edit_manifest(folder)
    with pytest.raises(EngineError, match=r"guard\.npz: can't be read as a guard.*" + said):
        load(folder)


def test_width_without_height_is_refused(pristine: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(pristine, tmp_path / "toy"))
    edit_manifest(folder, lambda values: values["guard"].update(width=160))
    with pytest.raises(EngineError, match="give both, or neither"):
        load_bundle(folder)
