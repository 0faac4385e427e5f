"""TensorRT, or TensorRT for RTX, on an NVIDIA GPU.

Not tested on a GPU so far: it was written for TensorRT for RTX 1.7 on machines without one. At each load, the golden images check
the results of the GPU.
"""

import importlib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog
from numpy.typing import NDArray

from inspectd.errors import EngineError, InferenceError
from inspectd.inference import kept
from inspectd.inference.base import InferenceConfig, TensorType
from inspectd.inference.bundle import Bundle

if TYPE_CHECKING:
    from inspectd.inference.gpu import Lane

log = structlog.get_logger()


def load(bundle: Bundle, config: InferenceConfig) -> "TensorRt":
    """Load the first plan that this GPU can run. A plan is for some kinds of GPU, one library and one precision.

    INT8 plans are used only for precision int8. Raises EngineError, NoGpuError if no GPU is found now, EngineLost if the GPU fails for good.
    """
    wanted = config.precision == "int8"
    plans = [
        file for file in bundle.manifest.files if file.backend == "tensorrt" and (file.precision == "int8") == wanted
    ]
    if not plans:
        kind = "INT8" if wanted else "FP16"
        raise EngineError(
            f"{bundle.folder}: has no tensorrt plan in {kind}; build one on a machine with the same kind of GPU"
        )
    libraries = _libraries()
    gpu = _gpu().describe()
    for plan in plans:
        data = bundle.read(plan)
        for library in libraries:
            runtime = library.Runtime(library.Logger(library.Logger.ERROR))
            engine = runtime.deserialize_cuda_engine(data)
            if engine is not None:
                cache = None if config.cache is None or config.signed_by is not None else config.cache
                made_from = (gpu.encode(), library.__version__.encode(), data)
                path = cache and kept.place(cache, "tensorrt", *made_from)
                return TensorRt(library, runtime, engine, path, config.cuda_graph)
    paths = ", ".join(plan.path for plan in plans)
    versions = ", ".join(f"{library.__name__} {library.__version__}" for library in libraries)
    raise EngineError(
        f"{bundle.folder}: its plans are for another GPU or library: {versions} on {gpu} can't load {paths}; build a plan on this machine"
    )


class TensorRt:
    """One execution context and one stream. Input and output have a page-locked buffer on the host and one on the GPU."""

    def __init__(self, library: ModuleType, runtime: Any, engine: Any, cache: Path | None, cuda_graph: bool) -> None:
        """`cache`: file for the kernels that TensorRT for RTX compiles. Raises EngineError, InferenceError or EngineLost."""
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        modes = {name: engine.get_tensor_mode(name) for name in names}
        input_names = [name for name in names if modes[name] == library.TensorIOMode.INPUT]
        output_names = [name for name in names if modes[name] == library.TensorIOMode.OUTPUT]
        self.inputs = [_tensor_type(library, engine, name) for name in input_names]
        self.outputs = [_tensor_type(library, engine, name) for name in output_names]
        if len(input_names) != 1 or len(output_names) != 1:
            raise EngineError(f"a plan must have one input and one output, but has {input_names} and {output_names}")
        self._gpu = _gpu()
        self._lane: Lane = self._gpu.Lane(self.inputs[0], self.outputs[0])
        compiled = None if cache is None or library.__name__ != "tensorrt_rtx" else _Compiled(engine, cache)
        execution = engine.create_execution_context(*([] if compiled is None else [compiled.config]))
        if execution is None:
            raise EngineError(
                "TensorRT gives no execution context; its log says why, such as too little memory on the GPU"
            )
        self._objects = self._lane.keep(runtime, engine, compiled, execution)
        shape = self.inputs[0].shape
        self._check(execution.set_input_shape(input_names[0], shape), f"does not take the shape {shape}")
        for name, address in ((input_names[0], self._lane.input_address), (output_names[0], self._lane.output_address)):
            self._check(execution.set_tensor_address(name, address), f"does not take the buffer for {name}")
        self.infer(np.zeros(shape, np.uint8))  # compiles what is not compiled yet
        if compiled is not None:
            compiled.keep()
        if cuda_graph:
            self._record()

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        self._lane.input[:] = batch
        self._lane.run(self._execute)
        self._lane.wait()
        scores: NDArray[np.float32] = self._lane.output.copy()
        return scores

    def warm(self, batch: NDArray[np.uint8]) -> None:
        """Returns before its end. An `infer` that follows at once waits on the GPU for this one inference."""
        if self._lane.is_idle():
            self._lane.input[:] = batch
            self._lane.run(self._execute)

    def _execute(self) -> None:
        stream = int(self._lane.stream)
        self._check(self._objects[-1].execute_async_v3(stream), "could not start the plan")

    def _record(self) -> None:
        try:
            self._lane.record(self._execute)
        except InferenceError as error:
            log.warning("inference.cuda_graph: the line goes on without it", reason=str(error))

    def _check(self, succeeded: bool, what: str) -> None:
        self._gpu.check(succeeded, lambda: f"TensorRT {what}")


class _Compiled:
    """The kernels that TensorRT for RTX compiles for this GPU at each start, kept in a file for the next one."""

    def __init__(self, engine: Any, path: Path) -> None:
        self._path = path
        self.config = engine.create_runtime_config()
        self._cache = self.config.create_runtime_cache()
        data = kept.find(path)
        self._is_new = data is None or not self._cache.deserialize(data)
        if data is not None and self._is_new:
            kept.refuse(path, "TensorRT says that it is for another GPU, driver or version")
        if not self.config.set_runtime_cache(self._cache):
            log.warning("TensorRT does not take the cache of kernels, so each start compiles them", file=str(path))

    def keep(self) -> None:
        if self._is_new:
            kept.keep(self._path, bytes(self._cache.serialize()))


def _libraries() -> list[ModuleType]:
    """The installed libraries. Each reads only its own plans. Raises EngineError if there is none."""
    found = []
    for name in ("tensorrt", "tensorrt_rtx"):
        try:
            found.append(importlib.import_module(name))
        except ImportError:
            continue
    if not found:
        raise EngineError("tensorrt: not installed; pip install 'inspectd[tensorrt]' or 'inspectd[tensorrt-rtx]'")
    return found


def _gpu() -> ModuleType:
    """`inspectd.inference.gpu`. Raises EngineError if what it needs is not installed."""
    try:
        return importlib.import_module("inspectd.inference.gpu")
    except ImportError as error:
        raise EngineError(f"tensorrt: cuda-bindings can't be imported ({error}); pip install cuda-bindings") from error


def _tensor_type(library: ModuleType, engine: Any, name: str) -> TensorType:
    shape = tuple(engine.get_tensor_shape(name))
    if shape[:1] == (-1,):
        shape = (1, *shape[1:])
    return TensorType(np.dtype(library.nptype(engine.get_tensor_dtype(name))).name, shape)
