"""TensorRT, or TensorRT for RTX, on an NVIDIA GPU.

Not tested on a GPU so far: it was written for TensorRT for RTX 1.7 and pycuda 2026.1 on machines without a GPU. At each load,
the golden images check the results of the GPU.
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
    """Load the first plan that this GPU can run. A plan is for one kind of GPU, one library version and one precision.

    INT8 plans are used only for precision int8. Raises EngineError.
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
        f"{bundle.folder}: its plans are for another GPU or library: {versions} on {gpu.name()} (compute capability {capability}) "
        f"can't load {paths}; build a plan on this machine"
    )


class TensorRt:
    """One execution context and one stream. Input and output have a page-locked buffer on the host and one on the GPU."""

    def __init__(self, library: ModuleType, runtime: Any, engine: Any, cuda: ModuleType, context: Any) -> None:
        """`context` must be current. The runtime must exist longer than the engine, and the engine longer than the execution."""
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        modes = {name: engine.get_tensor_mode(name) for name in names}
        input_names = [name for name in names if modes[name] == library.TensorIOMode.INPUT]
        output_names = [name for name in names if modes[name] == library.TensorIOMode.OUTPUT]
        self.inputs = [_tensor_type(library, engine, name) for name in input_names]
        self.outputs = [_tensor_type(library, engine, name) for name in output_names]
        if len(input_names) != 1 or len(output_names) != 1:
            raise EngineError(f"a plan must have one input and one output, but has {input_names} and {output_names}")
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
        self._context.push()  # one thread loads the plan, another uses it
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


def _gpu() -> tuple[ModuleType, Any]:
    """pycuda's driver module, and the primary context of the first GPU. Raises EngineError."""
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
