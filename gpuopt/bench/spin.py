"""A kernel that takes its time: what is queued behind it shows whether the host waits."""

import functools
import importlib
from typing import Any

import numpy as np

CODE = r"""
extern "C" __global__ void spin(long long nanoseconds)
{
    long long start, now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(start));
    do {
        asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    } while (now - start < nanoseconds);
}
"""


@functools.cache
def kernel() -> Any:
    return importlib.import_module("cupy").RawKernel(CODE, "spin")


def spin(seconds: float) -> None:
    """Keep the current stream of CuPy busy for so long."""
    kernel()((1,), (1,), (np.int64(seconds * 1e9),))
