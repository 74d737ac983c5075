"""Tables that a kernel reads: where tensors lie, and how their elements are cut into chunks.

All are int64 and pure functions of sizes, addresses and strides; nothing here touches an array's
elements. The columns are written down in kernels/sweep_numba.py and kernels/layout.cuh.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gpuopt.backends.base import Work
from gpuopt.backends.memory import Memory, common_layout

DENSE = -1


class Tables(NamedTuple):
    tensors: np.ndarray  # (tensors, arrays + 2): addresses, row of scalars, place in layouts
    layouts: np.ndarray  # for each tensor that is not dense: axes, lengths, strides array by array
    sizes: np.ndarray  # (tensors,): number of elements


def tables(tensors: Sequence[Sequence[Memory]], rows: Sequence[int]) -> Tables:
    """The tables of `tensors`, each the memories of `[p, g, *state]`; `rows` as in `Work`."""
    table = np.empty((len(tensors), len(tensors[0]) + 2), np.int64)
    layouts: list[int] = []
    for k, (memories, row) in enumerate(zip(tensors, rows, strict=True)):
        real = [m.as_real for m in memories]
        layout = common_layout(real)
        table[k] = [*(m.address for m in real), row, DENSE if layout.is_dense else len(layouts)]
        if not layout.is_dense:
            layouts += [len(layout.shape), *layout.shape]
            layouts += [step for steps in layout.strides for step in steps]
    sizes = np.array([memories[0].as_real.size for memories in tensors], np.int64)
    return Tables(table, np.array(layouts, np.int64), sizes)


def reaches(grads: Sequence[Memory], at: Sequence[int]) -> np.ndarray:
    """int64 (tensors, 4), for `headers.relocate`: the position of each gradient, the first byte and
    one past the last that it touches (relative to its address), and its alignment in bytes."""
    spans = [(m.bounds[0] - m.address, m.bounds[1] - m.address) for m in grads]
    rows = [(k, *span, m.dtype.alignment) for k, span, m in zip(at, spans, grads, strict=True)]
    return np.array(rows, np.int64).reshape(-1, 4)


def forbidden(work: Work) -> np.ndarray:
    """int64 (ranges, 2): where no gradient may come to lie."""
    everywhere = np.array([[0, 2**63 - 1]], np.int64)
    return everywhere if work.pinned else work.written.table


def cut(sizes: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Chunks (tensor, start, count) of tensors laid end to end, cut at their ends and at `at`.

    Empty tensors have no chunk.
    """
    ends = np.cumsum(sizes)
    edges = np.unique(np.concatenate([[0], ends, at[(at > 0) & (at < ends[-1])]]))
    starts, counts = edges[:-1], np.diff(edges)
    tensor = np.searchsorted(ends, starts, side="right")
    return np.column_stack([tensor, starts - (ends - sizes)[tensor], counts])


def chunks_of(sizes: np.ndarray, length: int) -> np.ndarray:
    """Chunks of at most `length` elements, each tensor cut from its own start."""
    sizes = np.asarray(sizes, np.int64)
    per_tensor = -(-sizes // length)
    tensor = np.repeat(np.arange(len(sizes)), per_tensor)
    first = np.repeat(np.cumsum(per_tensor) - per_tensor, per_tensor)
    start = (np.arange(len(tensor)) - first) * length
    return np.column_stack([tensor, start, np.minimum(length, sizes[tensor] - start)])


def shares(sizes: np.ndarray, workers: int, unit: int) -> tuple[np.ndarray, np.ndarray]:
    """Equal shares of all elements: chunks, and the bounds between which each worker takes them.

    Shares end at multiples of `unit` elements; there are fewer than `workers` when there is little
    to do.
    """
    sizes = np.asarray(sizes, np.int64)
    total = int(sizes.sum())
    share = max(unit, -(-total // (workers * unit)) * unit)
    at = np.arange(share, total, share, dtype=np.int64)
    chunks = cut(sizes, at) if total else np.empty((0, 3), np.int64)
    begins = (np.cumsum(sizes) - sizes)[chunks[:, 0]] + chunks[:, 1]
    bounds = np.searchsorted(begins, np.concatenate([[0], at, [total]]))
    return chunks, bounds.astype(np.int64)
