"""Arrays in the CPU's memory, seen as NumPy arrays: what the NumPy and Numba backends share."""

import sys
from abc import abstractmethod
from typing import Any

import numpy as np

from gpuopt.backends.base import DTYPES, Backend, Launch
from gpuopt.backends.bfloat16 import bfloat16, is_torch_bfloat16, torch_bits
from gpuopt.backends.memory import Memory

NUMPY = tuple(map(int, np.__version__.split(".")[:2]))
NO_COPY: dict[str, Any] = {"copy": False} if NUMPY >= (2, 1) else {}  # older ones never copy


def as_numpy(array: Any, what: str, written: bool = False) -> np.ndarray:
    """A NumPy array over the same memory as a NumPy array, CPU tensor or DLPack array.

    Raises TypeError, naming `what`, for anything else: nothing is ever converted or copied, but
    for a NumPy scalar that is only read.
    """
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{what} is a masked array; pass its .data and fill the masked elements")
    if isinstance(array, np.ndarray):
        return np.asarray(array)
    if isinstance(array, np.generic) and not written:  # a 0-d gradient, as numpy.sum gives it
        return np.asarray(array)
    if hasattr(array, "__dlpack__"):
        lent: Any = array
        torch = sys.modules.get("torch")
        is_tensor = torch is not None and isinstance(array, torch.Tensor)
        if is_tensor and lent.device.type == "cpu" and lent.numel() and not lent.data_ptr():
            # NumPy would make memory of its own for it
            raise ValueError(f"{what}, {describe(array)}, has no memory: its storage was freed")
        try:
            if is_tensor:
                lent = lent.detach()  # as bare memory, also where it asks for gradients
                if is_torch_bfloat16(lent):
                    return torch_bits(lent).numpy().view(bfloat16())
                return lent.numpy()
            return np.from_dlpack(lent, **NO_COPY)
        except (RuntimeError, BufferError, TypeError, ValueError, AttributeError) as error:
            raise TypeError(
                f"{what}, {describe(array)}, cannot be read by NumPy: {error}"
            ) from error
    raise TypeError(
        f"{what} must be an array (NumPy, CuPy, a torch tensor, or anything with DLPack), "
        f"got {describe(array)}"
    )


def address(array: np.ndarray) -> int:
    """Where an array begins: a third of the time that `array.ctypes.data` takes."""
    return array.__array_interface__["data"][0]


def describe(array: Any) -> str:
    """A few words for error messages: type, and shape and dtype where there are any."""
    words = type(array).__name__
    if hasattr(array, "shape") and hasattr(array, "dtype"):
        words += f" of shape {tuple(array.shape)} and dtype {array.dtype}"
    return words


def as_real(array: np.ndarray) -> np.ndarray:
    """Complex numbers as a last axis of two reals, over the same memory; reals as they are."""
    if array.dtype.kind != "c":
        return array
    return array[..., np.newaxis].view(f"f{array.dtype.itemsize // 2}")


class HostLaunch(Launch):
    """A launch on the CPU."""

    @abstractmethod
    def square_sums(self) -> np.ndarray:
        """Read all gradients: float64 (any, 2), sums of squares, and how many are not finite."""


class HostBackend(Backend):
    """Views and state in the CPU's memory."""

    masks = True

    def own(self, view: np.ndarray) -> np.ndarray:
        return view.view()

    def view(self, array: Any, what: str, written: bool = False) -> np.ndarray:
        view = as_numpy(array, what, written)
        if view.size and not address(view):
            raise ValueError(f"{what} has shape {view.shape} and no memory: its address is 0")
        if view.dtype.name not in DTYPES or not view.dtype.isnative:
            raise TypeError(
                f"{what} has dtype {view.dtype.name}{'' if view.dtype.isnative else ' (swapped)'}; "
                f"the {self.name} backend takes {', '.join(DTYPES)}"
            )
        if not view.flags.aligned:
            raise ValueError(
                f"{what} lies at an address or stride that is not a multiple of its item size, "
                f"{view.dtype.itemsize} bytes; copy it with numpy.require(array, requirements='A')"
            )
        if written and not view.flags.writeable:
            old = " (NumPy before 2.1 sees all DLPack arrays so)" * (NUMPY < (2, 1))
            raise ValueError(f"{what} is read-only{old}, so a step could not update it in place")
        return view

    def memory(self, view: np.ndarray) -> Memory:
        return Memory(address(view), view.shape, view.strides, view.dtype)

    def zeros_like(self, view: np.ndarray, dtype: np.dtype) -> np.ndarray:
        return np.zeros_like(view, dtype=dtype, order="K", subok=False)

    def copy(self, view: np.ndarray) -> np.ndarray:
        return view.copy(order="K")

    def assign(self, view: np.ndarray, values: Any) -> None:
        view[...] = values

    def to_host(self, view: np.ndarray) -> np.ndarray:
        return view
