"""The CUDA runtime, as far as a backend needs it: a stream, memory that the GPU can copy while the CPU goes on, and its errors.

It is called through NVIDIA's `cuda-bindings` and not through pycuda. pycuda has no wheels, frees memory only in the thread that took
it, and can't be imported without a driver, so no test could see whether its functions are called as they are. The first GPU is used,
in every thread.

Some errors stay: after an illegal access or a lost GPU, each further call of the process fails. Such an error is an EngineLost;
after any other one, the next inference may succeed.
"""

import ctypes
import math
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
from cuda.bindings import runtime
from numpy.typing import NDArray

from inspectd.errors import EngineLost, InferenceError, NoGpuError
from inspectd.inference.base import TensorType

_SUCCESS, _NOT_READY = runtime.cudaError_t.cudaSuccess, runtime.cudaError_t.cudaErrorNotReady


def describe() -> str:
    """Name and compute capability of the first GPU, and the version of its driver. Raises NoGpuError if there is none."""
    error, count = runtime.cudaGetDeviceCount()
    if error != _SUCCESS or not count:
        raise NoGpuError(f"tensorrt: no usable NVIDIA GPU ({_text(error)}); see what nvidia-smi says")
    card, driver = call(runtime.cudaGetDeviceProperties, 0), call(runtime.cudaDriverGetVersion)
    return f"{card.name.decode()} (compute capability {card.major}.{card.minor}, driver for CUDA {driver // 1000}.{driver % 1000 // 10})"


def free_bytes() -> int:
    """Memory of the GPU that no program uses."""
    free: int = call(runtime.cudaMemGetInfo)[0]
    return free


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function of the runtime returns beside its error. Raises InferenceError or EngineLost."""
    error, *found = function(*arguments)
    check(error == _SUCCESS, lambda: f"{function.__name__}: {_text(error)}")
    return found[0] if len(found) == 1 else found


def check(succeeded: bool, what: Callable[[], str]) -> None:
    """Raises InferenceError, or EngineLost if the GPU does not answer any more, that says `what` failed."""
    if succeeded:
        return
    words = what()
    runtime.cudaGetLastError()  # an error that does not stay is forgotten by this
    (lasting,) = runtime.cudaDeviceSynchronize()
    if lasting == _SUCCESS:
        raise InferenceError(words)
    raise EngineLost(f"{words}; the GPU does not answer any more in this process: {_text(lasting)}")


class Lane:
    """A stream, and the buffers of one input and one output. It is freed when nobody refers to it, in whichever thread that is."""

    def __init__(self, given: TensorType, found: TensorType) -> None:
        held = ExitStack()
        # not at the end of the process: a GPU that hangs must not keep the process, and the driver then frees everything
        weakref.finalize(self, held.close).atexit = False
        self._held = held
        self.stream = self._made(
            runtime.cudaStreamCreateWithFlags, runtime.cudaStreamDestroy, runtime.cudaStreamNonBlocking
        )
        # the thread sleeps until the GPU is done: a thread that spins would take a core from camera and journal
        flags = runtime.cudaEventBlockingSync | runtime.cudaEventDisableTiming
        self._done = self._made(runtime.cudaEventCreateWithFlags, runtime.cudaEventDestroy, flags)
        self.input, self.input_address = self._buffers(given)
        self.output, self.output_address = self._buffers(found)
        self._graph: Any = None

    def keep(self, *objects: Any) -> list[Any]:
        """The same objects, which the lane lets go of, the last first, as soon as the stream is idle and before its memory is freed."""
        kept = list(objects)
        self._held.callback(kept.clear)
        self._held.callback(runtime.cudaStreamSynchronize, self.stream)
        return kept

    def run(self, execute: Callable[[], None]) -> None:
        """Start a copy of `input` to the GPU, what `execute` starts there, and a copy of its result to `output`."""
        if self._graph is None:
            self._start(execute)
        else:
            call(runtime.cudaGraphLaunch, self._graph, self.stream)
        call(runtime.cudaEventRecord, self._done, self.stream)

    def wait(self) -> None:
        """Sleep until everything that was started is done."""
        call(runtime.cudaEventSynchronize, self._done)

    def is_idle(self) -> bool:
        (error,) = runtime.cudaEventQuery(self._done)
        check(error in (_SUCCESS, _NOT_READY), lambda: f"cudaEventQuery: {_text(error)}")
        return bool(error == _SUCCESS)

    def record(self, execute: Callable[[], None]) -> None:
        """From now on, `run` starts the same as one graph. Raises InferenceError if it can't be recorded; then nothing changes."""
        call(
            runtime.cudaStreamBeginCapture, self.stream, runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        )
        try:
            self._start(execute)
        except (InferenceError, EngineLost) as error:
            runtime.cudaStreamEndCapture(self.stream)
            call(runtime.cudaDeviceSynchronize)  # while recording, this fails on a GPU that is well too
            raise InferenceError(f"the CUDA graph can't be recorded: {error}") from error
        graph = call(runtime.cudaStreamEndCapture, self.stream)
        self._held.callback(runtime.cudaGraphDestroy, graph)
        recorded = call(runtime.cudaGraphInstantiate, graph, 0)
        self._held.callback(runtime.cudaGraphExecDestroy, recorded)
        self._held.callback(runtime.cudaStreamSynchronize, self.stream)
        self._graph = recorded

    def _start(self, execute: Callable[[], None]) -> None:
        to_gpu, to_host = (
            runtime.cudaMemcpyKind.cudaMemcpyHostToDevice,
            runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost,
        )
        copy, given, found = runtime.cudaMemcpyAsync, self.input, self.output
        call(copy, self.input_address, given.ctypes.data, given.nbytes, to_gpu, self.stream)
        execute()
        call(copy, found.ctypes.data, self.output_address, found.nbytes, to_host, self.stream)

    def _buffers(self, tensor: TensorType) -> tuple[NDArray[Any], int]:
        """A page-locked array on the host, and the address of its copy on the GPU."""
        dtype = np.dtype(tensor.dtype)
        size = math.prod(tensor.shape) * dtype.itemsize
        on_host: int = self._made(runtime.cudaMallocHost, runtime.cudaFreeHost, size)
        on_gpu: int = self._made(runtime.cudaMalloc, runtime.cudaFree, size)
        memory = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(int(on_host)))
        return memory.view(dtype).reshape(tensor.shape), int(on_gpu)

    def _made(self, make: Callable[..., Any], free: Callable[..., Any], *arguments: Any) -> Any:
        made = call(make, *arguments)
        self._held.callback(free, made)
        return made


def _text(error: Any) -> str:
    return f"{error.name}, {runtime.cudaGetErrorString(error)[1].decode()}"
