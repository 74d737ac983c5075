"""This machine's limit for a step, measured: the same bytes, without the formula, on the CPU.

A triad reads and writes the arrays of the step itself, each once, on as many threads; a copy moves
as many bytes in all. Neither changes an element. Numba where it runs, else NumPy on one thread.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuopt import backends
from gpuopt.backends.cache import import_source
from gpuopt.bench.traffic import Traffic
from gpuopt.lowering.python import as_tuple, print_into

PIECE = 16_384  # elements: four arrays of them fit in the second-level cache
UNIT = 64  # elements: a thread's share begins at a multiple, as in the sweep
COPIED = 2**28  # bytes at most between which a copy goes to and fro; more than caches hold

Move = Callable[[], object]


def limits(traffic: Traffic, arrays: Sequence[np.ndarray]) -> dict[str, Move]:
    """Candidates for the clock, by name; the fastest is the limit.

    arrays: flat p, state, g of the step that is compared, as `traffic` counts them: memory is not
    equally fast everywhere. `flat_arrays` makes others. ValueError for arrays that do not fit.
    """
    words = as_words(traffic, arrays)
    total = traffic.bytes * words[0].size
    if backends.unavailable("numba"):
        triad = functools.partial(move_by_numpy, words, len(traffic.writes))
        return {"limit, copy": copy_by_numpy(total), f"limit, {traffic.name}": triad}
    threads = threads_for(words[0].size)
    found = {"limit, copy": copy_by_numba(total, threads)}
    lengths = {"": share(words[0].size, threads)}
    if threads > 1:
        lengths[f", cut by {PIECE}"] = PIECE
    for how, length in lengths.items():
        edges = cut(words[0].size, length)
        found[f"limit, {traffic.name}{how}"] = triad_by_numba(compiled(traffic), words, edges)
    return found


def flat_arrays(traffic: Traffic, count: int) -> list[np.ndarray]:
    """Arrays for `limits`, of `count` elements each, where a step has no flat ones."""
    return [np.ones(count, f"u{width}") for width in traffic.reads]


def as_words(traffic: Traffic, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The arrays as unsigned integers: their bits are moved, whatever they mean."""
    traffic.check(arrays)
    if not all(a.flags.c_contiguous for a in arrays):
        raise ValueError("the limit needs arrays without gaps; give numpy.ascontiguousarray(...)")
    return [a.view(f"u{a.itemsize}") for a in arrays]


def threads_for(count: int) -> int:
    """As many as gpuopt's own sweep takes for so many elements."""
    from gpuopt.backends.numba import NumbaBackend
    from gpuopt.backends.threads import LEAST, start_threads

    start_threads()
    return max(min(NumbaBackend().threads, count // LEAST), 1)


def share(count: int, threads: int) -> int:
    return -(-count // (threads * UNIT)) * UNIT


def cut(count: int, length: int) -> np.ndarray:
    """The edges of pieces of `length` elements."""
    return np.append(np.arange(0, count, length), count).astype(np.int64)


@functools.cache
def compiled(traffic: Traffic) -> Any:
    """The module of kernels/limit_numba.py for a mix of arrays."""
    return import_source("limit", print_into("limit_numba", printed(traffic)))


def printed(traffic: Traffic) -> str:
    """The functions that visit an element of every array, written ones first."""
    written = len(traffic.writes)
    kinds = [f"uint{8 * width}" for width in traffic.reads]
    only_read = [f"load(a[{k}], i, {k})" for k in range(written, len(kinds))]
    value = " & ".join(["mask", *[f"({' | '.join(only_read)})"] * bool(only_read)])
    mark = "@njit(inline='always')"
    lines = [
        mark,
        "def pointers(row):",
        f"    return {as_tuple(f'pointer(row[{k}], {kind})' for k, kind in enumerate(kinds))}",
        "",
        "",
        mark,
        "def visit(a, i, mask):",
        f"    value = {value}",
    ]
    for k in range(written):
        lines.append(f"    store(a[{k}], i, {kinds[k]}(load(a[{k}], i, {k}) ^ value), {k})")
    return "\n".join([*lines, "", "", ""])


def triad_by_numba(kernels: Any, words: list[np.ndarray], edges: np.ndarray) -> Move:
    addresses = np.array([a.ctypes.data for a in words], np.int64)
    return lambda words=words: kernels.move(addresses, edges, 0)  # which keeps the arrays alive


def copy_by_numba(total: int, threads: int) -> Move:
    """A copy that reads and writes `total` bytes in all."""
    kernels = compiled(Traffic((4, 4), (4,)))  # whatever the mix: it is compiled once
    target, source, sizes = buffers(total)
    to, origin = target.ctypes.data, source.ctypes.data
    rounds = [cut(size, share(size, threads)) for size in sizes]

    def copy(kept: object = (target, source)) -> None:
        for edges in rounds:
            kernels.copy(to, origin, edges)

    return copy


def buffers(total: int) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Where to copy to and from, and how many bytes each time, `total` // 2 in all.

    Both are filled: memory that was never written is one page of zeros, which caches hold.
    """
    half = max(total // 2, 1)
    size = min(half, COPIED)
    rest = [half % size] if half % size else []
    return np.ones(size, np.uint8), np.ones(size, np.uint8), [size] * (half // size) + rest


def copy_by_numpy(total: int) -> Move:
    target, source, sizes = buffers(total)

    def copy() -> None:
        for size in sizes:
            np.copyto(target[:size], source[:size])

    return copy


def move_by_numpy(words: list[np.ndarray], written: int) -> None:
    """The triad, piece by piece, so that what was read once is read again from a cache."""
    for start in range(0, words[0].size, PIECE):
        pieces = [a[start : start + PIECE] for a in words]
        value = np.zeros(pieces[0].size, pieces[0].dtype)
        for a in pieces[written:]:
            value = np.bitwise_and(a, 0)
        for a in pieces[:written]:
            np.bitwise_xor(a, value, out=a, casting="unsafe")
