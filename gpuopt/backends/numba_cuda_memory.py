"""GPU memory for the Numba CUDA backend: views of arrays, whichever library made them.

Numba's simulator, where a GPU's memory is the host's, has fewer functions than the real thing; what
differs stands here, each function twice.
"""

import functools
import math
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from gpuopt.backends.bfloat16 import bfloat16, is_torch_bfloat16, torch_bits
from gpuopt.backends.memory import Memory, common_layout
from gpuopt.backends.numba_cuda_device import SIMULATED, cuda

NOT_COPIED = (
    "an optimizer of the numba-cuda backend cannot be copied or pickled, as Numba's arrays cannot; "
    "make another one and give it state_dict()"
)


@dataclass(slots=True, eq=False)
class View:
    """Where an array lies, and the array itself, which keeps that memory."""

    memory: Memory
    owner: Any

    def __getitem__(self, part: slice) -> "View":
        """A part of a view of one dense axis."""
        m = self.memory
        start, stop, _ = part.indices(m.shape[0])
        part_of_it = m._replace(address=m.address + start * m.strides[0], shape=(stop - start,))
        return View(part_of_it, self.owner)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(NOT_COPIED)


def described(array: Any) -> Any:
    """What describes an array's memory, as `__cuda_array_interface__` does, with its NumPy dtype
    as "dtype"; None for others."""
    if is_torch_bfloat16(array):
        interface, dtype = interface_of(torch_bits(array)), bfloat16()
    else:
        interface = interface_of(array.detach() if hasattr(array, "detach") else array)
        dtype = getattr(array, "dtype", None)
    if interface is None:
        return None
    known = isinstance(dtype, np.dtype)  # of bfloat16, an interface tells only the size
    return {**interface, "dtype": dtype if known else np.dtype(interface["typestr"])}


def memory_of(interface: dict[str, Any], device: int) -> Memory:
    """What `described` says. Strides of None mean C order."""
    dtype, shape = interface["dtype"], tuple(interface["shape"])
    strides = interface.get("strides")
    strides = c_strides(shape, dtype.itemsize) if strides is None else tuple(strides)
    return Memory(interface["data"][0], shape, strides, dtype, device)


@functools.lru_cache(maxsize=4096)
def c_strides(shape: tuple[int, ...], size: int) -> tuple[int, ...]:
    strides = [size] * len(shape)
    for k in range(len(shape) - 2, -1, -1):
        strides[k] = strides[k + 1] * shape[k + 1]
    return tuple(strides)


def dense_strides(memory: Memory, size: int) -> tuple[int, ...]:
    """Strides of a new array without gaps, of elements of `size` bytes, in `memory`'s order."""
    strides = [0] * len(memory.shape)
    for k in sorted(range(len(strides)), key=lambda k: (abs(memory.strides[k]), -k)):
        strides[k], size = size, size * max(memory.shape[k], 1)
    return tuple(strides)


def is_dense(*memories: Memory) -> bool:
    """Whether arrays are runs of adjacent elements in the same order."""
    return common_layout(memories).is_dense


if SIMULATED:
    EVENT: dict[str, Any] = {}
    ARRAY: Any = type(cuda.device_array(1))

    def interface_of(array: Any) -> Any:
        is_simulated = getattr(array, "__cuda_ndarray__", False)
        return array.__array_interface__ if is_simulated else None

    def device_of(address: int) -> int:
        """The number of the device on which an address lies."""
        return 0

    def current() -> int:
        """The number of the current device."""
        return 0

    def stream() -> Any:
        """The stream on which everything runs. Given as a stream, copies do not wait."""
        return 0

    def limit(device: int, name: str) -> int:
        """A number of the device, by CUDA's name for it."""
        return 1

    def clear(array: Any) -> None:
        """Fill a new array with zeros."""
        array[...] = 0

    def raw(memory: Memory, owner: Any) -> Any:
        """The bytes of a dense array that is not empty, as an array of Numba's."""
        held = {"__array_interface__": interface_of_bytes(memory), "owner": owner}
        return ARRAY(np.asarray(type("Bytes", (), held)()))

else:
    EVENT = {"timing": False}
    ARRAY = cuda.cudadrv.devicearray.DeviceNDArray

    def interface_of(array: Any) -> Any:
        return getattr(array, "__cuda_array_interface__", None)

    def device_of(address: int) -> int:
        if len(cuda.gpus) == 1:
            return 0
        if not address:
            return current()
        driver = cuda.cudadrv.driver
        attribute = driver.binding.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
        try:
            return int(driver.driver.cuPointerGetAttribute(attribute, address))
        except driver.CudaAPIError as error:
            raise ValueError(f"address {address:#x} is in no GPU's memory: {error}") from error

    def current() -> int:
        return cuda.current_context().device.id

    def stream() -> Any:
        return cuda.default_stream()

    def limit(device: int, name: str) -> int:
        return getattr(cuda.gpus[device], name)

    def clear(array: Any) -> None:
        array.gpu_data.memset(0)

    def raw(memory: Memory, owner: Any) -> Any:
        return cuda.from_cuda_array_interface(interface_of_bytes(memory), owner, sync=False)


def interface_of_bytes(memory: Memory) -> dict[str, Any]:
    count = memory.size * memory.dtype.itemsize
    data = (memory.bounds[0], False)
    return {"version": 3, "data": data, "shape": (count,), "strides": None, "typestr": "|u1"}


def new(shape: tuple[int, ...], dtype: np.dtype) -> View:
    """New memory on the current device, not filled; one element of it at least."""
    array = cuda.device_array(max(math.prod(shape), 1), dtype)
    address = interface_of(array)["data"][0]
    return View(Memory(address, shape, c_strides(shape, dtype.itemsize), dtype, current()), array)


def new_like(memory: Memory, dtype: np.dtype) -> Any:
    """A new array, not filled, on the current device, in the order of `memory`: Numba's own, or a
    view of one of uint16 for bfloat16, which Numba does not know."""
    strides = dense_strides(memory, dtype.itemsize)
    if dtype.name != "bfloat16":
        return cuda.device_array(memory.shape, dtype, strides=strides)
    bits = cuda.device_array(memory.shape, np.uint16, strides=strides)
    address = interface_of(bits)["data"][0]
    return View(Memory(address, memory.shape, strides, dtype, current()), bits)


def arranged(values: Any, memory: Memory) -> np.ndarray:
    """Host values as the bytes of a dense array that lies as `memory` does."""
    data = np.empty(memory.size, memory.dtype)
    np.ndarray(memory.shape, memory.dtype, data, strides=memory.strides)[...] = values
    return data.view(np.uint8)
