"""Moving the bytes of a step without its formula: what a CPU sweep is measured against, for Numba.

No element changes: what is read is masked with zeros, which no compiler knows. The part between the
two `formula` marks is two arrays read and one of them written; `gpuopt.bench.limits` prints others.

    addresses   int64 (arrays,)       of dense arrays of the same length
    edges       int64 (pieces + 1,)   piece k is the elements edges[k] to edges[k + 1]
    mask        int64                 0
"""

from numba import (  # pyright: ignore[reportAttributeAccessIssue]  # noqa: F401
    njit,
    prange,
    types,
    uint8,
    uint16,
    uint32,
    uint64,
)

from gpuopt.kernels.memory_numba import load, pointer, store

# The C library's: it stores past the caches, where a loop's stores would read each line first.
memcpy = types.ExternalFunction("memcpy", types.int64(types.int64, types.int64, types.int64))


# --- formula ---
@njit(inline="always")
def pointers(row):
    return (pointer(row[0], uint32), pointer(row[1], uint32))


@njit(inline="always")
def visit(a, i, mask):
    value = load(a[1], i, 1) & mask
    store(a[0], i, uint32(load(a[0], i, 0) ^ value), 0)


# --- end of formula ---


@njit
def move_piece(first, last, addresses, mask):
    a = pointers(addresses)
    for i in range(first, last):
        visit(a, i, mask)


@njit(parallel=True, nogil=True, cache=True)
def move(addresses, edges, mask):
    """Every piece once; a single one wakes no other thread."""
    pieces = edges.shape[0] - 1
    if pieces == 1:
        move_piece(edges[0], edges[1], addresses, mask)
    else:
        for k in prange(pieces):
            move_piece(edges[k], edges[k + 1], addresses, mask)


@njit(parallel=True, nogil=True, cache=True)
def copy(target, source, edges):
    """Copy the bytes at an address to another, piece by piece."""
    for k in prange(edges.shape[0] - 1):
        memcpy(target + edges[k], source + edges[k], edges[k + 1] - edges[k])
