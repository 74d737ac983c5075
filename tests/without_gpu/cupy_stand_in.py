"""A stand-in for CuPy on a machine without a GPU: just what gpuopt/backends/cupy.py uses of it.

"Device" memory is the CPU's, kernels are compiled by g++ behind shim.h and run at once, and
everything that would cost time on a GPU is written down in `events`. Like CuPy's, an array here is
no NumPy array and does not turn into one by itself.
"""

import contextlib
import ctypes
import itertools
import sys
from collections import defaultdict
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from tests.without_gpu import host_compiler

DEVICES, MULTIPROCESSORS = 2, 3


class Event(NamedTuple):
    """kind: "compile", "allocate", "upload", "download", "peer copy", "wait" or "launch"; amount:
    bytes, or blocks of a launch. A launch that is captured happens when its graph is launched."""

    kind: str
    amount: int
    device: int
    stream: int


events: list[Event] = []


class Current:
    """The current device, and its current stream: every device has one of its own.

    backwards: whether a launch begins with its last block and thread, as on a GPU it may.
    """

    def __init__(self) -> None:
        self.device, self.streams = 0, defaultdict[int, int](int)
        self.backwards = False

    @property
    def stream(self) -> int:
        return self.streams[self.device]

    @stream.setter
    def stream(self, ptr: int) -> None:
        self.streams[self.device] = ptr


current = Current()
captures: dict[int, list[Any]] = {}  # by stream: what is to be done at a launch of its graph


def note(kind: str, amount: int) -> None:
    assert kind == "launch" or current.stream not in captures, f"{kind} while capturing"
    events.append(Event(kind, amount, current.device, current.stream))


class CUDARuntimeError(RuntimeError):
    pass


class Device:
    def __init__(self, id: int | None = None) -> None:
        self.id = current.device if id is None else id
        self.attributes = {
            "MultiProcessorCount": MULTIPROCESSORS,
            "MaxThreadsPerMultiProcessor": 1024,
            "MaxRegistersPerMultiprocessor": 65_536,
        }
        self.entered: list[int] = []

    def synchronize(self) -> None:
        note("wait", 0)

    def __enter__(self) -> "Device":
        self.entered.append(current.device)
        current.device = self.id
        return self

    def __exit__(self, *error: object) -> None:
        current.device = self.entered.pop()


class Stream:
    """`Stream(ptr)` for tests; CuPy's own streams get their numbers from CUDA."""

    side = itertools.count(1000)

    def __init__(self, ptr: int | None = None, non_blocking: bool = True) -> None:
        self.ptr = next(Stream.side) if ptr is None else ptr
        self.waited: list[int | None] = []

    def is_capturing(self) -> bool:
        return self.ptr in captures

    def begin_capture(self) -> None:
        assert self.ptr, "cannot capture on the default (legacy) stream"
        captures[self.ptr] = []

    def end_capture(self) -> "Graph":
        return Graph(captures.pop(self.ptr))

    def record(self, event: "CudaEvent") -> "CudaEvent":
        assert not self.is_capturing(), "an event of a captured stream is no host's business"
        event.stream = self.ptr
        return event

    def wait_event(self, event: "CudaEvent") -> None:
        self.waited.append(event.stream)

    def synchronize(self) -> None:
        assert not self.is_capturing(), "a wait for a stream that is captured"

    def __enter__(self) -> "Stream":
        self.before, current.stream = current.stream, self.ptr
        return self

    def __exit__(self, *error: object) -> None:
        current.stream = self.before


class Graph:
    """Launches kernels again, with the arguments' addresses as they were."""

    def __init__(self, calls: list[Any]) -> None:
        self.calls = calls

    def launch(self, stream: Any = None) -> None:
        for call in self.calls:
            call()


class MemoryPointer:
    def __init__(self, ptr: int, size: int) -> None:
        self.ptr, self.size = ptr, size

    def copy_from_device_async(self, src: "MemoryPointer", size: int) -> None:
        ctypes.memmove(self.ptr, src.ptr, size)
        note("peer copy", size)

    def copy_from_host_async(self, mem: int, size: int, stream: Any = None) -> None:
        with contextlib.nullcontext() if stream is None else stream:
            self.copy_from_host(mem, size)

    def copy_to_host_async(self, mem: int, size: int) -> None:
        assert any(low <= mem <= mem + size <= high for low, high in pinned), "pageable memory"
        ctypes.memmove(mem, self.ptr, size)
        note("download", size)

    def copy_from_host(self, mem: int, size: int) -> None:
        assert size <= self.size, "an upload past the end of its buffer"
        assert any(low <= mem <= mem + size <= high for low, high in pinned), "pageable memory"
        ctypes.memmove(self.ptr, mem, size)
        note("upload", size)


pinned: list[tuple[int, int]] = []  # first byte and one past the last of page-locked memory


def alloc_pinned_memory(size: int) -> memoryview:
    memory = np.empty(size, np.uint8)
    pinned.append((memory.ctypes.data, memory.ctypes.data + size))
    return memory.data


class CudaEvent:
    """Remembers the stream on which it was last recorded; work here is done at once."""

    def __init__(self, disable_timing: bool) -> None:
        assert disable_timing
        self.stream: int | None = None

    def record(self) -> None:
        self.stream = current.stream

    def synchronize(self) -> None:
        pass


class ndarray:
    """A NumPy array that says it lies on a device."""

    def __init__(self, host: np.ndarray, device: int | None = None) -> None:
        self.host = host
        self.device = Device(current.device if device is None else device)

    shape = property(lambda self: self.host.shape)
    strides = property(lambda self: self.host.strides)
    dtype = property(lambda self: self.host.dtype)
    size = property(lambda self: self.host.size)
    ndim = property(lambda self: self.host.ndim)
    nbytes = property(lambda self: self.host.nbytes)
    T = property(lambda self: ndarray(self.host.T, self.device.id))

    @property
    def data(self) -> MemoryPointer:
        return MemoryPointer(self.host.ctypes.data, self.host.nbytes)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        about = dict(self.host.__array_interface__)
        return {key: about[key] for key in ("shape", "typestr", "data", "strides", "version")}

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.device.id

    def __array__(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Use .get()")

    def __len__(self) -> int:
        return len(self.host)

    def __getitem__(self, index: Any) -> "ndarray":
        view = self.host[(*index, ...) if isinstance(index, tuple) else (index, ...)]
        return ndarray(view, self.device.id)

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(value, np.ndarray) and value.ndim:
            raise TypeError("Unsupported type <class 'numpy.ndarray'>")
        self.host[index] = value.host if isinstance(value, ndarray) else value

    def view(self, dtype: Any = None) -> "ndarray":
        host = self.host.view() if dtype is None else self.host.view(dtype)
        return ndarray(host, self.device.id)

    def reshape(self, shape: Any) -> "ndarray":
        return ndarray(self.host.reshape(shape), self.device.id)

    def get(self) -> np.ndarray:
        note("download", self.nbytes)
        return self.host.copy()

    def copy(self, order: str = "C") -> "ndarray":
        new = zeros_like(self, self.dtype, order)
        new.host[...] = self.host
        return new


def empty(shape: Any, dtype: Any = float, like: np.ndarray | None = None) -> ndarray:
    """New memory at a multiple of 512 bytes, as CuPy's is, filled with rubbish."""
    mould = np.empty(0 if like is None else 1, "u1")
    strides = None
    if like is not None:
        mould = np.empty_like(like, dtype=dtype, order="K", subok=False)
        shape, strides = mould.shape, mould.strides
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    note("allocate", size)
    raw = np.full(size + 512, 0xA5, np.uint8)
    start = -raw.ctypes.data % 512
    return ndarray(np.ndarray(shape, dtype, raw[start : start + size].data, 0, strides))


def zeros_like(a: ndarray, dtype: Any, order: str = "K") -> ndarray:
    new = empty(a.shape, dtype, a.host if order == "K" else None)
    new.host[...] = 0
    return new


def asarray(a: Any) -> ndarray:
    if isinstance(a, ndarray):
        return a
    if hasattr(a, "__cuda_array_interface__"):
        owner = SimpleNamespace(__array_interface__=a.__cuda_array_interface__, owner=a)
        return ndarray(np.asarray(owner))
    new = empty(np.shape(a), np.asarray(a).dtype)
    new.host[...] = a
    note("upload", new.nbytes)
    return new


def from_dlpack(a: Any) -> ndarray:
    """`__dlpack__` of the tensors in these tests gives a NumPy array in place of a capsule."""
    return ndarray(a.__dlpack__(stream=current.stream), a.__dlpack_device__()[1])


class RawModule:
    def __init__(self, *, code: str, options: tuple[str, ...]) -> None:
        assert options == ("--std=c++17",)
        self.code = code

    def get_function(self, name: str) -> "RawKernel":
        note("compile", len(self.code))
        return RawKernel(host_compiler.compiled(self.code, name), current.device)


class RawKernel:
    num_regs = 64

    def __init__(self, library: ctypes.CDLL, device: int) -> None:
        self.library, self.device = library, device

    def __call__(self, grid: tuple[int], block: tuple[int], args: tuple[Any, ...]) -> None:
        assert self.device == current.device, "a kernel that was compiled for another device"
        if current.stream in captures:
            device, stream = current.device, current.stream
            captures[stream].append(lambda: self.run(device, stream, grid, block, args))
        else:
            self.run(current.device, current.stream, grid, block, args)

    def run(
        self, device: int, stream: int, grid: tuple[int], block: tuple[int], args: tuple[Any, ...]
    ) -> None:
        values: list[Any] = []
        for a in args:
            if isinstance(a, ndarray):
                assert a.device.id == device, "a launch on a device that has not the array"
                values.append(ctypes.c_void_p(a.data.ptr))
            else:
                assert isinstance(a, np.int64 | np.float64), "pass numpy.int64 and numpy.float64"
                kind = ctypes.c_int64 if isinstance(a, np.int64) else ctypes.c_double
                values.append(kind(a.item()))
        events.append(Event("launch", grid[0], device, stream))
        host_compiler.launch(self.library, grid[0], block[0], values, current.backwards)


def module() -> ModuleType:
    """A module that can stand in sys.modules as `cupy`."""
    cupy = ModuleType("cupy")
    names = (ndarray, empty, zeros_like, asarray, from_dlpack, RawModule)
    vars(cupy).update({x.__name__: x for x in names})
    vars(cupy).update(asnumpy=lambda a: a.get(), events=events)
    runtime = SimpleNamespace(
        driverGetVersion=lambda: 12090,
        getDeviceCount=lambda: DEVICES,
        CUDARuntimeError=CUDARuntimeError,
    )
    vars(cupy)["cuda"] = SimpleNamespace(
        Device=Device,
        Stream=Stream,
        Event=CudaEvent,
        alloc_pinned_memory=alloc_pinned_memory,
        get_current_stream=lambda: Stream(current.stream),
        runtime=runtime,
    )
    return cupy


@contextlib.contextmanager
def installed(cupy: ModuleType | None) -> Iterator[Any]:
    """`cupy` in place of the real one (None: as if it were not installed), and a fresh backend."""
    from gpuopt import backends

    files = ("cupy", "cupy_device", "cupy_kernels", "cupy_staging", "cupy_upload")
    ours = [f"gpuopt.backends.{x}" for x in files]
    names = [x for x in sys.modules if x.partition(".")[0] == "cupy"] + ours
    before = {name: sys.modules.pop(name, None) for name in names}
    real = getattr(backends, "cupy", None)
    sys.modules["cupy"] = cupy  # type: ignore[assignment]
    backends.load.cache_clear()
    events.clear()
    captures.clear()
    try:
        yield cupy
    finally:
        for name in [x for x in sys.modules if x.partition(".")[0] == "cupy"]:
            del sys.modules[name]
        for name in ours:
            sys.modules.pop(name, None)
        sys.modules.update({name: x for name, x in before.items() if x is not None})
        if real is not None:
            backends.cupy = real  # type: ignore[attr-defined]
        backends.load.cache_clear()
