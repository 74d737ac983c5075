"""The CPU's sum of squares of all gradients of a signature, and whether one is not finite.

    tensors, layouts   as in sweep_numba.py; column 1 of `tensors` is the gradient's address
    chunks             int64 (chunks, 3)      tensor, first element, number of elements
    bounds             int64 (shares + 1,)    share k is the chunks bounds[k] to bounds[k + 1]
    sums               float64 (chunks, 2)    written: sum of squares, number of NaN and infinities

A chunk is summed in an order of its own, so nothing depends on how chunks are shared out.
"""

from numba import (  # pyright: ignore[reportAttributeAccessIssue]
    float32,
    float64,
    njit,
    prange,
)

from gpuopt.kernels.memory_numba import last_stride, load, offset, pointer

BLOCK = 4096  # elements summed in the type of arithmetic, before float64 takes over
GRADIENT = 1  # its place among the arrays of a tensor

# --- formula ---
storage, real = float32, float32


@njit(inline="always")
def value(x):
    return x


# --- end of formula ---


@njit(fastmath={"contract", "reassoc"}, error_model="numpy")
def square_sum(at, start, step, count):
    """In the type of arithmetic. Reassociation lets this loop, and only this one, be vectorised;
    NaN and infinity make it NaN or infinite in any order."""
    total = real(0)
    for i in range(count):
        x = value(load(at, start + i * step, GRADIENT))
        total += x * x
    return total


@njit(error_model="numpy")
def exact(at, start, step, count):
    """The sum in float64, and how many elements are not finite: for what overflows that type."""
    total, bad = 0.0, 0.0
    for i in range(count):
        x = float64(value(load(at, start + i * step, GRADIENT)))
        total += x * x
        bad += 0.0 if x - x == 0 else 1.0
    return total, bad


@njit(error_model="numpy")
def add_run(at, start, step, count, sums):
    """Add `count` elements, `step` apart, to `sums`, block by block."""
    for begin in range(0, count, BLOCK):
        length, place = min(BLOCK, count - begin), start + begin * step
        total = float64(square_sum(at, place, step, length))
        if total - total == 0:
            sums[0] += total
        else:
            total, bad = exact(at, place, step, length)
            sums[0] += total
            sums[1] += bad


@njit(error_model="numpy")
def norm_chunks(first, last, tensors, chunks, layouts, sums):
    for c in range(last - 1, first - 1, -1):  # so that the sweep finds the first ones in the cache
        row = tensors[chunks[c, 0]]
        start, count, layout = chunks[c, 1], chunks[c, 2], row[len(row) - 1]
        sums[c] = 0.0
        if row[len(row) - 2] < 0:  # no gradient in this step
            continue
        at = pointer(row[GRADIENT], storage)
        if layout < 0:
            add_run(at, start, 1, count, sums[c])
            continue
        length = layouts[layout + layouts[layout]]
        step = last_stride(layouts, layout, GRADIENT, 0)
        i = start
        while i < start + count:
            run = min(length - i % length, start + count - i)
            add_run(at, offset(layouts, layout, GRADIENT, i), step, run, sums[c])
            i += run


@njit(parallel=True, error_model="numpy", nogil=True, cache=True)
def norm(tensors, chunks, bounds, layouts, sums):
    """Write `sums` of every chunk; a single share wakes no other thread. bounds[0]: see `sweep`."""
    shares = bounds.shape[0] - 1
    if shares == 1:
        norm_chunks(bounds[0], bounds[1], tensors, chunks, layouts, sums)
    else:
        for share in prange(shares):
            norm_chunks(bounds[share], bounds[share + 1], tensors, chunks, layouts, sums)
