"""A kernel that takes its time: what is queued behind it shows whether the host waits."""

import functools
from typing import Any

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
    import cupy

    return cupy.RawKernel(CODE, "spin")


def spin(seconds: float) -> None:
    """Keep the current stream of CuPy busy for so long."""
    import numpy as np

    kernel()((1,), (1,), (np.int64(seconds * 1e9),))
