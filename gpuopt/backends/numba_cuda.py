"""The Numba CUDA backend: what the CuPy backend does, with numba-cuda and without CuPy.

The rule's formula is printed as Python into the text of kernels/sweep_numba_cuda.py, which Numba
compiles at the first step. Arrays of any library that tells `__cuda_array_interface__` are stepped
where they lie; state is made of Numba's own device arrays.

Everything runs on the parameters' device, one for an optimizer, on Numba's default stream. That is
CUDA's legacy default stream, which waits for all others but those made as non-blocking: what such a
stream has written must be waited for before a step, and a step before it is read there. Nothing
waits for the device, and nothing can be captured in a graph.

With NUMBA_ENABLE_CUDASIM=1 Numba's simulator runs all this as plain Python, slowly, on its arrays.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuopt.backends import numba_cuda_memory as gpu
from gpuopt.backends.base import Work, arithmetic
from gpuopt.backends.device import DeviceBackend, Kernel
from gpuopt.backends.device_control import DeviceControl
from gpuopt.backends.device_launch import DeviceLaunch
from gpuopt.backends.host import describe
from gpuopt.backends.memory import Memory
from gpuopt.backends.numba_cuda_device import check_device, cuda
from gpuopt.backends.numba_cuda_kernels import compiled, norm_text
from gpuopt.backends.numba_cuda_upload import Upload
from gpuopt.backends.tables import chunks_of, tables
from gpuopt.kernels.launch import LONGEST, resident
from gpuopt.lowering import numba_cuda as printer
from gpuopt.lowering.program import Program
from gpuopt.lowering.scalars import ScalarsProgram

View = gpu.View
COPY = Program("copy", ("p", "g"), (), (), (("p", "g"),))


class NumbaCudaBackend(DeviceBackend):
    name = "numba-cuda"
    fixed_types = (gpu.ARRAY,)

    def __init__(self) -> None:
        check_device()

    def view(self, array: Any, what: str, written: bool = False) -> View:
        try:
            interface = gpu.described(array)
        except (RuntimeError, TypeError) as error:
            known = f"{what}, {describe(array)}, cannot be read by Numba"
            raise TypeError(f"{known}: {error}") from error
        if interface is None:
            raise TypeError(
                f"{what} must lie in GPU memory for the numba-cuda backend (a Numba device array, "
                "a CUDA tensor, or anything with __cuda_array_interface__), "
                f"got {describe(array)}; backend=None picks a backend by the arrays"
            )
        if written and interface["data"][1]:
            raise ValueError(f"{what} is read-only, so a step could not update it in place")
        if hasattr(array, "is_conj") and (array.is_conj() or array.is_neg()):
            raise TypeError(f"{what} is conjugated or negated only when read; pass a copy of it")
        if interface.get("mask") is not None:
            raise TypeError(f"{what} is a masked array; pass its data and fill the masked elements")
        device = gpu.device_of(interface["data"][0])
        view = View(gpu.memory_of(interface, device), array)
        self.check(view.memory, what)
        return view

    def check_copies(self) -> None:
        raise TypeError(gpu.NOT_COPIED)

    def memory(self, view: Any) -> Memory:
        """A view's, or a Numba array's, as all state is."""
        return view.memory if isinstance(view, View) else self.view(view, "an array").memory

    def zeros_like(self, view: Any, dtype: np.dtype) -> Any:
        memory = self.memory(view)
        with self.on(memory.device or 0):
            array = gpu.new_like(memory, dtype)
            if memory.size:
                gpu.clear(array)
        return array

    def copy(self, view: Any) -> Any:
        memory = self.memory(view)
        with self.on(memory.device or 0):
            array = gpu.new_like(memory, memory.dtype)
        self.assign(array, view)
        return array

    def assign(self, view: Any, values: Any) -> None:
        target = self.memory(view)
        on_host = not isinstance(values, View) and gpu.described(values) is None
        source = None if on_host else self.memory(values)
        if source and placed(source) != placed(target):
            values, source = self.to_host(values), None
        if not target.size:
            return
        with self.on(target.device or 0):
            if source and gpu.is_dense(target, source):
                self.bytes_of(view).copy_to_device(self.bytes_of(values), stream=gpu.stream())
            elif source:
                self.sweep_over(target, source)
            elif gpu.is_dense(target):
                self.bytes_of(view).copy_to_device(gpu.arranged(values, target))
            else:
                staged = gpu.new_like(target, target.dtype)
                self.assign(staged, values)
                self.sweep_over(target, self.memory(staged))

    def to_host(self, view: Any) -> np.ndarray:
        memory = self.memory(view)
        if not memory.size:
            return np.empty(memory.shape, memory.dtype)
        if not gpu.is_dense(memory):
            return self.to_host(self.copy(view))
        with self.on(memory.device or 0):
            data = self.bytes_of(view).copy_to_host()
        return np.ndarray(memory.shape, memory.dtype, data, strides=memory.strides)

    def bytes_of(self, view: Any) -> Any:
        return gpu.raw(self.memory(view), view)

    def sweep_over(self, target: Memory, source: Memory) -> None:
        """Copy elements that do not lie in the same order, by a sweep of its own."""
        rows, layouts, sizes = tables([[target, source]], [0])
        chunks = chunks_of(sizes, LONGEST)
        stored = target.as_real.dtype
        given = [self.to_device(x) for x in (rows, chunks, layouts)]
        args = (given[0], given[1], np.int64(len(chunks)), given[2], np.int64(0))
        kernel = self.sweep_kernel(COPY, arithmetic(stored).name, (stored.name, stored.name))
        kernel(len(chunks), args)

    def launch(self, work: Work) -> DeviceLaunch:
        return DeviceLaunch(self, work)

    def control(self, launches: Sequence[Any]) -> DeviceControl:
        devices = sorted({launch.device for launch in launches})
        if len(devices) > 1:
            where = " and ".join(map(str, devices))
            raise ValueError(
                f"the numba-cuda backend steps on one device, and these parameters lie on {where}; "
                "make one optimizer for each device"
            )
        return DeviceControl(self, launches)

    def on(self, device: int) -> Any:
        return cuda.gpus[device]

    def multiprocessors(self, device: int) -> int:
        return gpu.limit(device, "MULTIPROCESSOR_COUNT")

    def resident(self, device: int, kernel: Any) -> int:
        if gpu.SIMULATED:  # one block after the other
            return 1
        threads = gpu.limit(device, "MAX_THREADS_PER_MULTIPROCESSOR")
        registers = gpu.limit(device, "MAX_REGISTERS_PER_MULTIPROCESSOR")
        return resident(kernel.registers, threads, registers)

    def empty(self, count: int, dtype: Any) -> View:
        return gpu.new((count,), np.dtype(dtype))

    def to_device(self, values: np.ndarray) -> Any:
        return cuda.to_device(np.ascontiguousarray(values) if values.size else np.zeros(1))

    def upload(self, shape: tuple[int, ...], dtype: Any) -> Upload:
        return Upload(shape, np.dtype(dtype))

    def sweep_kernel(self, program: Program, real: str, storage: tuple[str, ...]) -> Kernel:
        return compiled("sweep", printer.sweep(program, real, storage), gpu.current())

    def norm_kernel(self, storage: str) -> Kernel:
        return compiled("norm", norm_text(storage), gpu.current())

    def control_kernel(self, program: ScalarsProgram, real: str) -> Kernel:
        return compiled("control", printer.control(program, real), gpu.current())


def placed(memory: Memory) -> tuple[Any, ...]:
    """What two arrays have in common between which a GPU can copy."""
    return memory.shape, memory.dtype, memory.device
