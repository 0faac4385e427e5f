"""TensorRT, or TensorRT for RTX, on an NVIDIA GPU.

Not run so far: written against TensorRT for RTX 1.7 and pycuda 2026.1 on machines without a GPU. At each load the
golden images decide whether a GPU's answers may be used.
"""

import importlib
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspectd.errors import EngineError, InferenceError
from inspectd.inference.base import InferenceConfig, TensorType
from inspectd.inference.bundle import Bundle


def load(bundle: Bundle, config: InferenceConfig) -> "TensorRt":
    """Takes the first plan that this GPU can run: a plan fixes GPU, library version and precision. In INT8 for int8 alone."""
    wanted = config.precision == "int8"
    plans = [
        file for file in bundle.manifest.files if file.backend == "tensorrt" and (file.precision == "int8") == wanted
    ]
    if not plans:
        kind = "INT8" if wanted else "FP16"
        raise EngineError(f"{bundle.folder}: has no tensorrt plan in {kind}; build one on this machine's kind of GPU")
    libraries = _libraries()
    cuda, context = _gpu()
    context.push()
    try:
        for plan in plans:
            data = bundle.read(plan)
            for library in libraries:
                runtime = library.Runtime(library.Logger(library.Logger.ERROR))
                engine = runtime.deserialize_cuda_engine(data)
                if engine is not None:
                    return TensorRt(library, runtime, engine, cuda, context)
    finally:
        cuda.Context.pop()
    paths = ", ".join(plan.path for plan in plans)
    versions = ", ".join(f"{library.__name__} {library.__version__}" for library in libraries)
    gpu = cuda.Device(0)
    capability = ".".join(map(str, gpu.compute_capability()))
    raise EngineError(
        f"{bundle.folder}: built for another GPU or library: {versions} on {gpu.name()} (compute capability {capability}) "
        f"takes none of {paths}; build one here"
    )


class TensorRt:
    """One execution context and one stream; page-locked buffers on the host, one of each on the GPU."""

    def __init__(self, library: ModuleType, runtime: Any, engine: Any, cuda: ModuleType, context: Any) -> None:
        """`context` is current. Every part of the chain runtime - engine - execution must outlive the next."""
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        modes = {name: engine.get_tensor_mode(name) for name in names}
        input_names = [name for name in names if modes[name] == library.TensorIOMode.INPUT]
        output_names = [name for name in names if modes[name] == library.TensorIOMode.OUTPUT]
        self.inputs = [_tensor_type(library, engine, name) for name in input_names]
        self.outputs = [_tensor_type(library, engine, name) for name in output_names]
        if len(input_names) != 1 or len(output_names) != 1:
            raise EngineError(f"a plan needs one input and one output, has {input_names} and {output_names}")
        self._runtime, self._engine = runtime, engine
        self._cuda, self._context = cuda, context
        self._execution = engine.create_execution_context()
        self._execution.set_input_shape(input_names[0], self.inputs[0].shape)
        self._stream = cuda.Stream()
        self._host_input = cuda.pagelocked_empty(self.inputs[0].shape, self.inputs[0].dtype)
        self._host_output = cuda.pagelocked_empty(self.outputs[0].shape, self.outputs[0].dtype)
        self._device_input = cuda.mem_alloc(self._host_input.nbytes)
        self._device_output = cuda.mem_alloc(self._host_output.nbytes)
        self._execution.set_tensor_address(input_names[0], int(self._device_input))
        self._execution.set_tensor_address(output_names[0], int(self._device_output))

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        self._context.push()  # loaded in one thread, used in another
        try:
            self._host_input[:] = batch
            self._cuda.memcpy_htod_async(self._device_input, self._host_input, self._stream)
            if not self._execution.execute_async_v3(self._stream.handle):
                raise InferenceError("TensorRT could not start the plan")
            self._cuda.memcpy_dtoh_async(self._host_output, self._device_output, self._stream)
            self._stream.synchronize()
        finally:
            self._cuda.Context.pop()
        scores: NDArray[np.float32] = self._host_output.copy()
        return scores

    def warm(self, batch: NDArray[np.uint8]) -> None:
        self.infer(batch)


def _libraries() -> list[ModuleType]:
    """Both read only their own plans; a machine may have either or both."""
    found = []
    for name in ("tensorrt", "tensorrt_rtx"):
        try:
            found.append(importlib.import_module(name))
        except ImportError:
            continue
    if not found:
        raise EngineError("tensorrt: not installed; pip install 'inspectd[tensorrt]' or 'inspectd[tensorrt-rtx]'")
    return found


def _gpu() -> tuple[ModuleType, Any]:
    """pycuda's driver module and the first GPU's primary context."""
    try:
        cuda = importlib.import_module("pycuda.driver")
    except ImportError as error:
        raise EngineError(
            f"tensorrt: pycuda can't be imported ({error}); pip install pycuda where the CUDA toolkit and driver are"
        ) from error
    try:
        cuda.init()
        return cuda, cuda.Device(0).retain_primary_context()
    except cuda.Error as error:
        raise EngineError(f"tensorrt: no usable NVIDIA GPU ({error}); see what nvidia-smi says") from error


def _tensor_type(library: ModuleType, engine: Any, name: str) -> TensorType:
    shape = tuple(engine.get_tensor_shape(name))
    if shape[:1] == (-1,):
        shape = (1, *shape[1:])
    return TensorType(np.dtype(library.nptype(engine.get_tensor_dtype(name))).name, shape)
