"""On a real GPU: memory and errors of the backend, TensorRT, and training."""

import gc
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from inspectd.errors import EngineError
from inspectd.inference import InferenceConfig, load_bundle, load_engine
from inspectd.inference.base import TensorType
from inspectd_tools.benchmarks.gpu.training import losses_of_first_steps
from tests.factories import GREY_OF_CLASS, edit_manifest, make_toy_bundle, toy_image, toy_scores

SIDE = (1, 1, 64, 64)


def lane() -> Any:
    from inspectd.inference.gpu import Lane

    return Lane(TensorType("uint8", SIDE), TensorType("uint8", SIDE))


@pytest.mark.parametrize("recorded", [False, True])
def test_what_goes_to_the_gpu_comes_back(recorded: bool) -> None:
    """A copy on the GPU in place of a network."""
    from cuda.bindings import runtime

    own = lane()

    def execute() -> None:
        kind = runtime.cudaMemcpyKind.cudaMemcpyDeviceToDevice
        found = runtime.cudaMemcpyAsync(own.output_address, own.input_address, own.input.nbytes, kind, own.stream)
        assert found == (runtime.cudaError_t.cudaSuccess,)

    if recorded:
        own.record(execute)
    for grey in range(50):
        own.input[:] = grey
        own.run(execute)
        own.wait()
        assert own.is_idle()
        assert (own.output == grey).all()


def test_memory_comes_back_from_every_lane() -> None:
    from inspectd.inference.gpu import free_bytes

    lane()
    gc.collect()
    before = free_bytes()
    for _ in range(200):
        lane()
    gc.collect()
    assert before - free_bytes() < 1 << 20


def test_an_illegal_access_is_an_engine_that_is_lost() -> None:
    """In another process, which is lost too."""
    program = """
        from inspectd.errors import EngineLost
        from inspectd.inference.base import TensorType
        from inspectd.inference.gpu import Lane
        from inspectd_tools.benchmarks.gpu.lost import write_to_nowhere

        lane = Lane(TensorType("uint8", (1, 4)), TensorType("uint8", (1, 4)))
        write_to_nowhere()
        for _ in range(2):
            try:
                lane.run(lambda: None)
                lane.wait()
            except EngineLost as error:
                print("lost", error)
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False
    )
    assert ended.stdout.count("lost") == 2, ended.stdout + ended.stderr


def test_scores_of_tensorrt_are_what_numpy_computes(tmp_path: Path) -> None:
    from inspectd_tools.deploy.tensorrt import build_plan

    folder = make_toy_bundle(tmp_path / "toy")
    (folder / "model.plan").write_bytes(build_plan((folder / "model.onnx").read_bytes()).data)
    listed = {"path": "model.plan", "sha256": "", "backend": "tensorrt", "precision": "fp16"}
    edit_manifest(folder, lambda values: values["files"].append(listed))
    edit_manifest(folder)
    for cuda_graph in (False, True):
        config = InferenceConfig(backend="tensorrt", cuda_graph=cuda_graph, cache=tmp_path / "cache")
        try:
            engine = load_engine(load_bundle(folder), config)
        except EngineError as error:
            pytest.skip(f"TensorRT does not take this GPU: {error}")
        for grey in (0, 47, 160, 195):
            image = toy_image(grey)
            expected = toy_scores(image, engine.manifest.input, list(GREY_OF_CLASS.values()))
            np.testing.assert_allclose(engine.infer(engine.preprocess(image)), expected, atol=0.01)


def test_a_training_has_the_losses_that_it_has_on_the_cpu() -> None:
    on_cpu, on_gpu = (losses_of_first_steps(torch.device(name), 10) for name in ("cpu", "cuda"))
    assert on_gpu == pytest.approx(on_cpu, rel=0.01)
