"""Arrays of more than 2^31 elements, filled and checked on the GPU: every element, not a sample."""

from typing import Any

import cupy
import numpy as np

PERIOD = 251  # values repeat, so that 251 of them tell what all must be

CODE = r"""
extern "C" __global__ void fill(float *x, long long count, const float *values, long long step)
{
    const long long stride = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride)
        x[i * step] = values[i % 251];
}

extern "C" __global__ void differ(const float *x, long long count, const float *values,
                                  long long step, unsigned long long *found)
{
    const long long stride = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride)
        if (x[i * step] != values[i % 251]) {
            atomicAdd(found, 1ull);
            atomicMin(found + 1, (unsigned long long)i);
        }
}
"""
MODULE = cupy.RawModule(code=CODE)


def values(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.uniform(0.5, 1.5, PERIOD) * rng.choice([-1, 1], PERIOD)).astype(np.float32)


def fill(x: Any, numbers: np.ndarray) -> None:
    """x[i] = numbers[i % 251]; x is flat and may have a stride."""
    args = (x, np.int64(x.size), cupy.asarray(numbers), np.int64(x.strides[0] // 4))
    MODULE.get_function("fill")((4096,), (256,), args)


def check(x: Any, numbers: np.ndarray) -> None:
    """Raise unless x[i] == numbers[i % 251] for every i."""
    found = cupy.asarray(np.array([0, 2**63], np.uint64))
    args = (x, np.int64(x.size), cupy.asarray(numbers), np.int64(x.strides[0] // 4), found)
    MODULE.get_function("differ")((4096,), (256,), args)
    count, first = (int(n) for n in cupy.asnumpy(found))
    assert count == 0, f"{count} of {x.size} elements are wrong, first element {first}"
