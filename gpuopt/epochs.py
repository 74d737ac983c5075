"""Where an epoch's mini-batches come from: arrays at hand, or chunks that arrive one by one."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gpuopt.chunks import Examples, Kind, join, require_same


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
    """Arrays, or lists of chunks, whose examples of the same number belong together."""

    def __init__(self, given: Sequence[Any], axis: int) -> None:
        names = ["X", "Y", *(f"array {k}" for k in range(2, len(given)))]
        self.columns = [Examples(name, x, axis) for name, x in zip(names, given, strict=False)]
        counts = [len(column) for column in self.columns]
        if len(set(counts)) > 1:
            shapes = listed([column.shape for column in self.columns])
            raise ValueError(
                f"{listed(names[: len(given)])} have {listed(counts)} examples along axis {axis} "
                f"(shapes {shapes}); they must have as many. For examples in columns pass axis=1"
            )
        first = self.columns[0]
        for other in self.columns:
            if len(first.chunks) == len(other.chunks) and first.lengths != other.lengths:
                raise ValueError(
                    f"the chunks of {first.name} hold {first.lengths} examples, those of "
                    f"{other.name} {other.lengths}; give both in the same order"
                )
        self.count = counts[0]

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


class Stream:
    """Chunks that arrive one by one: each an array, or a tuple of arrays that belong together."""

    count = None  # of examples: known when they have all arrived

    def __init__(self, given: Any, axis: int) -> None:
        self.given, self.axis = given, axis
        self.begun = False

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
        if self.begun and iter(chunks) is self.given:
            raise RuntimeError(
                "the chunks come from a generator, which has given them already; pass the function "
                "that makes it, without calling it, so that every epoch has a new one"
            )
        self.begun = True
        return iter(chunks)

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
                require_same("the chunk before", before, column.name, column.kind)
        except (TypeError, ValueError) as error:
            raise type(error)(f"chunk {number}: {error}") from None
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
