"""Whether lists, dicts and tensors are what they were, asked of hundreds at every step: by the
words of memory that they consist of, where this Python's and PyTorch's objects are known."""

import functools
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuopt.backends.cache import import_source
from gpuopt.lowering.python import whole_text
from gpuopt.torch import layout
from gpuopt.torch.shown import ShownState

LENGTH, ITEMS = 16, 24  # of a list, behind its reference count and its type
VERSION = 24  # of a dict, behind its length: every change of it gives it another (PEP 509)
DICTS = (dict, defaultdict, ShownState)  # others may mean something else by their items


class Words:
    """What some lists, dicts and tensors consist of. Keeps them alive.

    `stand()` says whether the lists hold the same objects, nothing was put into a dict or taken
    out, and the tensors lie as they did and where they did. False also where nobody can tell.
    """

    def __init__(
        self, lists: Sequence[Any] = (), dicts: Sequence[Any] = (), tensors: Sequence[Any] = ()
    ) -> None:
        self.kept = lists, dicts, tensors
        self.table = np.empty((0, 2), np.int64)
        self.stand: Callable[[], bool] = never
        places = layout.places(tensors)
        known = all(type(x) is list for x in lists) and all(type(x) in DICTS for x in dicts)
        if reader() is not None and places is not None and known:
            self.table = noted(reader(), lists, dicts, places)
            self.stand = functools.partial(reader().stand, self.table)

    def note_dicts(self) -> None:
        """Take them as they are now, where there is nothing else, which could move."""
        if self.stand is not never:
            reader().note(self.table)


def never() -> bool:
    return False


def noted(module: Any, lists: Sequence[Any], dicts: Sequence[Any], more: np.ndarray) -> np.ndarray:
    """int64 (words, 2): addresses, and what stands there. An address that was itself read comes
    after the word that says where it is. `more`: addresses of other words."""
    heads = values(module, [id(x) + at for x in lists for at in (ITEMS, LENGTH)])
    firsts = heads[::2, 1].tolist()
    items = [at + 8 * k for x, at in zip(lists, firsts, strict=True) for k in range(len(x))]
    versions = [id(x) + VERSION for x in dicts]
    return np.concatenate([heads, values(module, [*items, *versions]), values(module, more)])


def values(module: Any, addresses: Sequence[int] | np.ndarray) -> np.ndarray:
    table = np.zeros((len(addresses), 2), np.int64)
    table[:, 0] = addresses
    module.note(table)
    return table


@functools.cache
def reader() -> Any:
    """kernels/words_numba.py; None without Numba, and where this Python's objects are otherwise."""
    try:
        module = import_source("words", whole_text("words_numba"))
        return module if reads_rightly(module) else None
    except (ImportError, NotImplementedError):  # no Numba, or it is to compile nothing
        return None


def reads_rightly(module: Any) -> bool:
    """Try it on a list and on a dict, with every way to change them."""
    some = [object(), "b", 3]
    table = dict.fromkeys("abcdef")
    changes = [
        lambda: some.__setitem__(1, object()),
        lambda: some.append(4),
        lambda: some.extend(range(99)),
        some.pop,
        some.reverse,
        some.clear,
        lambda: table.update(a=1),
        lambda: table.__setitem__("a", 2),
        lambda: table.__setitem__("g", 2),
        lambda: table.pop("b"),
        lambda: table.popitem(),
        lambda: table.setdefault("h", 3),
        lambda: table.__ior__({"a": 4}),
        lambda: table.__delitem__("a"),
        table.clear,
    ]
    if type(some).__basicsize__ != 40:
        return False
    for change in changes:
        before = noted(module, [some], [table], np.empty(0, np.int64))
        if not module.stand(before):
            return False
        change()
        if module.stand(before):
            return False
    return True
