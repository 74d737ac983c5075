"""A GPU's limit for a step, measured: the same bytes, without the formula. No element changes."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuopt.bench.clock_gpu import library
from gpuopt.bench.traffic import Traffic

BLOCK, ACCESS = 256, 16  # threads; bytes that a thread reads or writes at once
COPIED = 2**31  # bytes at most that one copy moves; more takes several

# Packs that a thread has on their way, and blocks on a multiprocessor; None: a block for each pack
SHAPES = {
    "a thread for each pack": (1, None),
    "two packs a thread": (2, None),
    "resident blocks": (1, 8),
    "resident blocks, two packs": (2, 4),
}

KERNEL = r"""
template <int bytes>
struct alignas(bytes) Pack {
    unsigned word[bytes / 4];
};

template <int bytes>
__device__ unsigned bits(const Pack<bytes> &x)
{
    unsigned all = 0;
    for (int k = 0; k < bytes / 4; ++k) all |= x.word[k];
    return all;
}

template <int bytes>
__device__ void flip(Pack<bytes> &x, unsigned which)
{
    for (int k = 0; k < bytes / 4; ++k) x.word[k] ^= which;
}

// mask is 0, which no compiler knows
extern "C" __global__ void __launch_bounds__(BLOCK)
    move(PARAMETERS, long long packs, long long mask)
{
    const long long stride = (long long)gridDim.x * BLOCK * FLIGHT;
    const long long first = (long long)blockIdx.x * BLOCK * FLIGHT + threadIdx.x;
    for (long long start = first; start < packs; start += stride) {
        REGISTERS
#pragma unroll
        for (int k = 0; k < FLIGHT; ++k) {
            const long long i = start + k * BLOCK;
            if (i < packs) { LOADS }
        }
#pragma unroll
        for (int k = 0; k < FLIGHT; ++k) {
            const long long i = start + k * BLOCK;
            if (i >= packs) break;
            const unsigned which = VALUE;
            STORES
        }
    }
}
"""


def limits(traffic: Traffic, arrays: Sequence[Any]) -> dict[str, Callable[[], object]]:
    """Candidates for the clock, by name; the fastest is the limit.

    arrays: flat p, state, g of the step that is compared, as `traffic` counts them; CuPy arrays or
    torch tensors without gaps, aligned to 16 bytes. ValueError for arrays that do not fit. A triad
    reads and writes each once, in several shapes of launch; a copy within the device moves as many
    bytes in all.
    """
    traffic.check(arrays)
    count = arrays[0].shape[0]
    packs = count // per_pack(traffic)
    places = [np.int64(a.data.ptr if hasattr(a.data, "ptr") else a.data_ptr()) for a in arrays]
    args = (*places, np.int64(packs), np.int64(0))
    processors = library().cuda.Device().attributes["MultiProcessorCount"]
    found = {"limit, copy": copy(traffic.bytes * count)}
    for how, (flight, resident) in SHAPES.items():
        blocks = max(1, -(-packs // (BLOCK * flight)))
        grid = min(blocks, processors * resident) if resident else blocks
        found[f"limit, {traffic.name}, {how}"] = triad(traffic, flight, grid, args, arrays)
    return found


def triad(
    traffic: Traffic, flight: int, grid: int, args: tuple[Any, ...], arrays: Sequence[Any]
) -> Callable[[], object]:
    """A launch; it keeps the arrays alive."""
    move = kernel(source(traffic, flight), library())
    return lambda kept=arrays: move((grid,), (BLOCK,), args)


@functools.cache
def kernel(text: str, cupy: Any) -> Any:
    return cupy.RawModule(code=text, options=("--std=c++17",)).get_function("move")


def per_pack(traffic: Traffic) -> int:
    """Elements in a pack: those that an access to the widest array takes."""
    return ACCESS // max(traffic.reads)


def source(traffic: Traffic, flight: int) -> str:
    """The kernel for a mix of arrays, written ones first."""
    packs = [f"Pack<{per_pack(traffic) * width}>" for width in traffic.reads]
    written = range(len(traffic.writes))
    only_read = [f"bits(x{a}[k])" for a in range(len(packs)) if a not in written]
    parameters = [
        f"{'' if a in written else 'const '}{pack} *__restrict__ a{a}"
        for a, pack in enumerate(packs)
    ]
    lines = {
        "PARAMETERS": ", ".join(parameters),
        "REGISTERS": " ".join(f"{pack} x{a}[FLIGHT];" for a, pack in enumerate(packs)),
        "LOADS": " ".join(f"x{a}[k] = a{a}[i];" for a in range(len(packs))),
        "VALUE": " & ".join(["unsigned(mask)", *[f"({' | '.join(only_read)})"] * bool(only_read)]),
        "STORES": " ".join(f"flip(x{a}[k], which); a{a}[i] = x{a}[k];" for a in written),
        "FLIGHT": str(flight),
        "BLOCK": str(BLOCK),
    }
    text = KERNEL
    for name, printed in lines.items():
        text = text.replace(name, printed)
    return text


def copy(total: int) -> Callable[[], object]:
    """A copy within the device that reads and writes `total` bytes in all."""
    cupy, half = library(), max(total // 2, 1)
    size = min(half, COPIED)
    origin, target = (cupy.empty(size, np.uint8) for _ in range(2))
    for buffer in (origin, target):
        buffer[...] = np.uint8(7)

    def run() -> None:
        for start in range(0, half, size):
            target.data.copy_from_device_async(origin.data, min(size, half - start))

    return run
