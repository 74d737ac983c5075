"""The sum of squares of all gradients of a signature, and whether one is not finite, on a GPU.

    tensors, chunks, layouts   as in sweep_numba_cuda.py; column 1 of `tensors` is the gradient's
                               address; `columns` is their number
    partials                   float64 (count, 2)   written: a chunk's sum of squares, and 1 where
                                                    it has a NaN or infinity, else 0

The order of a chunk's sum depends on nothing but the block's size, so every grid gives the same
bits.
"""

from gpuopt.kernels.device_numba_cuda import (
    cuda,
    device,
    finite,
    float32,
    float64,
    int64,
    pack,
    pointer,
    uint64,
)

BLOCK = 256  # threads in a block at most; a power of two
GRADIENT = 1  # its place among the arrays of a tensor
WORD = 8  # bytes of an int64

# --- formula ---
storage, real = float32, float32
SIZE, WIDTH = 4, 4  # bytes of a `storage`, elements in a pack


@device
def value(element):
    return element


@device
def singles(p, i):
    return (p[i], p[i + 1], p[i + 2], p[i + 3])


@device
def squares(x):
    return square(x[0]) + square(x[1]) + square(x[2]) + square(x[3])


# --- end of formula ---


@device
def square(element):
    x = value(element)
    return x * x


@device
def place(layout, i):
    """Where element `i`, counted along a layout's axes, the last one fastest, of a gradient is."""
    axes, rest, at = layout[0], uint64(i), int64(0)
    for axis in range(axes, 0, -1):
        length = uint64(layout[axis])
        at += int64(rest % length) * layout[axis + axes * (1 + GRADIENT)]
        rest //= length
    return at


@device
def dense_sum(g, start, end, is_aligned):
    """A thread's share of a dense chunk, pack by pack, and the last elements one by one."""
    total = real(0)
    tail = end - (end - start) % WIDTH
    i = start + cuda.threadIdx.x * WIDTH
    while i < tail:
        if is_aligned:
            total += squares(pack(g, i))
        else:  # in the same order, so that the bits are the same
            total += squares(singles(g, i))
        i += cuda.blockDim.x * WIDTH
    i = tail + cuda.threadIdx.x
    if i < end:
        total += square(g[i])
    return total


@device
def strided_sum(g, layout, start, end):
    total = real(0)
    i = start + cuda.threadIdx.x
    while i < end:
        total += square(g[place(layout, i)])
        i += cuda.blockDim.x
    return total


@device
def exact_sum(g, layouts, at, start, end):
    """A thread's share in float64, and how many of its elements are not finite."""
    total, bad = float64(0), float64(0)
    i = start + cuda.threadIdx.x
    while i < end:
        x = float64(value(g[i if at < 0 else place(pointer(layouts + WORD * at, int64), i)]))
        total += x * x
        if not finite(x):
            bad += 1
        i += cuda.blockDim.x
    return total, bad


@device
def block_sum(shared, x):
    """The sum of all threads' `x`, by halves, for every thread."""
    cuda.syncthreads()  # all have read the sum before this one
    shared[cuda.threadIdx.x] = x
    cuda.syncthreads()
    half = cuda.blockDim.x // 2
    while half > 0:
        if cuda.threadIdx.x < half:
            shared[cuda.threadIdx.x] += shared[cuda.threadIdx.x + half]
        cuda.syncthreads()
        half //= 2
    return shared[0]


@cuda.jit
def norm(tensors, chunks, count, layouts, columns, partials):
    """Any grid covers all chunks: block b takes chunks b, b + gridDim.x, and so on."""
    shared = cuda.shared.array(BLOCK, float64)
    c = int64(cuda.blockIdx.x)
    while c < count:
        chunk = pointer(chunks + 3 * WORD * c, int64)
        row = pointer(tensors + columns * WORD * chunk[0], int64)
        start, end = chunk[1], chunk[1] + chunk[2]
        at, address = row[columns - 1], row[GRADIENT]
        g = pointer(address, storage)
        if at < 0:
            share = dense_sum(g, start, end, (address + start * SIZE) % (WIDTH * SIZE) == 0)
        else:
            share = strided_sum(g, pointer(layouts + WORD * at, int64), start, end)
        total, found = block_sum(shared, float64(share)), float64(0)
        if not finite(total):  # NaN, infinity, or finite elements whose squares overflow float32
            exact, bad = exact_sum(g, layouts, at, start, end)
            total = block_sum(shared, exact)
            if block_sum(shared, bad) > 0:
                found = float64(1)
        if cuda.threadIdx.x == 0:
            written = pointer(partials + 2 * WORD * c, float64)
            written[0] = total
            written[1] = found
        c += cuda.gridDim.x
