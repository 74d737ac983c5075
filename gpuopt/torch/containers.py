"""Whether lists and dicts still hold the same objects, asked of hundreds at every step: in compiled
code where this Python's objects can be read in place."""

import functools
import itertools
from importlib import resources
from operator import is_
from typing import Any

import numpy as np

from gpuopt.backends.cache import import_source


class Lists:
    """Lists, or what else param_groups have in their place, and whether others hold the same."""

    def __init__(self, lists: list[list[Any]]) -> None:
        self.lists, self.items = lists, list(itertools.chain.from_iterable(lists))
        self.lengths = [len(x) for x in lists]
        self.reader = reader() if all(type(x) is list for x in lists) else None
        if self.reader is not None:
            given = list(map(id, lists)), self.lengths, list(map(id, self.items))
            self.tables = [np.array(x, np.int64) for x in given]

    def same(self, lists: list[list[Any]]) -> bool:
        """Whether these hold just the same objects."""
        if self.reader is not None and all(map(is_, lists, self.lists)):
            return self.reader.hold_items(*self.tables)
        items = itertools.chain.from_iterable(lists)
        return [len(x) for x in lists] == self.lengths and all(map(is_, items, self.items))


class Dicts:
    """Dicts, and whether nothing was put into one or taken out since."""

    def __init__(self, dicts: list[dict[Any, Any]]) -> None:
        self.dicts, self.reader = dicts, reader()
        if self.reader is not None:
            self.addresses = np.array(list(map(id, dicts)), np.int64)
            self.versions = np.empty_like(self.addresses)
            self.reader.versions(self.addresses, self.versions)

    @property
    def untouched(self) -> bool:
        """False also where Python does not tell: then look into each."""
        return self.reader is not None and self.reader.have_versions(self.addresses, self.versions)


@functools.cache
def reader() -> Any:
    """kernels/containers_numba.py; None where this Python's objects are otherwise."""
    text = resources.files("gpuopt.kernels").joinpath("containers_numba.py").read_text()
    try:
        module = import_source("containers", text)
    except ImportError:  # no Numba
        return None
    return module if reads_rightly(module) else None


def reads_rightly(module: Any) -> bool:
    """Try it on a list, and on a dict with every way to change it."""
    some = [object(), "b", 3]
    tables = [np.array(x, np.int64) for x in ([id(some)], [3], list(map(id, some)))]
    if type(some).__basicsize__ != 40 or not module.hold_items(*tables):
        return False
    some[1] = object()
    if module.hold_items(*tables):
        return False
    some = dict.fromkeys("abcdef")
    changes = [
        lambda: some.update(a=1),
        lambda: some.__setitem__("a", 2),
        lambda: some.__setitem__("g", 2),
        lambda: some.pop("b"),
        lambda: some.popitem(),
        lambda: some.setdefault("h", 3),
        lambda: some.__ior__({"a": 4}),
        lambda: some.__delitem__("a"),
        some.clear,
    ]
    at, version = np.array([id(some)], np.int64), np.empty(1, np.int64)
    for change in changes:
        module.versions(at, version)
        if not module.have_versions(at, version):
            return False
        change()
        if module.have_versions(at, version):
            return False
    return True
