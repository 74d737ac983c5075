"""Kernels for Numba CUDA: printed text, compiled before a step changes anything."""

import functools
import warnings
from typing import Any

import numpy as np

from gpuopt.backends.cache import import_source
from gpuopt.backends.numba_cuda_device import SIMULATED
from gpuopt.backends.numba_cuda_memory import View, interface_of
from gpuopt.kernels import launch
from gpuopt.lowering import numba_cuda as printer

BLOCK = 4 if SIMULATED else launch.BLOCK  # simulated threads are the operating system's
NO_WORK: dict[str, tuple[int | float, ...]] = {  # arguments with which a kernel does nothing
    "sweep": (0,) * 5,
    "norm": (0,) * 6,
    "control": (*(0,) * 6, *(1.0,) * 3, *(0,) * 6, *(1.0,) * 3, 0, 0),
}
norm_text = functools.cache(printer.norm)


class NumbaKernel:
    """A compiled kernel: called with a number of blocks and its arguments, it is launched."""

    def __init__(self, function: Any, no_work: tuple[int | float, ...]) -> None:
        self.function = function
        self.grids: dict[int, Any] = {}
        self(1, no_work)  # Numba compiles at a first launch, for the types of its arguments

    def __call__(self, blocks: int, args: tuple[Any, ...]) -> None:
        configured = None if SIMULATED else self.grids.get(blocks)  # a simulated one has one grid
        if configured is None:
            with warnings.catch_warnings():  # of a small grid, which is as large as the work
                warnings.filterwarnings("ignore", message="Grid size")
                configured = self.grids[blocks] = self.function[blocks, BLOCK]
        configured(*map(plain, args))

    @property
    def registers(self) -> int:
        """What a thread takes, as far as the compiler tells."""
        return max(1, *self.function.get_regs_per_thread().values())


@functools.cache
def compiled(name: str, text: str, device: int) -> NumbaKernel:
    """The kernel called `name` in a printed module, compiled for the current device, `device`."""
    return NumbaKernel(getattr(import_source(f"{name}_cuda", text), name), NO_WORK[name])


def plain(value: Any) -> int | float:
    """A kernel's argument: an array's address, or a number of Python's."""
    if isinstance(value, View):
        return value.memory.address
    if isinstance(value, np.generic | int | float):
        return value.item() if isinstance(value, np.generic) else value
    return interface_of(value)["data"][0]
