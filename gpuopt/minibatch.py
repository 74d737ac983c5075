"""Mini-batches: aligned slices of a data set, in a fresh order every epoch."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gpuopt.checks import generator, whole


def minibatches(
    X: Any,
    Y: Any,
    batch_size: int,
    axis: int = 0,
    shuffle: bool = True,
    rng: int | np.random.Generator | None = None,
    drop_last: bool = False,
) -> "Minibatches":
    """Mini-batches (X{t}, Y{t}) of examples that belong together.

    X, Y: NumPy or CuPy arrays, or tensors; examples along `axis`, as many in Y as in X:
    `axis=0` for (m, n_x), `axis=1` for examples in columns, (n_x, m) and (1, m).
    batch_size: examples in a batch, at least 1. The last one of an epoch holds what remains;
    with `drop_last` it is left out.
    rng: None, a seed, or a NumPy Generator. The order is drawn on the host, so it is the same for
    arrays on CPU and GPU.

    Each `for` loop over the result is one epoch: every example once, in a new order. `len()` is the
    number of batches. Without `shuffle` the order is the data's own, and batches are views.

    Raises TypeError or ValueError for arrays without that axis, of different length, or empty,
    and for a batch_size or rng that is none.
    """
    return Minibatches((X, Y), batch_size, axis, shuffle, rng, drop_last)


class Minibatches:
    """Mini-batches of any number of arrays: see `minibatches`."""

    def __init__(
        self,
        arrays: tuple[Any, ...],
        batch_size: int,
        axis: int,
        shuffle: bool,
        rng: int | np.random.Generator | None,
        drop_last: bool,
    ) -> None:
        self.arrays = arrays
        self.axis = whole("axis", axis)
        self.batch_size = whole("batch_size", batch_size, 1)
        self.shuffle, self.drop_last = shuffle, drop_last
        self.count = common_length(arrays, self.axis)
        self.rng = generator(rng)

    def __len__(self) -> int:
        full, rest = divmod(self.count, self.batch_size)
        return full if self.drop_last or not rest else full + 1

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        order = self.rng.permutation(self.count) if self.shuffle else None
        return (self.batch(order, t * self.batch_size) for t in range(len(self)))

    def batch(self, order: np.ndarray | None, start: int) -> tuple[Any, ...]:
        """The examples from place `start` of an epoch's `order` (None: the data's own)."""
        which = slice(start, start + self.batch_size)
        index = which if order is None else order[which]
        return tuple(a[(slice(None),) * (self.axis % len(a.shape)) + (index,)] for a in self.arrays)


def common_length(arrays: tuple[Any, ...], axis: int) -> int:
    """How many examples the arrays have along `axis`; raises unless it is one number above 0."""
    counts = []
    for name, array in zip("XY", arrays, strict=True):
        if not hasattr(array, "shape"):
            raise TypeError(
                f"{name} must be an array, got a {type(array).__name__}; try numpy.asarray({name})"
            )
        shape = tuple(array.shape)
        if not -len(shape) <= axis < len(shape):
            raise ValueError(f"{name} has shape {shape}, so it has no axis {axis}")
        counts.append(shape[axis])
    if len(set(counts)) > 1:
        shapes = " and ".join(str(tuple(a.shape)) for a in arrays)
        raise ValueError(
            f"X and Y have {counts[0]} and {counts[1]} examples along axis {axis} (shapes "
            f"{shapes}); they must have as many. For examples in columns pass axis=1"
        )
    if counts[0] == 0:
        raise ValueError("X and Y hold no examples")
    return counts[0]
