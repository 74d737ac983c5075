"""The CuPy backend: one CUDA kernel launch over all tensors of a signature on a device.

The rule's formula is printed as C++ into the text of kernels/sweep.cuh. CuPy compiles it with NVRTC
at the first step and keeps the machine code on disk, keyed by that text.

Everything runs on the parameters' device and on the caller's current stream there; nothing waits
for the device.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from gpuopt.backends.base import Work
from gpuopt.backends.bfloat16 import bfloat16, is_torch_bfloat16, torch_bits
from gpuopt.backends.cupy_device import attributes, check_device, cupy
from gpuopt.backends.cupy_kernels import kernel
from gpuopt.backends.cupy_upload import Upload
from gpuopt.backends.device import DeviceBackend, Kernel
from gpuopt.backends.device_control import DeviceControl
from gpuopt.backends.device_launch import DeviceLaunch
from gpuopt.backends.host import describe
from gpuopt.backends.memory import Memory
from gpuopt.kernels.launch import BLOCK, resident
from gpuopt.lowering import control, cuda
from gpuopt.lowering.program import Program
from gpuopt.lowering.scalars import ScalarsProgram

CUDA_MEMORY = (2, 13)  # DLPack's kDLCUDA and kDLCUDAManaged


class CupyBackend(DeviceBackend):
    name = "cupy"
    takes_streams = True

    def __init__(self) -> None:
        check_device()
        self.fixed_types = (cupy.ndarray,)

    def view(self, array: Any, what: str, written: bool = False) -> Any:
        view = array if isinstance(array, cupy.ndarray) else as_cupy(array, what, written)
        self.check(self.memory(view), what)
        return view

    def own(self, view: Any) -> Any:
        return view.view()

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

    def launch(self, work: Work) -> DeviceLaunch:
        return DeviceLaunch(self, work)

    def control(self, launches: Sequence[Any]) -> DeviceControl:
        return DeviceControl(self, launches)

    def on(self, device: int) -> Any:
        return cupy.cuda.Device(device)

    @contextmanager
    def on_stream(self, device: int, address: int) -> Iterator[None]:
        with self.on(device), cupy.cuda.ExternalStream(address, device):
            yield

    def multiprocessors(self, device: int) -> int:
        return attributes(device)["MultiProcessorCount"]

    def resident(self, device: int, kernel: Any) -> int:
        limits = attributes(device)
        threads, registers = "MaxThreadsPerMultiProcessor", "MaxRegistersPerMultiprocessor"
        return resident(kernel.registers, limits[threads], limits[registers])

    def empty(self, count: int, dtype: Any) -> Any:
        return cupy.empty(count, dtype)

    def to_device(self, values: np.ndarray) -> Any:
        return cupy.asarray(values)

    def upload(self, shape: tuple[int, ...], dtype: Any) -> Upload:
        return Upload(shape, np.dtype(dtype))

    def sweep_kernel(self, program: Program, real: str, storage: tuple[str, ...]) -> Kernel:
        return kernel(cuda.module(program, real, storage, BLOCK, "sweep"), "sweep")

    def norm_kernel(self, storage: str) -> Kernel:
        return kernel(cuda.norm_module(storage, BLOCK), "square_sums")

    def control_kernel(self, program: ScalarsProgram, real: str) -> Kernel:
        return kernel(control.module(program, real, BLOCK), "control")

    def capturing(self) -> Any:
        stream = cupy.cuda.get_current_stream()
        return stream if stream.is_capturing() else None

    def read(self, array: Any) -> np.ndarray:
        array.device.synchronize()  # a copy waits for the current stream only
        return self.to_host(array)

    def mark(self) -> Any:
        return cupy.cuda.get_current_stream().record(cupy.cuda.Event(disable_timing=True))

    def wait(self, mark: Any) -> None:
        mark.synchronize()

    def copy_over(self, target: Any, source: Any) -> None:
        target.data.copy_from_device_async(source.data, source.nbytes)

    def meet(self, devices: Sequence[int]) -> None:
        marks = []
        for device in devices:
            with self.on(device):
                marks.append(self.mark())
        for device in devices:
            with self.on(device):
                stream = cupy.cuda.get_current_stream()
                for mark in marks:
                    stream.wait_event(mark)

    @contextmanager
    def after(self, stream: Any) -> Iterator[None]:
        current = cupy.cuda.get_current_stream()
        current.wait_event(stream.record(cupy.cuda.Event(disable_timing=True)))
        yield
        stream.wait_event(self.mark())


def as_cupy(array: Any, what: str, written: bool) -> Any:
    """A CuPy array over the same memory as a CUDA tensor or array of another library."""
    if hasattr(array, "detach"):  # a torch tensor, which may ask for gradients
        array = array.detach()
    try:
        if hasattr(array, "__dlpack_device__"):
            if array.__dlpack_device__()[0] in CUDA_MEMORY:
                if is_torch_bfloat16(array):
                    return cupy.from_dlpack(torch_bits(array)).view(bfloat16())
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
