"""Engines on the GPU: what TensorRT computes and how fast, and what 200 swaps leave behind."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from inspectd.errors import EngineError, InspectdError
from inspectd.inference import InferenceConfig, load_bundle, load_engine
from inspectd.inference.base import Backend, TensorType
from inspectd.shipped import shipped
from inspectd_tools.benchmarks.daemon import rss_mb
from inspectd_tools.benchmarks.gpu.plan import Place
from inspectd_tools.benchmarks.runtimes import settled
from inspectd_tools.data.images import load_images
from inspectd_tools.deploy.export import write_model_files
from inspectd_tools.deploy.onnx_graph import in_half_precision, in_int8
from inspectd_tools.deploy.tensorrt import build_plan, copy_with_plan
from inspectd_tools.device import resolve
from inspectd_tools.metrics.timing import Latency, interleaved
from inspectd_tools.networks.exported import ExportedClassifier, exported
from inspectd_tools.networks.predict import Network, predict
from inspectd_tools.networks.pretrained import TORCHVISION_NAMES
from inspectd_tools.settings import load_settings
from inspectd_tools.synthetic.render.dataset import mixed_stream, write

_IMAGES, _RUNS = 500, 300
_SWAPS, _SETTLED = 200, 20
_CALIBRATION = 32


def parity(place: Place) -> Iterator[dict[str, Any]]:
    """Each backbone with random weights and a DUQ head, on rendered labels of 224 px; the shipped engine on its golden images."""
    device = resolve(place.device)
    yield {"shipped engine": _golden(place)}
    rows: list[dict[str, Any]] = []
    pixels: NDArray[np.uint8] | None = None
    for backbone in list(TORCHVISION_NAMES)[: 1 if place.quick else None]:
        size = ["input.width=224", "input.height=224"]
        settings = load_settings("filter-label", [f"model={backbone}", "pretrained=false", *size])
        if pixels is None:
            pixels = _labels(place.out / "labels", settings.input, 8 if place.quick else _IMAGES)
        classifier = settled(settings, torch.from_numpy(pixels[:_CALIBRATION]))
        model = exported(classifier, settings.input)
        folder = place.out / "networks" / backbone
        write_model_files(model, settings.input, folder)
        for row in _compared(_runtimes(model, folder, pixels, device), pixels, 10 if place.quick else _RUNS):
            rows.append({"backbone": backbone, **row})
            yield {"engines": rows}


def swaps(place: Place) -> Iterator[dict[str, Any]]:
    """Load and drop engines in threads, as reloads do. The first ones are not counted: libraries grow at first."""
    engine, backend = engine_for(place)
    count, settled_after = (6, 2) if place.quick else (_SWAPS, _SETTLED)
    held: list[Any] = []
    before: dict[str, float] = {}
    for number in range(1, count + 1):
        thread = threading.Thread(
            target=lambda: held.append(load_engine(load_bundle(engine), InferenceConfig(backend=backend)))
        )
        thread.start()
        thread.join()
        del held[:-1]
        now = _memory_mb(backend)
        before = now if number == settled_after else before
        grown = {f"{name} MB more": now[name] - before[name] for name in before}
        yield {
            "backend": backend,
            "swaps": number - settled_after,
            **{f"{name} MB": value for name, value in now.items()},
            **grown,
        }
    if not held:
        raise SystemExit("no engine was loaded; see above")


def engine_for(place: Place) -> "tuple[Path, Any]":
    """The shipped engine, with a plan if this GPU can use one, and the backend that runs it."""
    engine = shipped("engines/filter-label")
    if resolve(place.device).type == "cpu":
        return engine, "auto"
    copy = place.out / "engine"
    if not copy.exists():
        copy_with_plan(engine, copy)
    try:
        load_engine(load_bundle(copy), InferenceConfig(backend="tensorrt"))
    except EngineError as error:
        print(f"TensorRT can't be used: {error}")
        return engine, "auto"
    return copy, "tensorrt"


def _golden(place: Place) -> str:
    try:
        engine, backend = engine_for(place)
        loaded = load_engine(load_bundle(engine), InferenceConfig(backend=backend))
    except InspectdError as error:
        return f"refused: {error}"
    return f"{loaded.backend_name} {loaded.precision}: the golden images agree; p50 {loaded.median_ms:.2f} ms, p99 {loaded.service_ms:.2f} ms with the guard"


def _labels(folder: Path, spec: Any, count: int) -> NDArray[np.uint8]:
    orders = mixed_stream(count, 0.05, seed=7)
    files = [folder / order.file for order in write(orders, folder, masks=False, workers=4)]
    return load_images([(path, 0) for path in sorted(files)], spec).pixels


def _runtimes(
    model: ExportedClassifier, folder: Path, pixels: NDArray[np.uint8], device: torch.device
) -> Iterator[tuple[str, Callable[[], Network]]]:
    """Name -> what makes the network; the first is the reference."""
    onnx = (folder / "model.onnx").read_bytes()
    yield "PyTorch fp32, CPU", lambda: _torch(model, torch.device("cpu"))
    yield f"PyTorch fp32, {device.type}", lambda: _torch(model, device)
    for graph in (False, True):
        suffix = ", CUDA graph" if graph else ""
        yield f"TensorRT FP16{suffix}", lambda graph=graph: _tensorrt(in_half_precision(onnx), graph)  # type: ignore[misc]
        yield f"TensorRT INT8{suffix}", lambda graph=graph: _tensorrt(in_int8(onnx, pixels[:_CALIBRATION]), graph)  # type: ignore[misc]
        yield f"PyTorch FP16 in the backend's buffers{suffix}", lambda graph=graph: _in_lane(model, device, graph)  # type: ignore[misc]


def _compared(
    made: Iterator[tuple[str, Callable[[], Network]]], pixels: NDArray[np.uint8], runs: int
) -> Iterator[dict[str, Any]]:
    reference: NDArray[np.float32] | None = None
    for name, make in made:
        try:
            network = make()
            scores = predict(network, pixels)
            (took_ms,) = interleaved({name: partial(network, pixels[:1])}, runs).values()
        except Exception as error:  # another runtime may still work; each has its own kinds of exceptions
            yield {"runtime": name, "refused": f"{type(error).__name__}: {str(error)[:300]}"}
            continue
        reference = scores if reference is None else reference
        latency = Latency.of(took_ms)
        moved, other = np.abs(scores - reference).max(), (scores.argmax(1) != reference.argmax(1)).mean()
        yield {
            "runtime": name,
            "p50 ms": latency.p50_ms,
            "p99 ms": latency.p99_ms,
            "largest difference of a score": float(moved),
            "other class": float(other),
            "images": len(pixels),
        }


def _torch(model: ExportedClassifier, device: torch.device) -> Network:
    model.to(device)

    @torch.inference_mode()
    def infer(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = model(torch.from_numpy(batch).to(device)).cpu().numpy()
        return scores

    return infer


def _tensorrt(graph: bytes, cuda_graph: bool) -> Network:
    """A plan in the backend of the line."""
    from inspectd.inference import tensorrt

    (library, *_) = [each for each in tensorrt._libraries() if each.__name__ == _builder()]
    runtime = library.Runtime(library.Logger(library.Logger.ERROR))
    engine = runtime.deserialize_cuda_engine(build_plan(graph).data)
    if engine is None:
        raise EngineError(
            f"{library.__name__} {library.__version__} does not load the plan on this GPU; its log says why"
        )
    backend: Backend = tensorrt.TensorRt(library, runtime, engine, None, cuda_graph)
    return backend.infer


def _builder() -> str:
    from inspectd_tools.deploy.tensorrt import _library

    return _library().__name__


def _in_lane(model: ExportedClassifier, device: torch.device, cuda_graph: bool) -> Network:
    """PyTorch in place of TensorRT, in the stream and the buffers of the backend: proves these where TensorRT refuses the GPU."""
    from inspectd.inference.gpu import Lane

    shape = (1, *model.scale.shape[1:2], 224, 224)
    classes = len(model(torch.zeros(shape, dtype=torch.uint8, device=model.scale.device))[0])
    lane = Lane(TensorType("uint8", shape), TensorType("float32", (1, classes)))
    network = model.to(device)
    given = _tensor_at(lane.input_address, shape, "|u1")
    found = _tensor_at(lane.output_address, (1, classes), "<f4")
    stream = torch.cuda.ExternalStream(int(lane.stream))

    @torch.inference_mode()
    def execute() -> None:
        with torch.cuda.stream(stream), torch.autocast("cuda", torch.float16):
            found.copy_(network(given))

    def infer(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        lane.input[:] = batch
        lane.run(execute)
        lane.wait()
        scores: NDArray[np.float32] = lane.output.copy()
        return scores

    infer(np.zeros(shape, np.uint8))
    if cuda_graph:
        lane.record(execute)
    return infer


def _tensor_at(address: int, shape: tuple[int, ...], kind: str) -> torch.Tensor:
    """Memory of the GPU as a tensor, which does not own it."""

    class Memory:
        __cuda_array_interface__ = {"shape": shape, "typestr": kind, "data": (address, False), "version": 3}  # noqa: RUF012

    return torch.as_tensor(Memory(), device="cuda")


def _memory_mb(backend: str) -> dict[str, float]:
    import os

    process = {"process": rss_mb(os.getpid())}
    if backend != "tensorrt":
        return process
    from inspectd.inference.gpu import free_bytes

    free, total = torch.cuda.mem_get_info()
    return process | {"GPU": (total - min(free, free_bytes())) / 1e6}
