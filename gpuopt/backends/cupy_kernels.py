"""CUDA sources compiled by CuPy."""

import functools
from typing import Any

from gpuopt.backends.cupy_device import cupy
from gpuopt.backends.device import Kernel
from gpuopt.kernels.launch import BLOCK


class CupyKernel:
    """A compiled kernel: called with a number of blocks and its arguments, it is launched."""

    def __init__(self, function: Any) -> None:
        self.function, self.registers = function, function.num_regs

    def __call__(self, blocks: int, args: tuple[Any, ...]) -> None:
        self.function((blocks,), (BLOCK,), args)


def kernel(code: str, name: str) -> Kernel:
    return compiled(code, name, cupy.cuda.Device().id)


@functools.cache
def compiled(code: str, name: str, device: int) -> Kernel:
    """A kernel, compiled for the current device, number `device`."""
    module = cupy.RawModule(code=code, options=("--std=c++17",))
    return CupyKernel(module.get_function(name))
