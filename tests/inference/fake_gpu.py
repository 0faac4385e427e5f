"""A GPU, CUDA's runtime and TensorRT for RTX that exist only in this process, for machines without a GPU.

Work is queued on a stream and done when somebody waits for it. Memory is counted. A plan is an ONNX model, which ONNX Runtime computes.
Every function has the name and the parameters of the real one; `test_gpu.py` compares them with the installed libraries.
"""

import ctypes
import threading
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
from cuda.bindings import runtime as real

Error = real.cudaError_t
OK = Error.cudaSuccess


class Stream:
    def __init__(self) -> None:
        self.queued: list[Callable[[], Any]] = []
        self.recording: list[Callable[[], Any]] | None = None

    def add(self, work: Callable[[], Any]) -> None:
        (self.queued if self.recording is None else self.recording).append(work)

    def finish(self) -> None:
        while self.queued:
            self.queued.pop(0)()

    def __int__(self) -> int:
        return id(self)


class FakeCuda(ModuleType):
    """In place of `cuda.bindings.runtime`."""

    cudaError_t = Error
    cudaMemcpyKind = real.cudaMemcpyKind
    cudaStreamCaptureMode = real.cudaStreamCaptureMode
    cudaStreamNonBlocking = real.cudaStreamNonBlocking
    cudaEventBlockingSync = real.cudaEventBlockingSync
    cudaEventDisableTiming = real.cudaEventDisableTiming
    cudaGetErrorString = staticmethod(real.cudaGetErrorString)

    def __init__(self) -> None:
        super().__init__("fake")
        self.lives: dict[int, Any] = {}
        """What was taken and not given back."""
        self.freed_in: set[str] = set()
        """Names of the threads that gave something back."""
        self.streams: dict[int, Stream] = {}
        self.fails: dict[str, Any] = {}
        """Function -> error of its next call."""
        self.lasting: Any = None
        """Error of every call from now on."""
        self.can_record = True
        self.launched = 0
        """Graphs that were started."""

    def _answer(self, name: str, *found: Any) -> tuple[Any, ...]:
        if self.lasting is not None:
            return (self.lasting, *(None for _ in found))
        error = self.fails.pop(name, OK)
        return (error, *(found if error == OK else (None for _ in found)))

    def _take(self, name: str, key: int, value: Any, handle: Any) -> tuple[Any, ...]:
        answer = self._answer(name, handle)
        if answer[0] == OK:
            self.lives[key] = value
        return answer

    def _give_back(self, key: int) -> tuple[Any, ...]:
        self.freed_in.add(threading.current_thread().name)
        del self.lives[key]
        return (self.lasting or OK,)

    def cudaGetDeviceCount(self) -> Any:
        return self._answer("cudaGetDeviceCount", 1)

    def cudaGetDeviceProperties(self, device: int) -> Any:
        return self._answer("", SimpleNamespace(name=b"Fake GPU", major=8, minor=9))

    def cudaDriverGetVersion(self) -> Any:
        return self._answer("", 13000)

    def cudaMemGetInfo(self) -> Any:
        return self._answer("", 1 << 30, 1 << 31)

    def cudaGetLastError(self) -> Any:
        return (self.lasting or OK,)

    def cudaDeviceSynchronize(self) -> Any:
        return self._answer("")

    def cudaMalloc(self, size: int) -> Any:
        buffer = ctypes.create_string_buffer(size)
        return self._take("cudaMalloc", ctypes.addressof(buffer), buffer, ctypes.addressof(buffer))

    cudaMallocHost = cudaMalloc

    def cudaFree(self, devPtr: int) -> Any:
        return self._give_back(devPtr)

    def cudaFreeHost(self, ptr: int) -> Any:
        return self._give_back(ptr)

    def cudaStreamCreateWithFlags(self, flags: int) -> Any:
        stream = Stream()
        self.streams[id(stream)] = stream
        return self._take("", id(stream), stream, stream)

    def cudaStreamDestroy(self, stream: Stream) -> Any:
        assert not stream.queued
        return self._give_back(id(stream))

    def cudaStreamSynchronize(self, stream: Stream) -> Any:
        stream.finish()
        return self._answer("cudaStreamSynchronize")

    def cudaEventCreateWithFlags(self, flags: int) -> Any:
        assert flags == real.cudaEventBlockingSync | real.cudaEventDisableTiming
        event = SimpleNamespace(stream=None)
        return self._take("", id(event), event, event)

    def cudaEventDestroy(self, event: Any) -> Any:
        return self._give_back(id(event))

    def cudaEventRecord(self, event: Any, stream: Stream) -> Any:
        event.stream = stream
        return self._answer("cudaEventRecord")

    def cudaEventSynchronize(self, event: Any) -> Any:
        event.stream.finish()
        return self._answer("cudaEventSynchronize")

    def cudaEventQuery(self, event: Any) -> Any:
        if self.lasting is None and event.stream.queued:
            return (Error.cudaErrorNotReady,)
        return self._answer("cudaEventQuery")

    def cudaMemcpyAsync(self, dst: int, src: int, count: int, kind: Any, stream: Stream) -> Any:
        stream.add(lambda: ctypes.memmove(dst, src, count))
        return self._answer("cudaMemcpyAsync")

    def cudaStreamBeginCapture(self, stream: Stream, mode: Any) -> Any:
        stream.recording = []
        return self._answer("")

    def cudaStreamEndCapture(self, stream: Stream) -> Any:
        graph, stream.recording = stream.recording, None
        if not self.can_record:
            return (Error.cudaErrorStreamCaptureInvalidated, None)
        return self._take("", id(graph), graph, graph)

    def cudaGraphDestroy(self, graph: Any) -> Any:
        return self._give_back(id(graph))

    def cudaGraphInstantiate(self, graph: Any, flags: int) -> Any:
        recorded = list(graph)
        return self._take("", id(recorded), recorded, recorded)

    def cudaGraphExecDestroy(self, graphExec: Any) -> Any:
        return self._give_back(id(graphExec))

    def cudaGraphLaunch(self, graphExec: Any, stream: Stream) -> Any:
        self.launched += 1
        stream.queued += graphExec
        return self._answer("cudaGraphLaunch")


class FakeTensorRt(ModuleType):
    """In place of `tensorrt_rtx`."""

    __version__ = "1.7"
    TensorIOMode = SimpleNamespace(INPUT=0, OUTPUT=1)
    nptype = staticmethod(np.dtype)

    class Logger:
        ERROR = 1

        def __init__(self, min_severity: int) -> None:
            pass

    def __init__(self, cuda: FakeCuda) -> None:
        super().__init__("tensorrt_rtx")
        self.cuda = cuda
        self.alive: list[str] = []
        """Kinds of the objects that somebody still holds."""
        self.refuses: set[str] = set()
        """Functions that return False, or None in place of an object."""
        self.gives_zeros = False
        self.compiled = 0
        """Kernels that had to be compiled."""
        self.Runtime = lambda logger: Runtime(self)


class _Counted:
    def __init__(self, library: FakeTensorRt) -> None:
        self._library = library
        library.alive.append(type(self).__name__)

    def __del__(self) -> None:
        self._library.alive.remove(type(self).__name__)

    def _accepts(self, name: str) -> bool:
        return name not in self._library.refuses


class Runtime(_Counted):
    def deserialize_cuda_engine(self, serialized_engine: bytes) -> "ICudaEngine | None":
        try:
            return ICudaEngine(self._library, onnxruntime.InferenceSession(serialized_engine))
        except Exception:
            return None


class ICudaEngine(_Counted):
    def __init__(self, library: FakeTensorRt, session: Any) -> None:
        super().__init__(library)
        self.session = session
        self._tensors = {"in": session.get_inputs()[0], "out": session.get_outputs()[0]}
        self.num_io_tensors = 2

    def get_tensor_name(self, index: int) -> str:
        return list(self._tensors)[index]

    def get_tensor_mode(self, name: str) -> int:
        return 0 if name == "in" else 1

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (-1, *self._tensors[name].shape[1:])

    def get_tensor_dtype(self, name: str) -> str:
        return "uint8" if name == "in" else "float32"

    def create_runtime_config(self) -> "IRuntimeConfig":
        return IRuntimeConfig(self._library)

    def create_execution_context(self, runtime_config: "IRuntimeConfig | None" = None) -> "IExecutionContext | None":
        if not self._accepts("create_execution_context"):
            return None
        cache = runtime_config and runtime_config.cache
        if cache is None or not cache.content:
            self._library.compiled += 1
        if cache is not None:
            cache.content = b"kernels"
        return IExecutionContext(self._library, self.session)


class IRuntimeConfig(_Counted):
    cache: "IRuntimeCache | None" = None

    def create_runtime_cache(self) -> "IRuntimeCache":
        return IRuntimeCache(self._library)

    def set_runtime_cache(self, cache: "IRuntimeCache") -> bool:
        self.cache = cache
        return self._accepts("set_runtime_cache")


class IRuntimeCache(_Counted):
    content = b""

    def deserialize(self, blob: bytes) -> bool:
        if blob != b"kernels":
            return False
        self.content = blob
        return True

    def serialize(self) -> bytes:
        return self.content


class IExecutionContext(_Counted):
    def __init__(self, library: FakeTensorRt, session: Any) -> None:
        super().__init__(library)
        self._session = session
        self._addresses: dict[str, int] = {}
        self._shape: tuple[int, ...] = ()

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shape = shape
        return self._accepts("set_input_shape")

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return self._accepts("set_tensor_address")

    def execute_async_v3(self, stream_handle: int) -> bool:
        self._library.cuda.streams[stream_handle].add(self._compute)
        return self._accepts("execute_async_v3")

    def _compute(self) -> None:
        given = np.frombuffer(ctypes.string_at(self._addresses["in"], int(np.prod(self._shape))), np.uint8)
        name = self._session.get_inputs()[0].name
        (scores,) = self._session.run(None, {name: given.reshape(self._shape)})
        if self._library.gives_zeros:
            scores = np.zeros_like(scores)
        ctypes.memmove(self._addresses["out"], scores.astype(np.float32).tobytes(), scores.size * 4)
