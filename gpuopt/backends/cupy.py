"""The CuPy backend: one CUDA kernel launch over all tensors of a signature on a device.

The rule's formula is printed as C++ into the text of kernels/sweep.cuh. CuPy compiles it with NVRTC
at the first step and keeps the machine code on disk, keyed by that text. Tables stay on the device;
a step uploads its scalars, and the addresses of gradients only when they have moved.

Everything runs on the parameters' device and on the caller's current stream there; nothing waits
for the device.
"""

import functools
import importlib
import os
from collections.abc import Hashable
from typing import Any

import numpy as np

from gpuopt.backends.base import Backend, BackendError, Launch, Work
from gpuopt.backends.host import describe
from gpuopt.backends.memory import Memory
from gpuopt.backends.tables import chunks_of, tables
from gpuopt.kernels.launch import BLOCK, chunk_length, grid
from gpuopt.lowering.cuda import module
from gpuopt.lowering.program import Program
from gpuopt.lowering.trace import trace
from gpuopt.rules.base import Rule

try:
    cupy: Any = importlib.import_module("cupy")  # never this file, whose name is the same
except ModuleNotFoundError as error:
    if error.name != "cupy":
        raise BackendError(f"CuPy is installed but broken: {error}") from error
    raise BackendError(
        "CuPy is not installed: pip install 'gpuopt[cuda12]' (or 'gpuopt[cuda13]')"
    ) from None
except Exception as error:
    raise BackendError(f"CuPy is installed but broken: {type(error).__name__}: {error}") from error

from gpuopt.backends.cupy_upload import Upload

CUDA_MEMORY = (2, 13)  # DLPack's kDLCUDA and kDLCUDAManaged


def check_device() -> None:
    """Raise BackendError with the reason if CuPy finds no GPU. `import cupy` works without one."""
    runtime = cupy.cuda.runtime
    try:
        driver = runtime.driverGetVersion()
        if driver and runtime.getDeviceCount() > 0:
            return
        reason = "no device was found"
    except runtime.CUDARuntimeError as error:
        driver, reason = runtime.driverGetVersion(), str(error)
    if not driver:
        raise BackendError("CuPy finds no NVIDIA driver; is one installed, and is there a GPU?")
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        reason += f"; CUDA_VISIBLE_DEVICES is {hidden!r} and may hide it"
    raise BackendError(f"there is an NVIDIA driver, but CuPy can use no GPU: {reason}")


class CupyBackend(Backend):
    name = "cupy"
    dtypes = tuple(np.dtype(x) for x in ("float32", "float64", "complex64", "complex128"))

    def __init__(self) -> None:
        check_device()

    def view(self, array: Any, what: str, written: bool = False) -> Any:
        view = array if isinstance(array, cupy.ndarray) else as_cupy(array, what, written)
        if view.dtype not in self.dtypes:
            names = ", ".join(d.name for d in self.dtypes)
            raise TypeError(f"{what} has dtype {view.dtype}; the cupy backend takes {names}")
        memory = self.memory(view)
        if any(place % view.dtype.alignment for place in (memory.address, *memory.strides)):
            raise ValueError(
                f"{what} lies at an address or stride that is not a multiple of its item size "
                f"({view.dtype.itemsize} bytes); pass a copy of it"
            )
        return view

    def memory(self, view: Any) -> Memory:
        return Memory(view.data.ptr, view.shape, view.strides, view.dtype, view.device.id)

    def zeros_like(self, view: Any, dtype: np.dtype) -> Any:
        with view.device:
            return cupy.zeros_like(view, dtype=dtype, order="K")

    def copy(self, view: Any) -> Any:
        with view.device:
            return view.copy(order="K")

    def assign(self, view: Any, values: Any) -> None:
        with view.device:
            view[...] = cupy.asarray(values)

    def to_host(self, view: Any) -> np.ndarray:
        with view.device:
            return cupy.asnumpy(view)

    def key(self, rule: Rule) -> Hashable:
        return trace(rule)

    def launch(self, work: Work) -> Launch:
        return CupyLaunch(self, work)


def as_cupy(array: Any, what: str, written: bool) -> Any:
    """A CuPy array over the same memory as a CUDA tensor or array of another library."""
    if hasattr(array, "detach"):  # a torch tensor, which may ask for gradients
        array = array.detach()
    try:
        if hasattr(array, "__dlpack_device__"):
            if array.__dlpack_device__()[0] in CUDA_MEMORY:
                return cupy.from_dlpack(array)
        elif hasattr(array, "__cuda_array_interface__"):
            if written and array.__cuda_array_interface__["data"][1]:
                raise ValueError(f"{what} is read-only, so a step could not update it in place")
            return cupy.asarray(array)
    except (RuntimeError, BufferError, TypeError, AttributeError) as error:
        raise TypeError(f"{what}, {describe(array)}, cannot be read by CuPy: {error}") from error
    raise TypeError(
        f"{what} must lie in GPU memory for the cupy backend (a CuPy array, a CUDA tensor, or "
        f"anything with DLPack or __cuda_array_interface__), got {describe(array)}; "
        "backend=None picks a backend by the arrays"
    )


@functools.cache
def sweep_of(program: Program, real: str, storage: tuple[str, ...], device: int) -> Any:
    """The sweep of a formula, compiled for the current device, number `device`."""
    code = module(program, real, storage, BLOCK, "sweep")
    return cupy.RawModule(code=code, options=("--std=c++17",)).get_function("sweep")


@functools.cache
def multiprocessors(device: int) -> int:
    return cupy.cuda.Device(device).attributes["MultiProcessorCount"]


class CupyLaunch(Launch):
    def __init__(self, backend: CupyBackend, work: Work) -> None:
        super().__init__(backend, work)
        memories = [[backend.memory(a) for a in arrays] for arrays in work.tensors]
        self.device = work.tensors[0][0].device
        self.tensors, layouts, sizes = tables(memories, work.rows)
        count = multiprocessors(self.device.id)
        chunks = chunks_of(sizes, chunk_length(int(sizes.sum()), count))
        self.grid = (grid(len(chunks), count),)
        program = trace(work.rule)
        storage = tuple(m.as_real.dtype.name for m in memories[0])
        with self.device:
            self.sweep = sweep_of(program, self.real.name, storage, self.device.id)
            self.chunks, self.layouts = cupy.asarray(chunks), cupy.asarray(layouts)
            self.addresses = Upload(self.tensors.shape, self.tensors.dtype)
            self.table = Upload((max(work.rows) + 1, len(program.scalars)), self.real)
        self.count = np.int64(len(chunks))
        self.moved = True

    def move(self, k: int, view: Any, memory: Memory) -> None:
        if self.tensors[k, 1] != memory.address:
            self.tensors[k, 1] = memory.address
            self.moved = True

    def run(self, table: np.ndarray) -> None:
        if not self.count:
            return
        with self.device:
            if self.moved:
                self.addresses.send(self.tensors)
                self.moved = False
            self.table.send(table)
            tensors, scalars = self.addresses.target, self.table.target
            self.sweep(
                self.grid, (BLOCK,), (tensors, self.chunks, self.count, self.layouts, scalars)
            )
