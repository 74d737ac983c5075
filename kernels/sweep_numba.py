"""The CPU sweep: one parallel pass over the chunks of all tensors of a signature, for Numba.

A sweep visits elements and knows nothing of optimizers. The part between the two `formula` marks
is plain gradient descent, so that this file runs by itself; `gpuopt.lowering.python` prints every
other rule in its place and compiles the result.

    tensors   int64 (tensors, arrays + 2)   address of p, g, each state; row of table; layout or -1
    chunks    int64 (chunks, 3)             tensor, first element, number of elements
    bounds    int64 (shares + 1,)           share k is the chunks bounds[k] to bounds[k + 1]
    layouts   int64 (any,)                  for a tensor that is not dense: number of axes, their
                                            lengths, then each array's strides in elements
    table     real (rows, scalars)          a step's scalars
    done      int64 (1,)                    set to 1 when every chunk has been swept

A tensor whose row is negative has no gradient in this step, and is left out.
"""

import numpy as np
from numba import (  # pyright: ignore[reportAttributeAccessIssue]  # noqa: F401
    float32,
    float64,
    njit,
    prange,
)

from gpuopt.kernels.memory_numba import last_stride, load, offset, pointer, store


@njit(inline="always")
def maximum(a, b):
    """numpy.maximum: NaN if either is."""
    return a if a >= b or a != a else b


@njit(inline="always")
def minimum(a, b):
    """numpy.minimum: NaN if either is."""
    return a if a <= b or a != a else b


# --- formula ---
real = float32


@njit(inline="always")
def update(p, g, s):
    s_lr = s[0]
    t0 = s_lr * g
    t1 = p - t0
    return (t1,)


@njit(inline="always")
def scalars(row):
    return (row[0],)


@njit(inline="always")
def pointers(row):
    return (pointer(row[0], float32), pointer(row[1], float32))


@njit(inline="always")
def visit(a, i, s):
    new = update(load(a[0], i, 0), load(a[1], i, 1), s)
    store(a[0], i, new[0], 0)


@njit(inline="always")
def visit_strided(a, origin, step, j, s):
    new = update(load(a[0], origin[0] + j * step[0], 0), load(a[1], origin[1] + j * step[1], 1), s)
    store(a[0], origin[0] + j * step[0], new[0], 0)


@njit(inline="always")
def each(f, layouts, at, i):
    return (f(layouts, at, np.int64(0), i), f(layouts, at, np.int64(1), i))


# --- end of formula ---


@njit(inline="always")
def sign(a):
    """numpy.sign: -1, 0 or 1, and NaN for NaN."""
    return real(1) if a > 0 else (real(-1) if a < 0 else (real(0) if a == 0 else a))


@njit
def sweep_strided(a, layouts, at, start, count, s):
    """Elements start to start + count of a tensor whose arrays lie in different orders, run by run
    along the last axis."""
    length = layouts[at + layouts[at]]
    step = each(last_stride, layouts, at, 0)
    i = start
    while i < start + count:
        run = min(length - i % length, start + count - i)
        origin = each(offset, layouts, at, i)
        for j in range(run):
            visit_strided(a, origin, step, j, s)
        i += run


@njit(fastmath={"contract"}, error_model="numpy")
def sweep_chunks(first, last, tensors, chunks, layouts, table):
    for c in range(first, last):
        row = tensors[chunks[c, 0]]
        start, count = chunks[c, 1], chunks[c, 2]
        a = pointers(row)
        arrays = len(a)
        if row[arrays] < 0:
            continue
        s = scalars(table[row[arrays]])
        at = row[arrays + 1]
        if at < 0:
            for i in range(start, start + count):
                visit(a, i, s)
        else:
            sweep_strided(a, layouts, at, start, count, s)


@njit(parallel=True, fastmath={"contract"}, error_model="numpy", nogil=True, cache=True)
def sweep(tensors, chunks, bounds, layouts, table, done):
    """One optimizer step over every chunk; a single share wakes no other thread.

    `done` is set in here, where no signal handler of Python's can come between the sweep and the
    note that it was done. bounds[0] is 0, but for a literal Numba would compile sweep_chunks a
    second time."""
    shares = bounds.shape[0] - 1
    if shares == 1:
        sweep_chunks(bounds[0], bounds[1], tensors, chunks, layouts, table)
    else:
        for share in prange(shares):
            sweep_chunks(bounds[share], bounds[share + 1], tensors, chunks, layouts, table)
    done[0] = 1
