"""Timing on a GPU: candidates in turn, by CUDA events and the wall clock, and the measured limit.

A turn queues its steps behind a kernel that keeps the GPU busy until all are queued. So the time
between two events is the GPU's alone, and not the host's pace. The wall clock takes steps as a
training loop does, without that kernel.
"""

import functools
import statistics
import time
from collections.abc import Callable
from typing import Any

import cupy
import numpy as np

from tests.gpu.spin import spin

Candidates = dict[str, Callable[[], object]]
EACH = 6  # steps in a turn behind a kernel: an optimizer may wait for its eighth to last

# Adam's traffic with one addition an element: read four float32 arrays, write three.
TRIAD = r"""
extern "C" __global__ void __launch_bounds__(256)
    triad(float4 *a, float4 *b, float4 *c, const float4 *d, long long packs)
{
    const long long stride = (long long)gridDim.x * 256 * FLIGHT;
    const long long first = ((long long)blockIdx.x * FLIGHT) * 256 + threadIdx.x;
    for (long long start = first; start < packs; start += stride) {
        float4 x[FLIGHT], y[FLIGHT], z[FLIGHT], w[FLIGHT];
#pragma unroll
        for (int k = 0; k < FLIGHT; ++k) {
            const long long i = start + k * 256;
            if (i < packs) x[k] = a[i], y[k] = b[i], z[k] = c[i], w[k] = d[i];
        }
#pragma unroll
        for (int k = 0; k < FLIGHT; ++k) {
            const long long i = start + k * 256;
            if (i >= packs) break;
            x[k].x += w[k].x; x[k].y += w[k].y; x[k].z += w[k].z; x[k].w += w[k].w;
            y[k].x += w[k].x; y[k].y += w[k].y; y[k].z += w[k].z; y[k].w += w[k].w;
            z[k].x += w[k].x; z[k].y += w[k].y; z[k].z += w[k].z; z[k].w += w[k].w;
            a[i] = x[k], b[i] = y[k], c[i] = z[k];
        }
    }
}
"""


def wait() -> None:
    cupy.cuda.Device().synchronize()


def interleave(
    candidates: Candidates,
    rounds: int,
    wall_each: int = EACH,
    prepare: Candidates | None = None,
) -> dict[str, dict[str, list[float]]]:
    """Seconds a step of each candidate, "events" and "wall", the candidates taking turns.

    The first two steps of a turn are not counted, nor is the first round. "late" is for each turn
    whether the GPU waited for the host, in spite of the kernel before it. prepare: what is to be
    done before a step that is timed by events, and not timed itself.
    """
    found = {name: {"events": [], "wall": [], "late": []} for name in candidates}
    for round_ in range(rounds + 1):
        for name, run in candidates.items():
            wall, host = by_the_wall(run, wall_each)
            before = (prepare or {}).get(name, nothing)
            events, late = by_events(run, before, 2 * host * EACH + 2e-4)
            if round_:
                found[name]["wall"].append(wall)
                found[name]["events"] += events
                found[name]["late"].append(late)
    return found


def by_the_wall(run: Callable[[], object], each: int) -> tuple[float, float]:
    """Seconds a step until the GPU has done it, and until the host may go on."""
    run()
    run()
    wait()
    begin = time.perf_counter()
    for _ in range(each):
        run()
    queued = time.perf_counter() - begin
    wait()
    return (time.perf_counter() - begin) / each, queued / each


def by_events(
    run: Callable[[], object], before: Callable[[], object], ahead: float
) -> tuple[list[float], bool]:
    marks = [(cupy.cuda.Event(), cupy.cuda.Event()) for _ in range(EACH)]
    spin(min(ahead, 0.25))
    for begin, end in marks:
        before()
        begin.record()
        run()
        end.record()
    late = bool(marks[0][0].done)
    wait()
    return [cupy.cuda.get_elapsed_time(a, b) / 1e3 for a, b in marks], late


def nothing() -> None:
    pass


def summary(seconds: list[float]) -> dict[str, float]:
    """Median, quartiles and the noise: the interquartile range as a share of the median."""
    low, median, high = statistics.quantiles(seconds, n=4)
    return {"median": median, "q1": low, "q3": high, "noise": (high - low) / median}


def summaries(found: dict[str, dict[str, list[float]]], clock: str) -> dict[str, Any]:
    return {name: summary(times[clock]) for name, times in found.items()}


@functools.cache
def triad_kernel(flight: int) -> Any:
    return cupy.RawModule(code=TRIAD.replace("FLIGHT", str(flight))).get_function("triad")


def limits(arrays: list[Any]) -> Candidates:
    """This GPU's limit for the bytes of an Adam step: the best of these counts.

    A copy within the device of as many bytes in all, and the same reads and writes as Adam's, over
    the four flat arrays p, m, v and g themselves, in several shapes of launch.
    """
    count = arrays[0].size
    source, target = (cupy.empty(count * 14, np.uint8) for _ in range(2))
    source[...] = np.uint8(7)

    def copy() -> None:
        target.data.copy_from_device_async(source.data, source.nbytes)

    def triad(flight: int, per_processor: int | None) -> Callable[[], None]:
        packs = count // 4
        blocks = -(-packs // (256 * flight))
        if per_processor:
            processors = cupy.cuda.Device().attributes["MultiProcessorCount"]
            blocks = min(blocks, processors * per_processor)
        kernel, args = triad_kernel(flight), (*arrays, np.int64(packs))
        return lambda: kernel((blocks,), (256,), args)

    return {
        "limit, copy within the device": copy,
        "limit, 4 reads 3 writes, a thread for each pack": triad(1, None),
        "limit, 4 reads 3 writes, two packs a thread": triad(2, None),
        "limit, 4 reads 3 writes, resident blocks": triad(1, 8),
        "limit, 4 reads 3 writes, resident blocks, two packs": triad(2, 4),
    }
