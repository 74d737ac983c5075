"""Examples by number: in one array or several that continue each other, in memory or on disk."""

import sys
from typing import Any, NamedTuple

import numpy as np

from gpuopt.arrays import array_module, is_array


class Kind(NamedTuple):
    """What chunks must have in common, so that one batch can hold examples of several."""

    library: str
    dtype: Any
    example: tuple[int, ...]
    axis: int

    def __str__(self) -> str:
        return f"{self.library} arrays of {self.dtype} with examples of shape {self.example}"


class Examples:
    """The examples of an array, or of a list of arrays (its chunks) that continue each other.

    They are numbered from 0 along `axis`, across the chunks. TypeError or ValueError, naming
    `name`, for anything else, for an axis that is not there, and for chunks that do not fit.
    """

    def __init__(self, name: str, given: Any, axis: int) -> None:
        chunks = given if isinstance(given, list) else [given]
        if not chunks or not all(map(is_array, chunks)):
            raise TypeError(
                f"{name} must be an array, or a list of arrays that continue each other, got "
                f"{words(given)}; try numpy.asarray({name}). Chunks that arrive one by one are "
                "one iterable of (X, Y), given alone"
            )
        names = [f"{name}[{k}]" for k in range(len(chunks))] if isinstance(given, list) else [name]
        kinds = [kind(x, chunk, axis) for x, chunk in zip(names, chunks, strict=True)]
        for k, other in enumerate(kinds):
            require_same(names[0], kinds[0], names[k], other)
        self.name, self.chunks, self.kind = name, chunks, kinds[0]
        self.lengths = [chunk.shape[self.kind.axis] for chunk in chunks]
        self.ends = np.cumsum(self.lengths)

    def __len__(self) -> int:
        return int(self.ends[-1])

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of all chunks together."""
        example, axis = self.kind.example, self.kind.axis
        return (*example[:axis], len(self), *example[axis:])

    def take(self, index: slice | np.ndarray) -> Any:
        """The examples with these numbers, in this order, in memory.

        One array in memory is indexed as it is, so that a slice of it is a view. Files and several
        chunks are read in ascending order, and only what is asked for.
        """
        axis = self.kind.axis
        if len(self.chunks) == 1 and (isinstance(index, slice) or not on_disk(self.chunks[0])):
            return cut(self.chunks[0], axis, index)
        numbers = np.arange(*index.indices(len(self))) if isinstance(index, slice) else index
        order = np.argsort(numbers)
        ascending = numbers[order]
        bounds = np.searchsorted(ascending, [0, *self.ends])
        pieces = [
            cut(chunk, axis, ascending[low:high] - (end - length))
            for chunk, length, end, low, high in zip(
                self.chunks, self.lengths, self.ends, bounds[:-1], bounds[1:], strict=True
            )
            if low < high
        ]
        return cut(join(pieces, axis), axis, np.argsort(order))


def kind(name: str, array: Any, axis: int) -> Kind:
    shape = tuple(array.shape)
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"{name} has shape {shape}, so it has no axis {axis}")
    axis %= len(shape)
    return Kind(library(array), array.dtype, shape[:axis] + shape[axis + 1 :], axis)


def require_same(name: str, first: Kind, other_name: str, other: Kind) -> None:
    if other != first:
        raise ValueError(
            f"{other_name} has {other}, and {name} has {first}; a batch may hold examples of both, "
            "so they must agree"
        )


def words(given: Any) -> str:
    """What was given in place of arrays, for error messages."""
    if not isinstance(given, (list, tuple)):
        return f"{type(given).__name__}"
    inner = sorted({type(x).__name__ for x in given})
    return f"a {type(given).__name__} of {' and '.join(inner) or 'nothing'}"


def library(array: Any) -> str:
    """Whose array it is: "numpy", "cupy", "torch"."""
    if isinstance(array, np.ndarray):
        return "numpy"
    return type(array).__module__.partition(".")[0]


def on_disk(array: Any) -> bool:
    """Whether an array is a file's: memory-mapped, or one that has no memory to show."""
    return isinstance(array, np.memmap) or not hasattr(array, "__dlpack_device__")


def cut(array: Any, axis: int, index: slice | np.ndarray) -> Any:
    """array[index] along `axis`, in memory. CuPy and PyTorch move a NumPy index to the device."""
    found = array[(slice(None),) * axis + (index,)]
    return np.array(found) if isinstance(found, np.memmap) else found


def join(pieces: list[Any], axis: int) -> Any:
    """Arrays of one kind as one, along `axis`."""
    if len(pieces) == 1:
        return pieces[0]
    if library(pieces[0]) == "torch":
        return sys.modules["torch"].cat(pieces, axis)
    return array_module(pieces[0]).concatenate(pieces, axis)
