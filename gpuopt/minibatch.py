"""Mini-batches: aligned pieces of a data set, in a fresh order every epoch."""

import inspect
import itertools
from collections.abc import Mapping
from typing import Any, overload

import numpy as np

from gpuopt.arrays import is_array
from gpuopt.checks import flag, generator, whole
from gpuopt.chunks import LISTS
from gpuopt.epochs import Epoch, Stream, Table, batch
from gpuopt.json_types import in_state, random_state


@overload
def minibatches(
    X: Any,
    Y: Any,
    batch_size: int,
    axis: int = 0,
    shuffle: bool = True,
    rng: int | np.random.Generator | None = None,
    drop_last: bool = False,
    *,
    chunks: bool | None = None,
) -> "Minibatches": ...
@overload
def minibatches(
    X: Any,
    *others: Any,
    batch_size: int,
    axis: int = 0,
    shuffle: bool = True,
    rng: int | np.random.Generator | None = None,
    drop_last: bool = False,
    chunks: bool | None = None,
) -> "Minibatches": ...
def minibatches(X: Any, *others: Any, **options: Any) -> "Minibatches":
    """Mini-batches (X{t}, Y{t}) of examples that belong together.

        minibatches(X, Y, batch_size, axis=0, shuffle=True, rng=None, drop_last=False, chunks=None)
        minibatches(X, batch_size=64)  # one array: each mini-batch is an array
        minibatches(X, Y, weights, batch_size=64)  # any number of them: a tuple

    X, Y: NumPy or CuPy arrays, tensors, or `numpy.memmap`; examples along `axis`, as many in each:
    `axis=0` for (m, n_x), `axis=1` for examples in columns, (n_x, m) and (1, m). A table or column
    of pandas or polars is taken as its `to_numpy()` is when the mini-batches are made: rows by
    their position, whatever the index, and batches are NumPy arrays.
    A list of arrays is several examples, one each, which a batch stacks along `axis`, or one array
    in chunks, such as several files. It is read in the only way that fits: arrays of different
    length are chunks, and so are those that together hold as many examples as another array; as
    many arrays as another array has examples are examples. Where nothing tells, a list alone that
    is longer than a batch holds examples; all else is refused until `chunks` is said.
    X alone may also be chunks that do not fit in memory together: an iterable, or a function that
    returns one, which gives one (X, Y) after another, anew for every epoch. A generator lasts for
    one epoch. A `zip` is refused: pass the arrays themselves.
    chunks: True where the arrays of lists continue each other (and those of a zip are chunks),
    False where each is one example.
    batch_size: examples in a batch, at least 1. The last one of an epoch holds what remains; with
    `drop_last` it is left out. m or more is batch gradient descent, 1 is stochastic.
    rng: None, a seed, or a NumPy Generator. The order is drawn on the host, so it is the same for
    arrays on CPU and GPU, and for arrays, memory maps and lists.

    Each `for` loop over the result is one epoch: every example once, in a new order; examples of
    chunks that arrive one by one are shuffled within their chunk, and batches cross the borders.
    `len()` is the number of batches; TypeError for chunks that arrive. `state_dict()` holds the
    place in an epoch. Without `shuffle` the order is the data's own, and batches are views of an
    array in memory. From a memory map only a batch is read at a time, into memory.

    Raises TypeError or ValueError for arrays without that axis, of different length, or empty, for
    chunks that do not fit together, and for options that are none; RuntimeError for a second epoch
    from one generator.
    """
    if "Y" in options:
        others = (options.pop("Y"), *others)
    if others and others[0] is None:
        raise TypeError("Y is None; leave it out: minibatches(X, batch_size=64)")
    arrays = tuple(itertools.takewhile(lambda x: not is_option(x), others))
    arguments = inspect.signature(Minibatches)
    try:
        given = arguments.bind((X, *arrays), *others[len(arrays) :], **options)
    except TypeError as error:
        names = ", ".join(list(arguments.parameters)[1:])
        raise TypeError(f"minibatches: {error}; after the arrays come {names}") from None
    return Minibatches(*given.args, **given.kwargs)


def is_option(x: Any) -> bool:
    """Whether an argument is no data, but `batch_size` or what comes after it."""
    return x is None or isinstance(x, (int, float, str)) or getattr(x, "shape", None) == ()


def arrives(x: Any) -> bool:
    """Whether data come in chunks, one by one, from an iterable or a function."""
    table = hasattr(x, "columns") or hasattr(x, "to_numpy")
    at_hand = is_array(x) or table or isinstance(x, (*LISTS, tuple, str, bytes, Mapping))
    return not at_hand and (callable(x) or hasattr(x, "__iter__"))


class Minibatches:
    """Mini-batches of any number of arrays: see `minibatches`."""

    def __init__(
        self,
        arrays: tuple[Any, ...],
        batch_size: int,
        axis: int = 0,
        shuffle: bool = True,
        rng: int | np.random.Generator | None = None,
        drop_last: bool = False,
        *,
        chunks: bool | None = None,
    ) -> None:
        axis = whole("axis", axis)
        chunks = None if chunks is None else flag("chunks", chunks)
        self.batch_size = whole("batch_size", batch_size, 1)
        self.shuffle, self.drop_last = flag("shuffle", shuffle), flag("drop_last", drop_last)
        streams = len(arrays) == 1 and arrives(arrays[0])
        self.data: Stream | Table = (
            Stream(arrays[0], axis, chunks)
            if streams
            else Table(arrays, axis, chunks, self.batch_size)
        )
        self.count = self.data.count
        if self.count == 0:
            raise ValueError("the arrays hold no examples")
        self.rng = generator(rng)
        self.epoch: Epoch | None = None  # the last that began
        self.resumes = False  # whether the next loop goes on with that one

    def __len__(self) -> int:
        if self.count is None:
            raise TypeError(
                "chunks that arrive one by one have no len(): how many batches they give is known "
                "after an epoch"
            )
        full, rest = divmod(self.count, self.batch_size)
        return full if self.drop_last or not rest else full + 1

    def __iter__(self) -> Epoch:
        drawn_in, done, rng = random_state(self.rng), 0, self.rng
        if self.resumes and self.epoch is not None:
            drawn_in, done = self.epoch.drawn_in, self.epoch.done
            rng = in_state(rng, drawn_in, "the epoch's")
        order = rng if self.shuffle else None
        batches = self.data.epoch(order, self.batch_size, self.drop_last, done)
        self.epoch, self.resumes = Epoch(batches, drawn_in, done), False
        return self.epoch

    def batch(self, order: np.ndarray, start: int) -> Any:
        """The examples from place `start` of an epoch's `order`; for arrays at hand."""
        assert isinstance(self.data, Table)
        return batch(self.data.take(order[start : start + self.batch_size]))

    def state_dict(self, done: int | None = None) -> dict[str, Any]:
        """The place in an epoch and the random state, in JSON's types.

        Loaded by mini-batches of the same data, a loop over them gives what would have come next:
        a new epoch after a loop that has ended, and what remained of one that was left early.
        done: how many batches of the epoch were used, if not all that were given out; say it where
        `prefetch` reads one ahead.
        """
        epoch, place = self.epoch, None
        given = 0 if epoch is None else epoch.done
        if done is not None and not 0 <= whole("done", done) <= given:
            raise ValueError(f"done is {done}, but {given} batches of the epoch were given out")
        if epoch is not None and (done is not None or not epoch.over):
            place = {"drawn_in": epoch.drawn_in, "done": given if done is None else done}
        return {**self.settings, "rng": random_state(self.rng), "epoch": place}

    @property
    def settings(self) -> dict[str, Any]:
        """What must be the same where a state is loaded."""
        names = ("count", "batch_size", "shuffle", "drop_last")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave; the generator given as `rng` is set to its state, too.
        ValueError, before anything has changed, for a state of other mini-batches."""
        missing = {*self.settings, "rng", "epoch"} - set(saved)
        if missing:
            raise ValueError(f"the state to load lacks {', '.join(sorted(missing))}")
        for name, mine in self.settings.items():
            if saved[name] != mine:
                raise ValueError(
                    f"the state to load was saved with {name}={saved[name]!r}, and these "
                    f"mini-batches have {name}={mine!r}"
                )
        now = in_state(self.rng, saved["rng"], "the state to load")
        epoch = None if saved["epoch"] is None else self.saved_epoch(saved["epoch"])
        self.rng.bit_generator.state = now.bit_generator.state
        self.epoch, self.resumes = epoch, epoch is not None

    def saved_epoch(self, place: Any) -> Epoch:
        """An epoch that has come to a saved place. ValueError for what is none."""
        if not isinstance(place, Mapping) or not {"drawn_in", "done"} <= set(place):
            raise ValueError(
                f"epoch in the state to load is {place!r}, expected None or a mapping with "
                "drawn_in and done"
            )
        in_state(self.rng, place["drawn_in"], "the state to load")
        try:
            done = whole("done in the state to load", place["done"], 0)
        except TypeError as error:
            raise ValueError(str(error)) from None
        if self.count is not None and done > len(self):
            raise ValueError(f"done in the state to load is {done}, of {len(self)} batches")
        return Epoch(iter(()), place["drawn_in"], done)
