"""Examples by number: in one array, in several that continue each other, or each in its own.

Arrays may lie in memory or on disk.
"""

import sys
from collections import deque
from collections.abc import Mapping, Sequence, ValuesView
from typing import Any, NamedTuple

import numpy as np

from gpuopt.arrays import array_module, as_array, is_array

LISTS = (list, deque, ValuesView)  # collections whose arrays are all at hand
KNOWN = ("numpy", "cupy", "torch")  # libraries whose arrays are known to be indexed as NumPy's


class Kind(NamedTuple):
    """What chunks must have in common, so that one batch can hold examples of several."""

    library: str
    dtype: Any
    example: tuple[int, ...]
    axis: int

    def __str__(self) -> str:
        return f"{self.library} arrays of {self.dtype} with examples of shape {self.example}"


class Examples:
    """The examples of an array, or of several arrays (its chunks) that continue each other.

    They are numbered from 0 along `axis`, across the chunks. names: of the chunks, for errors.
    TypeError or ValueError for an axis that is not there, for chunks that do not fit together, and
    for what cannot be indexed by number.
    """

    def __init__(self, name: str, chunks: Sequence[Any], names: Sequence[str], axis: int) -> None:
        kinds = [kind(x, chunk, axis) for x, chunk in zip(names, chunks, strict=True)]
        require_same(names, kinds)
        self.name, self.chunks, self.kind = name, chunks, kinds[0]
        self.lengths = [chunk.shape[self.kind.axis] for chunk in chunks]
        self.ends = np.cumsum(self.lengths)
        if self.lengths[0]:
            shape = with_length(1, self.kind)
            try_first(names[0], chunks[0], shape, lambda x: cut(x, self.kind.axis, np.array([0])))

    def __len__(self) -> int:
        return int(self.ends[-1])

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of all chunks together."""
        return with_length(len(self), self.kind)

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


class Stacked:
    """Examples that are each an array of their own, stacked along `axis` as a batch is taken.

    TypeError or ValueError for arrays of different shape or dtype, and for an axis that a stack of
    them does not have.
    """

    def __init__(self, name: str, arrays: Sequence[Any], names: Sequence[str], axis: int) -> None:
        kinds = [kind(x, array, axis, stacked=True) for x, array in zip(names, arrays, strict=True)]
        require_same(names, kinds)
        self.name, self.chunks, self.kind = name, arrays, kinds[0]
        self.lengths = [1] * len(arrays)
        shape = with_length(1, self.kind)
        try_first(names[0], arrays[0], shape, lambda x: batch_of_one(x, self.kind.axis))

    def __len__(self) -> int:
        return len(self.chunks)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of all examples together."""
        return with_length(len(self), self.kind)

    def take(self, index: slice | np.ndarray) -> Any:
        """The examples with these numbers, in this order, in memory: a new array."""
        numbers = range(*index.indices(len(self))) if isinstance(index, slice) else index
        return join([batch_of_one(self.chunks[k], self.kind.axis) for k in numbers], self.kind.axis)


Column = Examples | Stacked


def arrays_of(name: str, given: Any) -> tuple[list[Any], list[str]]:
    """The arrays given under a name, and what each is called: one, or those of a list.

    TypeError for what is neither an array nor a list of arrays.
    """
    listed = isinstance(given, LISTS)
    arrays = [as_array(x) for x in (given if listed else [given])]
    if not arrays or not all(map(is_array, arrays)):
        raise TypeError(
            f"{name} must be an array, or a list of arrays, got {words(given)}; "
            f"{advice(name, given)}. Chunks that arrive one by one are one iterable of (X, Y), "
            "given alone"
        )
    return arrays, [f"{name}[{k}]" for k in range(len(arrays))] if listed else [name]


def advice(name: str, given: Any) -> str:
    """How to give what is no array."""
    inner = list(given) if isinstance(given, (*LISTS, tuple)) else []
    if any(isinstance(x, (list, tuple)) and any(map(is_array, x)) for x in inner):
        return (
            f"stack what belongs together: numpy.stack([x for x, y in {name}]), "
            f"numpy.stack([y for x, y in {name}])"
        )
    if isinstance(given, (tuple, Mapping)):
        return f"give its arrays one after another, or numpy.stack({name}) if each is an example"
    if hasattr(given, "__getitem__") and not hasattr(given, "__iter__"):
        return f"stack its examples: numpy.stack([x for x, y in {name}]), and y likewise"
    return f"try numpy.asarray({name})"


def kind(name: str, array: Any, axis: int, stacked: bool = False) -> Kind:
    """What an array holds: examples along `axis`, or one to be stacked with others along it."""
    shape = tuple(array.shape)
    ndim = len(shape) + stacked
    if not -ndim <= axis < ndim:
        mend = f"; try {name}.reshape(1, -1)" if (ndim, axis) == (1, 1) else ""
        raise ValueError(f"{name} has shape {shape}, so it has no axis {axis}{mend}")
    axis %= ndim
    example = shape if stacked else shape[:axis] + shape[axis + 1 :]
    return Kind(library(array), array.dtype, example, axis)


def with_length(count: int, kind: Kind) -> tuple[int, ...]:
    """The shape of so many examples of a kind."""
    return (*kind.example[: kind.axis], count, *kind.example[kind.axis :])


def require_same(names: Sequence[str], kinds: Sequence[Kind]) -> None:
    """ValueError for the first of these kinds that is another than the one at the beginning."""
    for other_name, other in zip(names, kinds, strict=True):
        if other != kinds[0]:
            raise ValueError(
                f"{other_name} has {other}, and {names[0]} has {kinds[0]}; a batch may hold "
                "examples of both, so they must agree"
            )


def try_first(name: str, array: Any, shape: tuple[int, ...], take: Any) -> None:
    """TypeError where the first example of a library that is not known cannot be taken."""
    if library(array) in KNOWN:
        return
    try:
        found, why = tuple(take(array).shape), ""
    except Exception as error:  # whatever that library raises
        found, why = None, f" ({error})"
    if found != shape:
        mend = f"{name}.toarray()" if hasattr(array, "toarray") else f"numpy.asarray({name})"
        raise TypeError(
            f"{name} is a {type(array).__name__} of {library(array)}, which does not give its "
            f"examples by their numbers{why[:200]}; try {mend}"
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
    return in_memory(array[(slice(None),) * axis + (index,)])


def batch_of_one(array: Any, axis: int) -> Any:
    """One example as a batch of one, in memory: with an axis of length 1 at `axis`."""
    whole = in_memory(array[...]) if on_disk(array) else array
    return whole[(slice(None),) * axis + (None,)]


def in_memory(array: Any) -> Any:
    """An array that was read from a file, or is xarray's, as NumPy's; another as it is."""
    if hasattr(array, "to_numpy"):
        return array.to_numpy()
    return np.array(array) if isinstance(array, np.memmap) else array


def join(pieces: list[Any], axis: int) -> Any:
    """Arrays of one kind as one, along `axis`."""
    if len(pieces) == 1:
        return pieces[0]
    if library(pieces[0]) == "torch":
        return sys.modules["torch"].cat(pieces, axis)
    if library(pieces[0]) == "scipy":  # a sparse matrix
        sparse = sys.modules["scipy.sparse"]
        return (sparse.hstack if axis else sparse.vstack)(pieces, pieces[0].format)
    if any(isinstance(piece, np.ma.MaskedArray) for piece in pieces):
        return np.ma.concatenate(pieces, axis)
    return array_module(pieces[0]).concatenate(pieces, axis)
