"""The TensorRT backend on a GPU that exists only in this process, whose functions are compared with the real libraries."""

import gc
import inspect
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

pytest.importorskip("cuda.bindings.runtime")

from cuda.bindings import runtime as real

from inspectd.errors import EngineError, EngineLost, InferenceError, NoGpuError
from inspectd.inference import InferenceConfig, load_bundle, load_engine
from inspectd.inference import gpu as module
from inspectd.inference.base import TensorType
from tests.factories import GREY_OF_CLASS, edit_manifest, toy_image, toy_scores
from tests.inference import fake_gpu
from tests.inference.fake_gpu import Error, FakeCuda, FakeTensorRt


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    cuda = FakeCuda()
    monkeypatch.setattr(module, "runtime", cuda)
    return cuda


@pytest.fixture
def library(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> FakeTensorRt:
    library = FakeTensorRt(cuda)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", library)
    return library


@pytest.fixture
def plant(folder: Path, library: FakeTensorRt) -> Path:
    """A bundle with a plan for the GPU."""
    (folder / "model.plan").write_bytes((folder / "model.onnx").read_bytes())
    listed = {"path": "model.plan", "sha256": "", "backend": "tensorrt", "precision": "fp16"}
    edit_manifest(folder, lambda values: values["files"].append(listed))
    edit_manifest(folder)
    return folder


def load(folder: Path, **config: Any) -> Any:
    return load_engine(load_bundle(folder), InferenceConfig(backend="tensorrt", **config))


def inferred(engine: Any, grey: int) -> Any:
    return engine.infer(engine.preprocess(toy_image(grey)))


def expected(engine: Any, grey: int) -> Any:
    return toy_scores(toy_image(grey), engine.manifest.input, list(GREY_OF_CLASS.values()))


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_scores_are_what_numpy_computes(plant: Path, cuda: FakeCuda, cuda_graph: bool) -> None:
    engine = load(plant, cuda_graph=cuda_graph)
    for grey in (0, 47, 160, 195):
        np.testing.assert_allclose(inferred(engine, grey), expected(engine, grey), atol=1e-4)
    assert (cuda.launched > 100) == cuda_graph


def test_an_inference_whose_result_nobody_wants_is_neither_waited_for_nor_mixed_up(plant: Path, cuda: FakeCuda) -> None:
    engine = load(plant)
    (stream,) = cuda.streams.values()
    for _ in range(3):
        engine.warm()
        assert len(stream.queued) == 3, "a copy, the plan, a copy: once"
    np.testing.assert_allclose(inferred(engine, 47), expected(engine, 47), atol=1e-4)
    assert not stream.queued


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_an_engine_that_is_replaced_gives_everything_back_in_any_thread(
    plant: Path, cuda: FakeCuda, library: FakeTensorRt, tmp_path: Path, cuda_graph: bool
) -> None:
    engines: list[Any] = []

    def reload() -> None:
        engines.append(load(plant, cache=tmp_path / "cache", cuda_graph=cuda_graph))

    def swap() -> None:
        inferred(engines[-1], 47)
        engines[-1].warm()
        engines.pop(0)

    reload()
    taken, alive = len(cuda.lives), len(library.alive)
    for number in range(5):
        for step in (reload, swap):
            thread = threading.Thread(target=step, name=f"{step.__name__} {number}")
            thread.start()
            thread.join()
        assert (len(cuda.lives), len(library.alive)) == (taken, alive)
    assert cuda.freed_in == {f"swap {number}" for number in range(5)}
    engines.clear()
    assert not cuda.lives
    assert not library.alive


def test_what_was_taken_is_given_back_where_a_load_fails(plant: Path, cuda: FakeCuda, library: FakeTensorRt) -> None:
    for function in ("create_execution_context", "set_tensor_address", "execute_async_v3"):
        library.refuses = {function}
        refusal(plant)
    library.refuses = set()
    cuda.fails = {"cudaMalloc": Error.cudaErrorMemoryAllocation}
    assert "cudaErrorMemoryAllocation" in refusal(plant)
    gc.collect()
    assert not cuda.lives
    assert not library.alive


def refusal(folder: Path) -> str:
    with pytest.raises(EngineError) as refused:
        load(folder)
    return str(refused.value)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("create_execution_context", "TensorRT gives no execution context"),
        ("set_input_shape", "TensorRT does not take the shape (1, 1, 24, 32)"),
        ("set_tensor_address", "TensorRT does not take the buffer for in"),
        ("execute_async_v3", "TensorRT could not start the plan"),
    ],
)
def test_what_tensorrt_refuses_is_said(plant: Path, library: FakeTensorRt, function: str, words: str) -> None:
    library.refuses = {function}
    assert words in refusal(plant)


def test_scores_that_are_all_zero_are_found_by_the_golden_images(plant: Path, library: FakeTensorRt) -> None:
    library.gives_zeros = True
    assert "golden/" in (said := refusal(plant))
    assert "tensorrt gives" in said
    assert "the score 0.0000" in said


def test_an_error_that_passes_fails_one_inference(plant: Path, cuda: FakeCuda, library: FakeTensorRt) -> None:
    engine = load(plant)
    for function in ("cudaMemcpyAsync", "cudaEventSynchronize"):
        cuda.fails = {function: Error.cudaErrorMemoryAllocation}
        with pytest.raises(InferenceError, match=f"{function}: cudaErrorMemoryAllocation, out of memory"):
            inferred(engine, 47)
    library.refuses = {"execute_async_v3"}
    with pytest.raises(InferenceError, match="could not start the plan"):
        inferred(engine, 47)
    library.refuses = set()
    np.testing.assert_allclose(inferred(engine, 47), expected(engine, 47), atol=1e-4)


@pytest.mark.parametrize(
    "error", [Error.cudaErrorIllegalAddress, Error.cudaErrorECCUncorrectable, Error.cudaErrorLaunchFailure]
)
def test_after_an_error_that_stays_no_inference_succeeds(plant: Path, cuda: FakeCuda, error: Any) -> None:
    engine = load(plant)
    engine.warm()
    cuda.lasting = error
    for use in ("warm", "infer"):
        with pytest.raises(EngineLost, match=rf"{error.name}.*; the GPU does not answer any more in this process"):
            engine.warm() if use == "warm" else inferred(engine, 47)
    with pytest.raises(EngineError, match="no usable NVIDIA GPU"):
        load(plant)
    del engine
    gc.collect()
    assert not cuda.lives, "a lost GPU leaves nothing behind in the process"


def test_the_kernels_are_compiled_at_the_first_start_only(plant: Path, library: FakeTensorRt, tmp_path: Path) -> None:
    load(plant)
    load(plant)
    assert library.compiled == 2, "nothing is kept without a folder"
    for _ in range(3):
        load(plant, cache=tmp_path / "cache")
    assert library.compiled == 3
    (file,) = (tmp_path / "cache").iterdir()
    for spoilt in (file.read_bytes()[:-1] + b"x", b""):
        file.write_bytes(spoilt)
        with capture_logs() as logs:
            load(plant, cache=tmp_path / "cache")
        assert "damaged" in logs[0]["reason"]
    assert library.compiled == 5
    load(plant, cache=tmp_path / "cache")
    assert library.compiled == 5


def test_kernels_of_another_gpu_are_compiled_again(plant: Path, library: FakeTensorRt, tmp_path: Path) -> None:
    from inspectd.inference import kept

    load(plant, cache=tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    kept.keep(file, b"of another GPU")
    with capture_logs() as logs:
        load(plant, cache=tmp_path / "cache")
    assert logs[0]["reason"] == "TensorRT says that it is for another GPU, driver or version"
    assert library.compiled == 2
    assert kept.find(file) == b"kernels"


def test_a_graph_that_cannot_be_recorded_is_done_without(plant: Path, cuda: FakeCuda) -> None:
    cuda.can_record = False
    with capture_logs() as logs:
        engine = load(plant, cuda_graph=True)
    assert [line["event"] for line in logs] == ["inference.cuda_graph: the line goes on without it"]
    np.testing.assert_allclose(inferred(engine, 47), expected(engine, 47), atol=1e-4)
    assert cuda.launched == 0


def test_the_graph_is_only_for_tensorrt() -> None:
    with pytest.raises(ValueError, match="cuda_graph needs backend 'tensorrt' or 'auto'"):
        InferenceConfig(backend="openvino", cuda_graph=True)


def functions_of(fake: type) -> Iterator[tuple[str, list[str]]]:
    for name, value in vars(fake).items():
        if inspect.isfunction(value) and not name.startswith("_"):
            yield name, list(inspect.signature(value).parameters)[1:]


def test_the_fake_runtime_is_called_like_the_real_one() -> None:
    functions = dict(functions_of(FakeCuda))
    assert len(functions) > 20
    for name, parameters in functions.items():
        assert parameters == list(inspect.signature(getattr(real, name)).parameters), name


def test_the_fake_tensorrt_has_what_the_real_one_has() -> None:
    library = pytest.importorskip("tensorrt_rtx")
    assert callable(library.nptype)
    assert {"INPUT", "OUTPUT"} <= set(library.TensorIOMode.__members__)
    assert hasattr(library.Logger, "ERROR")
    for fake in (
        fake_gpu.Runtime,
        fake_gpu.ICudaEngine,
        fake_gpu.IRuntimeConfig,
        fake_gpu.IRuntimeCache,
        fake_gpu.IExecutionContext,
    ):
        for name, parameters in functions_of(fake):
            documented = getattr(getattr(library, fake.__name__), name).__doc__
            for parameter in parameters:
                assert f"{parameter}: " in documented, f"{fake.__name__}.{name}({parameter})"
    assert hasattr(library.ICudaEngine, "num_io_tensors")


def test_without_a_gpu_the_real_runtime_says_why() -> None:
    if real.cudaGetDeviceCount()[0] == Error.cudaSuccess:
        pytest.skip("there is a GPU")
    with pytest.raises(NoGpuError, match=r"no usable NVIDIA GPU \(cudaError\w+, .*\); see what nvidia-smi says"):
        module.describe()
    with pytest.raises(EngineLost, match=r"cudaStreamCreateWithFlags: cudaError"):
        module.Lane(TensorType("uint8", (1, 1, 2, 2)), TensorType("float32", (1, 2)))
