"""The sweep for Numba CUDA: one pass over the chunks of all tensors of a signature, in one launch.

It is kernels/sweep.cuh in Python: the tables are the same, and the part between the two `formula`
marks is plain gradient descent, in whose place `gpuopt.lowering.numba_cuda` prints every other
rule. Tables are given by their addresses, so that a launch need not know what kind of arrays they
are.

    tensors   int64 (tensors, ARRAYS + 2)   address of p, g, each state; row of table; layout or -1
    chunks    int64 (count, 3)              tensor, first element, number of elements
    layouts   int64 (any,)                  for a tensor that is not dense: number of axes, their
                                            lengths, then each array's strides in elements
    table     real (rows, SCALARS)          a step's scalars
"""

import numpy as np  # noqa: F401

from gpuopt.kernels.device_numba_cuda import (  # noqa: F401
    PACK,
    cuda,
    device,
    float32,
    float64,
    int64,
    maximum,
    minimum,
    pack,
    pointer,
    put_pack,
    sqrt,
    uint64,
)

WORD = 8  # bytes of an int64


@device
def load(base, i, slot):
    return base[i]


@device
def store(base, i, value, slot):
    base[i] = value


# --- formula ---
real = float32
SIZE, ARRAYS, SCALARS = 4, 2, 1  # bytes of a `real`


@device
def update(p, g, s):
    s_lr = s[0]
    t0 = s_lr * g
    t1 = p - t0
    return (t1,)


@device
def scalars(row):
    return (row[0],)


@device
def pointers(row):
    return (pointer(row[0], float32), pointer(row[1], float32))


@device
def visit(a, at, s):
    new = update(load(a[0], at[0], 0), load(a[1], at[1], 1), s)
    store(a[0], at[0], new[0], 0)


@device
def aligned(row, start):
    return (row[0] + start * 4) % 16 | (row[1] + start * 4) % 16 == 0


@device
def dense(i):
    return (i, i)


@device
def strided(layout, i):
    at0 = at1 = int64(0)
    axes, rest = layout[0], uint64(i)
    for axis in range(axes, 0, -1):
        length = uint64(layout[axis])
        place = int64(rest % length)
        rest //= length
        at0 += place * layout[axis + axes * 1]
        at1 += place * layout[axis + axes * 2]
    return (at0, at1)


@device
def fetch(a, i):
    return (pack(a[0], i), pack(a[1], i))


@device
def finish(a, i, x, s):
    n0 = update(x[0][0], x[1][0], s)
    n1 = update(x[0][1], x[1][1], s)
    n2 = update(x[0][2], x[1][2], s)
    n3 = update(x[0][3], x[1][3], s)
    put_pack(a[0], i, (n0[0], n1[0], n2[0], n3[0]))


# --- end of formula ---

WIDTH = PACK // SIZE  # elements in a pack


@device
def sign(a):
    """numpy.sign: -1, 0 or 1, and NaN for NaN."""
    return real(1) if a > 0 else (real(-1) if a < 0 else (real(0) if a == 0 else a))


@device
def sweep_packs(a, s, start, end):
    """Whole packs; a thread loads two before it stores the first."""
    step = cuda.blockDim.x * WIDTH
    i = start + cuda.threadIdx.x * WIDTH
    while i + step < end:
        x, y = fetch(a, i), fetch(a, i + step)
        finish(a, i, x, s)
        finish(a, i + step, y, s)
        i += 2 * step
    if i < end:
        finish(a, i, fetch(a, i), s)


@device
def sweep_singles(a, s, start, end):
    i = start + cuda.threadIdx.x
    while i < end:
        visit(a, dense(i), s)
        i += cuda.blockDim.x


@device
def sweep_strided(a, s, layout, start, end):
    i = start + cuda.threadIdx.x
    while i < end:
        visit(a, strided(layout, i), s)
        i += cuda.blockDim.x


@cuda.jit
def sweep(tensors, chunks, count, layouts, table):
    """Any grid covers all chunks: block b takes chunks b, b + gridDim.x, and so on."""
    c = int64(cuda.blockIdx.x)
    while c < count:
        chunk = pointer(chunks + 3 * WORD * c, int64)
        row = pointer(tensors + (ARRAYS + 2) * WORD * chunk[0], int64)
        start, end = chunk[1], chunk[1] + chunk[2]
        a = pointers(row)
        s = scalars(pointer(table + SCALARS * SIZE * row[ARRAYS], real))
        at = row[ARRAYS + 1]
        if at >= 0:
            sweep_strided(a, s, pointer(layouts + WORD * at, int64), start, end)
        else:
            tail = start
            if aligned(row, start):
                tail = end - (end - start) % WIDTH
                sweep_packs(a, s, start, tail)
            sweep_singles(a, s, tail, end)
        c += cuda.gridDim.x
