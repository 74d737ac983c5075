"""Where an epoch's mini-batches come from: arrays at hand, or chunks that arrive one by one."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gpuopt.chunks import LISTS, Column, Examples, Kind, Stacked, arrays_of, join, require_same


class Epoch(Iterator[Any]):
    """The batches of an epoch, how many were given out, and the random state it began with."""

    def __init__(self, batches: Iterator[Any], drawn_in: dict[str, Any], done: int) -> None:
        self.batches, self.drawn_in, self.done = batches, drawn_in, done
        self.over = False

    def __next__(self) -> Any:
        try:
            found = next(self.batches)
        except StopIteration:
            self.over = True
            raise
        self.done += 1
        return found


class Table:
    """Arrays, or lists of arrays, whose examples of the same number belong together.

    chunks: whether the arrays of a list continue each other, or each is one example; None where
    that is to be told from their shapes. batch_size: of the mini-batches to come, if known.
    TypeError or ValueError for what does not fit together, or can be read both ways.
    """

    def __init__(
        self,
        given: Sequence[Any],
        axis: int,
        chunks: bool | None = None,
        batch_size: int | None = None,
    ) -> None:
        names = ["X", "Y", *(f"array {k}" for k in range(2, len(given)))]
        found = [Given(name, x) for name, x in zip(names, given, strict=False)]
        if chunks is None and any(x.listed for x in found):
            self.columns = told_apart(found, axis, batch_size)
        else:
            self.columns = aligned(found, axis, chunks is not False)
        self.count = len(self.columns[0])

    def take(self, index: slice | np.ndarray) -> tuple[Any, ...]:
        """The examples with these numbers, in this order, of each array."""
        return tuple(column.take(index) for column in self.columns)

    def epoch(
        self, rng: np.random.Generator | None, batch_size: int, drop_last: bool, done: int
    ) -> Iterator[Any]:
        """The batches from number `done` on, in an order drawn now (None: the arrays' own)."""
        order = None if rng is None else rng.permutation(self.count)
        end = self.count - self.count % batch_size if drop_last else self.count
        places = (slice(k, k + batch_size) for k in range(done * batch_size, end, batch_size))
        return (batch(self.take(place if order is None else order[place])) for place in places)


class Given:
    """What was given under a name: an array, or a list of them."""

    def __init__(self, name: str, given: Any) -> None:
        self.name, self.listed = name, isinstance(given, LISTS)
        self.arrays, self.names = arrays_of(name, given)

    def column(self, axis: int, chunks: bool) -> Column:
        """Its examples, where the arrays of a list are chunks, or each is an example."""
        read = Examples if chunks or not self.listed else Stacked
        return read(self.name, self.arrays, self.names, axis)


def aligned(given: Sequence[Given], axis: int, chunks: bool) -> list[Column]:
    """The columns, where lists are read as said. ValueError where their examples do not agree."""
    columns = [x.column(axis, chunks) for x in given]
    counts = [len(column) for column in columns]
    if len(set(counts)) > 1:
        shapes = [column.shape for column in columns]
        raise ValueError(
            f"{listed([x.name for x in given])} have {listed(counts)} examples along axis {axis} "
            f"(shapes {listed(shapes)}); they must have as many. {mend(given, shapes, axis)}"
        )
    first = columns[0]
    for other in columns:
        if len(first.chunks) == len(other.chunks) and first.lengths != other.lengths:
            raise ValueError(
                f"the chunks of {first.name} hold {first.lengths} examples, those of "
                f"{other.name} {other.lengths}; give both in the same order"
            )
    return columns


def told_apart(given: Sequence[Given], axis: int, batch_size: int | None) -> list[Column]:
    """The columns, where lists are read in the only way that fits.

    Where both fit, a list given alone holds examples if it is longer than a batch: nobody has more
    files than examples in a batch. ValueError if it is not, and for several lists.
    """
    fitting: dict[bool, list[Column]] = {}
    errors: dict[bool, Exception] = {}
    for chunks in (True, False):
        try:
            fitting[chunks] = aligned(given, axis, chunks)
        except (TypeError, ValueError) as error:
            errors[chunks] = error
    if not fitting:
        error, others = errors[True], ""
        if len(given) == 1:
            others = ". Arrays that belong together are given one after another, not in a list"
        raise type(error)(f"{error}{others}")
    if False not in fitting:
        return fitting[True]
    settled = any(not x.listed or x.arrays[0].shape == () for x in given)  # by another's number
    if True in fitting or not settled:
        long = batch_size is not None and len(fitting[False][0]) > batch_size
        if not long or (True in fitting and len(given) > 1):
            raise ValueError(two_readings(next(x for x in given if x.listed), axis))
    return fitting[False]


def two_readings(x: Given, axis: int) -> str:
    shape = tuple(x.arrays[0].shape)
    return (
        f"{x.name} is a list of {len(x.arrays)} arrays of shape {shape}: say chunks=False if each "
        f"is one example, as numpy.stack({x.name}) makes them one array, or chunks=True if they "
        f"continue each other along axis {axis}, as in numpy.concatenate({x.name})"
    )


def mend(given: Sequence[Given], shapes: Sequence[tuple[int, ...]], axis: int) -> str:
    """What to try where the numbers of examples differ."""
    if axis not in (0, 1):
        return "Give the axis along which examples lie"
    count = shapes[0][axis]
    for x, shape in zip(given, shapes, strict=True):
        if len(shape) == 2 and shape[axis] != count == shape[1 - axis]:
            return f"Try {x.name}.ravel()" if (axis, shape[0]) == (0, 1) else f"Try {x.name}.T"
    return f"For examples in {'rows' if axis else 'columns'} pass axis={1 - axis}"


class Stream:
    """Chunks that arrive one by one: each an array, or a tuple of arrays that belong together."""

    count = None  # of examples: known when they have all arrived

    def __init__(self, given: Any, axis: int, chunks: bool | None = None) -> None:
        if chunks is False:
            raise ValueError(
                "chunks=False: examples that arrive one by one cannot be shuffled; stack them "
                "first: numpy.stack(list(X))"
            )
        self.given, self.axis, self.said = given, axis, chunks is not None
        self.begun = False
        self.refuse_zip(given)

    def epoch(
        self, rng: np.random.Generator | None, batch_size: int, drop_last: bool, done: int
    ) -> Iterator[Any]:
        """The batches from number `done` on, each chunk in an order of its own."""
        # one number now, so that the user's generator does not depend on when chunks arrive
        own = None if rng is None else np.random.default_rng(rng.integers(2**63))
        return itertools.islice(self.batches(self.chunks(), own, batch_size, drop_last), done, None)

    def chunks(self) -> Iterator[Any]:
        """The chunks from the first on. RuntimeError if they are gone."""
        chunks = self.given if hasattr(self.given, "__iter__") else self.given()
        if not hasattr(chunks, "__iter__"):
            raise TypeError(f"the function of chunks must return an iterable, got {chunks!r}")
        self.refuse_zip(chunks)
        if self.begun and iter(chunks) is self.given:
            raise RuntimeError(
                "the chunks come from a generator, which has given them already; pass the function "
                "that makes it, without calling it, so that every epoch has a new one"
            )
        self.begun = True
        return iter(chunks)

    def refuse_zip(self, chunks: Any) -> None:
        """TypeError for pairs of who knows what; a user says that they are chunks."""
        if isinstance(chunks, zip) and not self.said:
            raise TypeError(
                "a zip gives one example after another: leave it out, minibatches(X, Y, ...), with "
                "numpy.stack of examples in lists. If it gives chunks (X, Y) of several examples, "
                "say chunks=True"
            )

    def batches(
        self,
        chunks: Iterator[Any],
        rng: np.random.Generator | None,
        batch_size: int,
        drop_last: bool,
    ) -> Iterator[Any]:
        """Batches across the borders of chunks, of which one is held at a time."""
        kinds: list[Kind] = []
        parts: list[tuple[Any, ...]] = []  # of the batch that is being filled
        number, total, held = 0, 0, 0
        for chunk in chunks:
            table = self.table(chunk, number, kinds)
            kinds = [column.kind for column in table.columns]
            order = np.arange(table.count) if rng is None else rng.permutation(table.count)
            start = 0
            while start < table.count:
                stop = min(start + batch_size - held, table.count)
                parts.append(table.take(order[start:stop]))
                held += stop - start
                start = stop
                if held == batch_size:
                    held = 0
                    yield joined(parts, kinds)
            number += 1
            total += table.count
            del chunk, table  # before the next one is made
        if not total:
            raise ValueError(f"{number} chunks came, which hold no examples")
        if held and not drop_last:
            yield joined(parts, kinds)

    def table(self, chunk: Any, number: int, kinds: list[Kind]) -> Table:
        """A chunk as a table, whose arrays must be of the `kinds` of the one before it."""
        given = chunk if isinstance(chunk, (tuple, list)) else (chunk,)
        try:
            if not given or (kinds and len(kinds) != len(given)):
                raise ValueError(f"it has {len(given)} arrays, expected {len(kinds) or 'some'}")
            table = Table(given, self.axis)
            for before, column in zip(kinds, table.columns, strict=False):
                require_same(("the chunk before", column.name), (before, column.kind))
        except (TypeError, ValueError) as error:
            single = "" if number else ". Are these single examples? numpy.stack them first"
            raise type(error)(f"chunk {number}: {error}{single}") from None
        return table


def batch(arrays: tuple[Any, ...]) -> Any:
    """What a loop gets: a tuple of arrays, or the array itself where there is one."""
    return arrays[0] if len(arrays) == 1 else arrays


def joined(parts: list[tuple[Any, ...]], kinds: list[Kind]) -> Any:
    """A batch of parts, which are let go."""
    pieces = zip(*parts, strict=True)
    found = tuple(join(list(x), kind.axis) for x, kind in zip(pieces, kinds, strict=True))
    parts.clear()
    return batch(found)


def listed(values: Sequence[Any]) -> str:
    """The words "3, 4 and 5"."""
    return f"{', '.join(map(str, values[:-1]))} and {values[-1]}"
