"""What a step decides on a GPU, in one block: clipping, skipping, loss scale, counts, scalars.

All but the numbers are addresses; 0 stands for one that is absent.

    partials   float64 (chunks, 2)   as norm_numba_cuda.py writes them, of all signatures
    times      float64 (rows, 1 + CARRIED) step counts, one more where the step is not skipped, and
                                     after each the numbers that the rule carries
    knobs      float64 (rows, KNOBS) hyper-parameters, the learning rate first
    table      real (rows, SCALARS)  written: the step's scalars
    scale_at   a float32 or, if scale_is_double, a float64: the loss scale, else the number `scale`
    found_at   likewise, of a number: the step is skipped if it is not 0
    scaler     float32 (2,)          the loss scale and how long it has held; used before scale_at
    result     float64 (3,)          written if last: norm of the gradients, whether one of them is
                                     not finite, factor of the gradients

A step of several signatures launches once for each, and `last` says that no other follows.
"""

import numpy as np

from gpuopt.kernels.device_numba_cuda import (  # noqa: F401
    cuda,
    device,
    exp,
    finite,
    float32,
    float64,
    floor,
    int64,
    log,
    maximum,
    minimum,
    pointer,
    sqrt,
)

BLOCK = 256  # threads in a block at most; a power of two
WORD = 8  # bytes of a float64
INFINITY = float64(np.inf)


@device
def sign(a):
    """numpy.sign: -1, 0 or 1, and NaN for NaN."""
    return float64(1) if a > 0 else (float64(-1) if a < 0 else (float64(0) if a == 0 else a))


# --- formula ---
real = float32
SIZE, KNOBS, SCALARS, CARRIED = 4, 1, 1, 0  # bytes of a `real`


@device
def scalars(knobs, carried, t, factor, limit, skip, row):
    lr = knobs[0]
    row[0] = real(lr)


# --- end of formula ---


@device
def add(high, low, at, x, rest):
    """Add x + rest to high[at] + low[at]; what float64 rounds off goes to `low`."""
    old = high[at]
    new = old + x
    part = new - old
    high[at] = new
    low[at] += ((old - (new - part)) + (x - part)) + rest


@device
def add_partials(partials, chunks, high, low, bad):
    """Sum all partials, in a fixed order, twice as precise as float64: so that the order of the
    tensors does not show. Thread 0 has the sum at place 0."""
    i = cuda.threadIdx.x
    high[i] = low[i] = bad[i] = 0.0
    p = pointer(partials, float64)
    c = int64(i)
    while c < chunks:
        add(high, low, i, p[2 * c], 0.0)
        bad[i] += p[2 * c + 1]
        c += cuda.blockDim.x
    cuda.syncthreads()
    half = cuda.blockDim.x // 2
    while half > 0:
        if i < half:
            add(high, low, i, high[i + half], low[i + half])
            bad[i] += bad[i + half]
        cuda.syncthreads()
        half //= 2


@device
def number_at(address, is_double):
    if is_double:
        return pointer(address, float64)[0]
    return float64(pointer(address, float32)[0])


@device
def loss_scale(scale, scale_at, scale_is_double, scaler):
    if scaler != 0:
        return float64(pointer(scaler, float32)[0])
    if scale_at == 0:
        return float64(scale)
    return number_at(scale_at, scale_is_double)


@device
def follow_scale(scaler, found, growth, backoff, interval):
    """Shrink the loss scale after an overflow, let it grow after `interval` steps without one."""
    p = pointer(scaler, float32)
    held = p[1] + float32(1)
    if found:
        smaller = float32(p[0] * float64(backoff))
        if smaller >= float32(1.17549435e-38):  # a scale of 0 would make every gradient NaN
            p[0] = smaller
        held = float32(0)
    elif held >= interval:
        larger = float32(p[0] * float64(growth))
        if finite(larger):
            p[0] = larger
        held = float32(0)
    p[1] = held


@cuda.jit
def control(
    partials,
    chunks,
    table,
    times,
    knobs,
    rows,
    max_norm,
    max_value,
    scale,
    scale_at,
    scale_is_double,
    found_at,
    found_is_double,
    skip_nonfinite,
    scaler,
    growth,
    backoff,
    interval,
    last,
    result,
):
    """For a grid of one block; the last three numbers of tables' rows are flags or counts."""
    high = cuda.shared.array(BLOCK, float64)
    low = cuda.shared.array(BLOCK, float64)
    bad = cuda.shared.array(BLOCK, float64)
    told = cuda.shared.array(2, float64)  # factor and skip, from thread 0
    add_partials(partials, chunks, high, low, bad)
    if cuda.threadIdx.x == 0:
        total = high[0] + low[0] if finite(high[0]) else high[0]
        found = bad[0] != 0
        loss = loss_scale(scale, scale_at, scale_is_double, scaler)
        norm = sqrt(total) / loss
        clip = float64(1)
        if max_norm != INFINITY:
            clip = minimum(float64(1), max_norm / (norm + 1e-6))
        told[0] = clip / loss
        told[1] = 1.0 if found and skip_nonfinite else 0.0
        if found_at != 0 and number_at(found_at, found_is_double) != 0:
            told[1] = 1.0
        if last:
            r = pointer(result, float64)
            r[0] = norm
            r[1] = 1.0 if found else 0.0
            r[2] = told[0]
            if scaler != 0:  # only this thread reads it, and it has
                follow_scale(scaler, found, growth, backoff, interval)
    cuda.syncthreads()
    factor, skip = told[0], told[1]
    row = int64(cuda.threadIdx.x)
    while row < rows:
        at = times + WORD * (1 + CARRIED) * row
        count = pointer(at, float64)
        t = count[0] + 1.0
        if skip == 0:
            count[0] = t
        to = pointer(table + SCALARS * SIZE * row, real)
        of_row, carried = pointer(knobs + KNOBS * WORD * row, float64), pointer(at + WORD, float64)
        scalars(of_row, carried, t, factor, max_value, skip, to)
        row += cuda.blockDim.x
