"""The contract of every backend that runs here, on real graphs."""

import hashlib
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from pydantic import ValidationError

from inspectd.decision import Policy
from inspectd.errors import EngineError, InferenceError
from inspectd.inference import Engine, InferenceConfig, load_bundle, load_engine
from inspectd.inference import openvino as openvino_backend
from inspectd.inference.openvino import has_bf16
from inspectd.inference.preprocess import Region
from inspectd.part import Fault, Pass, Uncertain
from tests.factories import (
    GREY_OF_CLASS,
    UNKNOWN_GREY,
    edit_manifest,
    make_toy_bundle,
    toy_image,
    toy_scores,
    write_model,
)

BackendName = Literal["onnxruntime", "openvino"]
GREYS = list(GREY_OF_CLASS.values())


def load(folder: Path, backend: BackendName, **config: Any) -> Engine:
    return load_engine(load_bundle(folder), InferenceConfig(backend=backend, **config))


def refusal(folder: Path, backend: BackendName, **config: Any) -> str:
    with pytest.raises(EngineError) as caught:
        load(folder, backend, **config)
    return str(caught.value)


def change_model(folder: Path, change: Callable[[onnx.ModelProto], object]) -> None:
    """Changes the graph of both backends; the manifest lists the new files."""
    model = onnx.load(folder / "model.onnx")
    change(model)
    write_model(folder, model)
    edit_manifest(folder)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [{}, {"width": 640, "height": 480}])
def test_scores_are_what_numpy_computes(
    tmp_path: Path, backend: BackendName, channels: int, size: dict[str, int]
) -> None:
    folder = make_toy_bundle(tmp_path / "toy", channels=channels)
    engine = load(folder, backend)
    for grey in (0, 40, 47, 80, 101, 120, UNKNOWN_GREY, 195, 200, 255):
        image = toy_image(grey, seed=grey, **size)
        scores = engine.infer(engine.preprocess(image))
        assert scores.dtype == np.float32
        assert scores.shape == (4,)
        np.testing.assert_allclose(scores, toy_scores(image, engine.manifest.input, GREYS), atol=1e-4)


def test_verdicts_follow_from_the_policy_in_the_manifest(folder: Path, backend: BackendName) -> None:
    engine = load(folder, backend)
    assert engine.policy == Policy(tuple(GREY_OF_CLASS), "no_fail", 0.5)
    verdicts = {
        content: engine.policy.judge(engine.infer(engine.preprocess(toy_image(content))).tolist())
        for content in (*GREY_OF_CLASS, UNKNOWN_GREY)
    }
    assert isinstance(verdicts.pop("no_fail"), Pass)
    assert isinstance(verdicts.pop(UNKNOWN_GREY), Uncertain)
    for name, verdict in verdicts.items():
        assert isinstance(verdict, Fault)
        assert verdict.scores.predicted == name


def test_an_engine_knows_itself(folder: Path, backend: BackendName) -> None:
    bundle = load_bundle(folder)
    engine = load(folder, backend)
    assert (engine.backend_name, engine.manifest, engine.hash) == (backend, bundle.manifest, bundle.hash)
    assert 0 < engine.service_ms < float("inf")


def test_scores_stay_as_they_are_while_the_engine_goes_on(folder: Path, backend: BackendName) -> None:
    engine = load(folder, backend)
    good = engine.preprocess(toy_image("no_fail"))
    scores = engine.infer(good)
    kept = scores.copy()
    engine.infer(engine.preprocess(toy_image(UNKNOWN_GREY)))
    engine.warm()
    np.testing.assert_array_equal(scores, kept)
    np.testing.assert_array_equal(engine.infer(good), kept)


def test_keeping_warm_changes_no_score(folder: Path, backend: BackendName) -> None:
    engine = load(folder, backend)
    batches = [engine.preprocess(toy_image(name)) for name in GREY_OF_CLASS]
    expected = [engine.infer(batch) for batch in batches]
    for turn in range(200):
        for _ in range(turn % 3):
            engine.warm()
        np.testing.assert_array_equal(engine.infer(batches[turn % len(batches)]), expected[turn % len(batches)])


def test_a_batch_is_not_written_to_and_may_be_strided(folder: Path, backend: BackendName) -> None:
    engine = load(folder, backend)
    batch = engine.preprocess(toy_image("no_fail"))
    expected = engine.infer(batch)
    strided = np.repeat(batch, 2, axis=3)[..., ::2]
    strided.flags.writeable = False
    np.testing.assert_array_equal(engine.infer(strided), expected)


@pytest.mark.parametrize("backend_setting", [{}, {"threads": 1}])
def test_load_in_one_thread_and_use_in_another(
    folder: Path, backend: BackendName, backend_setting: dict[str, int]
) -> None:
    engine = load(folder, backend, **backend_setting)
    scores: list[np.ndarray] = []
    worker = threading.Thread(target=lambda: scores.append(engine.infer(engine.preprocess(toy_image("no_fail")))))
    worker.start()
    worker.join()
    assert scores[0][-1] > 0.9


@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((1, 1, 24, 32), np.float32),
        np.zeros((1, 1, 24, 32), np.int8),
        np.zeros((2, 1, 24, 32), np.uint8),
        np.zeros((1, 3, 24, 32), np.uint8),
        np.zeros((1, 1, 32, 24), np.uint8),
        np.zeros((1, 1, 1, 1), np.uint8),  # would broadcast
        np.zeros((24, 32), np.uint8),
        np.zeros((), np.uint8),
    ],
)
def test_a_wrong_batch_is_an_inference_error(folder: Path, backend: BackendName, batch: np.ndarray) -> None:
    engine = load(folder, backend)
    with pytest.raises(InferenceError, match=r"expected a batch of uint8 \(1, 1, 24, 32\), got"):
        engine.infer(batch)


@pytest.mark.parametrize(
    "image",
    [np.zeros((48, 64), np.uint16), np.zeros((48, 64, 4), np.uint8), np.zeros((0, 0), np.uint8), np.zeros(9, np.uint8)],
)
def test_an_image_of_the_wrong_kind_is_an_inference_error(folder: Path, image: np.ndarray) -> None:
    engine = load(folder, "onnxruntime")
    with pytest.raises(InferenceError, match="can't be preprocessed"):
        engine.preprocess(image)


def test_what_the_runtime_raises_is_an_inference_error(folder: Path) -> None:
    def look_the_first_pixel_up_in_a_table_of_100(model: onnx.ModelProto) -> None:
        zero = numpy_helper.from_array(np.zeros(100, np.float32), "table")
        corner = numpy_helper.from_array(np.array([1, 1, 1, 1], np.int64), "corner")
        origin = numpy_helper.from_array(np.array([0, 0, 0, 0], np.int64), "origin")
        model.graph.initializer.extend([zero, corner, origin])
        model.graph.node[0].output[0] = "raw_pixels"
        lookup = [
            helper.make_node("Slice", ["image", "origin", "corner"], ["first"]),
            helper.make_node("Cast", ["first"], ["index"], to=TensorProto.INT64),
            helper.make_node("Gather", ["table", "index"], ["nothing"]),
            helper.make_node("Add", ["raw_pixels", "nothing"], ["pixels"]),
        ]
        for position, node in enumerate(lookup):
            model.graph.node.insert(1 + position, node)

    change_model(folder, look_the_first_pixel_up_in_a_table_of_100)
    edit_manifest(folder, lambda values: values.update(golden=values["golden"][:2]))
    engine = load(folder, "onnxruntime")
    assert engine.infer(engine.preprocess(toy_image(80)))[1] > 0.9
    with pytest.raises(InferenceError, match=r"onnxruntime: .*out of data bounds"):
        engine.infer(engine.preprocess(toy_image(200)))


def test_other_scores_than_training_recorded_are_refused(folder: Path, backend: BackendName) -> None:
    edit_manifest(folder, lambda values: values["golden"][3]["scores"].__setitem__(2, 0.25))
    message = refusal(folder, backend)
    assert "golden/no_fail.png" in message
    assert f"{backend} gives fail_label_not_fully_printed the score 0.0000, but training recorded 0.2500" in message


def test_a_recorded_nan_agrees_with_nothing(folder: Path, backend: BackendName) -> None:
    edit_manifest(folder, lambda values: values["golden"][0]["scores"].__setitem__(0, float("nan")))
    assert "golden/fail_label_crooked_print.png" in refusal(folder, backend)


def test_a_model_with_other_weights_is_refused_by_its_golden_images(folder: Path, backend: BackendName) -> None:
    def move_a_centroid(model: onnx.ModelProto) -> None:
        (centroids,) = (tensor for tensor in model.graph.initializer if tensor.name == "centroids")
        values = numpy_helper.to_array(centroids).copy()
        values[0, 3] += 0.1
        centroids.CopyFrom(numpy_helper.from_array(values, "centroids"))

    change_model(folder, move_a_centroid)
    assert "golden/no_fail.png" in refusal(folder, backend)


def test_swapped_classes_are_refused(folder: Path, backend: BackendName) -> None:
    other = make_toy_bundle(folder.parent / "other", grey_of_class=dict(reversed(GREY_OF_CLASS.items())))
    for path in ("model.onnx", "openvino/model.xml", "openvino/model.bin"):
        (folder / path).write_bytes((other / path).read_bytes())
    edit_manifest(folder)
    assert "golden/" in refusal(folder, backend)


@pytest.mark.parametrize("kind", ["no image", "16 bit"])
def test_a_golden_file_that_is_no_camera_image_is_refused(folder: Path, backend: BackendName, kind: str) -> None:
    path = folder / "golden/no_fail.png"
    if kind == "no image":
        path.write_bytes(b"PNG")
    else:
        cv2.imwrite(str(path), np.full((48, 64), 200 * 256, np.uint16))
    edit_manifest(folder)
    assert "golden/no_fail.png" in refusal(folder, backend)


@pytest.mark.parametrize(
    "setting", [{"width": 64}, {"height": 48}, {"channels": 3, "mean": [0.4] * 3, "std": [0.2] * 3}]
)
def test_a_model_for_another_input_is_refused(folder: Path, backend: BackendName, setting: dict[str, Any]) -> None:
    edit_manifest(folder, lambda values: values["input"].update(setting))
    assert "engine.yaml describes a model with uint8 (1, " in refusal(folder, backend)


def test_a_model_for_another_number_of_classes_is_refused(folder: Path, backend: BackendName) -> None:
    def add_a_class(values: dict[str, Any]) -> None:
        values["classes"].append("fail_label_date")
        for golden in values["golden"]:
            golden["scores"].append(0.0)

    edit_manifest(folder, add_a_class)
    assert "float32 (1, 5), but the" in refusal(folder, backend)


def test_a_model_that_takes_floats_is_refused(folder: Path, backend: BackendName) -> None:
    def take_floats(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT

    change_model(folder, take_floats)
    assert f"the {backend} file has float32 (1, 1, 24, 32)" in refusal(folder, backend)


def test_a_model_with_a_second_output_is_refused(folder: Path, backend: BackendName) -> None:
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, 1])
    change_model(folder, lambda model: model.graph.output.append(features))
    assert "float32 (1, 4), float32 (1, 1)" in refusal(folder, backend)


def test_a_free_batch_dimension_counts_as_one(folder: Path, backend: BackendName) -> None:
    def free_the_batch(model: onnx.ModelProto) -> None:
        for port in (*model.graph.input, *model.graph.output):
            port.type.tensor_type.shape.dim[0].dim_param = "N"

    change_model(folder, free_the_batch)
    engine = load(folder, backend)
    assert engine.infer(engine.preprocess(toy_image("no_fail")))[-1] > 0.9


def test_a_model_of_any_size_is_refused(folder: Path, backend: BackendName) -> None:
    def free_the_size(model: onnx.ModelProto) -> None:
        for axis in (2, 3):
            model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"size{axis}"

    change_model(folder, free_the_size)
    assert "uint8 (1, 1, -1, -1)" in refusal(folder, backend)


@pytest.mark.parametrize("content", [b"", b"no model", bytes(range(256)) * 20])
def test_what_no_runtime_can_read_is_refused(folder: Path, backend: BackendName, content: bytes) -> None:
    for path in ("model.onnx", "openvino/model.xml"):
        (folder / path).write_bytes(content)
    edit_manifest(folder)
    assert f"{backend} can't load it" in refusal(folder, backend)


def test_openvino_weights_that_are_too_short_are_refused(folder: Path) -> None:
    (folder / "openvino/model.bin").write_bytes(b"\0" * 8)
    edit_manifest(folder)
    assert "openvino can't load it" in refusal(folder, "openvino")


def test_weights_outside_the_hashed_file_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)  # where ONNX Runtime would look
    model = onnx.load("model.onnx")
    onnx.save(model, "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=60)
    edit_manifest(folder)
    assert "weights.bin" in refusal(folder, "onnxruntime")


def test_a_file_changed_between_check_and_load_is_refused(folder: Path, backend: BackendName) -> None:
    bundle = load_bundle(folder)
    for path in ("model.onnx", "openvino/model.bin"):
        (folder / path).write_bytes((folder / path).read_bytes() + b"\0")
    with pytest.raises(EngineError, match="SHA-256 differs"):
        load_engine(bundle, InferenceConfig(backend=backend))


def test_bf16_where_the_processor_has_it_and_a_clear_word_where_not(folder: Path) -> None:
    if has_bf16():
        engine = load(folder, "openvino", precision="bf16")
        assert engine.infer(engine.preprocess(toy_image("no_fail")))[-1] > 0.9
    else:
        assert "'bf16' is not available on" in refusal(folder, "openvino", precision="bf16")
    assert "use 'fp32', or backend 'openvino'" in refusal(folder, "onnxruntime", precision="bf16")


def test_int8_needs_and_picks_a_quantised_file(folder: Path, backend: BackendName) -> None:
    assert f"{backend} at int8 needs exactly one" in refusal(folder, backend, precision="int8")

    def call_them_quantised(values: dict[str, Any]) -> None:
        for file in values["files"]:
            file["precision"] = "int8"

    edit_manifest(folder, call_them_quantised)
    assert load(folder, backend, precision="int8").backend_name == backend
    assert f"{backend} at fp32 needs exactly one" in refusal(folder, backend)


def test_cuda_without_it_is_said_clearly(folder: Path) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    for backend in ("onnxruntime", "auto"):  # never the CPU where a GPU was asked for
        message = refusal(folder, backend, device="cuda")
        assert "inference.device: 'cuda' is not available" in message
        assert "pip install onnxruntime-gpu" in message
    with pytest.raises(ValidationError, match="device 'cuda' needs backend 'onnxruntime', 'tensorrt' or 'auto'"):
        InferenceConfig(backend="openvino", device="cuda")


def test_what_was_compiled_is_used_at_the_next_start(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "deep" / "cache"
    batch = load(folder, "openvino", cache=cache).preprocess(toy_image("no_fail"))
    (kept,) = cache.iterdir()
    monkeypatch.setattr(openvino_backend, "_compile", lambda *_: pytest.fail("compiled again"))
    again = load(folder, "openvino", cache=cache)
    monkeypatch.undo()
    np.testing.assert_array_equal(again.infer(batch), load(folder, "openvino").infer(batch))
    load(folder, "openvino", cache=cache, threads=1)
    other = make_toy_bundle(tmp_path / "other", grey_of_class=dict(reversed(GREY_OF_CLASS.items())))
    load(other, "openvino", cache=cache)
    assert len(list(cache.iterdir())) == 3
    assert kept in cache.iterdir()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: data[:20],
        lambda data: data[:-1],
        lambda data: bytes(32) + data[32:],
        *(lambda data, place=place: _flipped(data, place) for place in (0.1, 0.3, 0.5, 0.7, 0.9, 0.999)),
        lambda data: _sealed(b"no network"),
        lambda data: _sealed(data[32:-500]),
    ],
)
def test_a_damaged_cache_changes_nothing(folder: Path, tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    whole = load(folder, "openvino", cache=tmp_path / "cache")
    batch = whole.preprocess(toy_image(101))
    (kept,) = (tmp_path / "cache").iterdir()
    data = kept.read_bytes()
    kept.write_bytes(spoil(data))
    np.testing.assert_array_equal(load(folder, "openvino", cache=tmp_path / "cache").infer(batch), whole.infer(batch))
    assert hashlib.sha256(kept.read_bytes()[32:]).digest() == kept.read_bytes()[:32]


def test_a_cache_that_cannot_be_written_stops_nothing(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"a file where the folder should be")
    assert load(folder, "openvino", cache=tmp_path / "cache").backend_name == "openvino"


def test_the_cache_keeps_a_few_engines_only(folder: Path, tmp_path: Path) -> None:
    for threads in range(1, 8):
        load(folder, "openvino", cache=tmp_path / "cache", threads=threads)
    assert len(list((tmp_path / "cache").iterdir())) == 4


def _flipped(data: bytes, place: float) -> bytes:
    number = int(place * len(data))
    return data[:number] + bytes([data[number] ^ 1]) + data[number + 1 :]


def _sealed(network: bytes) -> bytes:
    return hashlib.sha256(network).digest() + network


FP32 = {"openvino": "fp32", "onnxruntime": "onnxruntime"}
"""What the arithmetic of each backend at fp32 is called."""


def offer_bf16(folder: Path, *, moved_by: float = 0.0, recommended: str = "bf16") -> None:
    """As if in bf16 certainties had moved, and the threshold with them."""

    def edit(values: dict[str, Any]) -> None:
        scores = [[score + moved_by for score in golden["scores"]] for golden in values["golden"]]
        threshold = values["threshold"] | {"value": 0.75}
        values["precisions"] = {"bf16": {"threshold": threshold, "golden_scores": scores}}
        values["recommended"] = recommended

    edit_manifest(folder, edit)


@pytest.mark.skipif(not has_bf16(), reason="this processor has no bf16 arithmetic")
def test_each_precision_has_its_own_threshold_and_golden_scores(folder: Path) -> None:
    offer_bf16(folder)
    engine = load(folder, "openvino")
    assert (engine.precision, engine.policy.threshold) == ("bf16", 0.75)
    engine = load(folder, "openvino", precision="fp32")
    assert (engine.precision, engine.policy.threshold) == ("fp32", 0.5)
    offer_bf16(folder, moved_by=0.05)
    assert "training recorded" in refusal(folder, "openvino", precision="bf16")


def test_onnxruntime_has_its_own_threshold_scores_and_tolerance_where_they_are_given(folder: Path) -> None:
    def offer(values: dict[str, Any]) -> None:
        scores = [[score + 0.01 for score in golden["scores"]] for golden in values["golden"]]
        own = {"threshold": values["threshold"] | {"value": 0.75}, "golden_scores": scores}
        values["precisions"] = {"onnxruntime": own}

    assert load(folder, "onnxruntime").policy.threshold == 0.5
    edit_manifest(folder, offer)
    engine = load(folder, "onnxruntime")
    assert (engine.precision, engine.policy.threshold) == ("onnxruntime", 0.75)
    assert load(folder, "openvino").policy.threshold == 0.5
    edit_manifest(folder, lambda values: values["precisions"]["onnxruntime"].update(golden_tolerance=0.005))
    assert "a difference of up to 0.005 is allowed" in refusal(folder, "onnxruntime")
    assert load(folder, "openvino").policy.threshold == 0.5


def test_auto_takes_fp32_where_what_is_recommended_does_not_work(folder: Path) -> None:
    offer_bf16(folder, moved_by=0.05)  # as on another processor: other scores, or no such arithmetic
    for backend in ("openvino", "onnxruntime"):
        engine = load(folder, backend)
        assert (engine.precision, engine.policy.threshold) == (FP32[backend], 0.5)


def test_auto_is_fp32_where_nothing_is_recommended(folder: Path, backend: BackendName) -> None:
    assert load(folder, backend).precision == FP32[backend]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda values: values.update(recommended="int8"), "recommended: int8 is not among precisions"),
        (
            lambda values: values["precisions"]["bf16"]["golden_scores"].pop(),
            "bf16 needs 4 golden_scores for each of 4",
        ),
        (lambda values: values["precisions"].update(fp16=values["precisions"]["bf16"]), "precisions"),
    ],
)
def test_precisions_that_contradict_the_rest_are_refused(
    folder: Path, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    offer_bf16(folder)
    edit_manifest(folder, change)
    with pytest.raises(EngineError, match=words):
        load_bundle(folder)


def test_auto_prefers_openvino_and_takes_what_is_there(folder: Path) -> None:
    assert load_engine(load_bundle(folder), InferenceConfig()).backend_name == "openvino"
    only_onnx = make_toy_bundle(folder.parent / "onnx", backends=["onnxruntime"])
    assert load_engine(load_bundle(only_onnx), InferenceConfig()).backend_name == "onnxruntime"
    assert "openvino at fp32 needs exactly one .xml file, but 0 of the listed files fit: model.onnx" in refusal(
        only_onnx, "openvino"
    )


def test_the_region_of_interest_is_what_the_network_sees(folder: Path, backend: BackendName) -> None:
    left_half = Region(right=0.5)
    edit_manifest(folder, lambda values: values["input"].update(region=left_half.model_dump()))
    engine = load(folder, backend)
    image = np.hstack([toy_image("no_fail"), toy_image(0)])
    assert engine.infer(engine.preprocess(image))[-1] > 0.9
    assert engine.infer(engine.preprocess(np.fliplr(image)))[-1] < 0.1


def test_a_signal_after_engines_came_and_went_is_handled(folder: Path) -> None:
    """A reload lets go of the old engine, in another thread than the one that loaded it; then comes SIGTERM."""
    program = f"""
        import gc, os, signal, threading
        from pathlib import Path
        from inspectd.inference import InferenceConfig, load_bundle, load_engine

        def load():
            engines.append(load_engine(load_bundle(Path({str(folder)!r})), InferenceConfig(backend="openvino")))

        signal.signal(signal.SIGTERM, lambda *_: print("handled"))
        engines = []
        load()
        load()
        for drop in (lambda: engines.pop(0), engines.clear):
            thread = threading.Thread(target=drop)
            thread.start()
            thread.join()
        gc.collect()
        os.kill(os.getpid(), signal.SIGTERM)
    """
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "handled\n"), result.stderr


def test_no_torch_in_the_daemon(folder: Path, backend: BackendName) -> None:
    program = f"""
        import sys
        from pathlib import Path
        from inspectd.inference import InferenceConfig, load_bundle, load_engine
        runtimes = {{"onnxruntime", "openvino", "tensorrt"}}
        print(sorted(runtimes & set(sys.modules)))
        load_engine(load_bundle(Path({str(folder)!r})), InferenceConfig(backend={backend!r}))
        print(sorted((runtimes | {{"torch", "torchvision", "onnx", "inspectd_tools"}}) & set(sys.modules)))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines() == ["[]", str([backend])]
