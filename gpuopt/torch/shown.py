"""torch.optim's state of an optimizer, which shows what a GPU has counted to whoever looks."""

import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any


class ShownState(defaultdict[Any, Any]):
    """A defaultdict of dicts, as torch.optim's. Looking at its values first calls `settle`, which
    waits for a GPU if that alone knows how many steps were taken; gpuopt itself looks by the
    methods of dict, and does not wait. Copies and pickles are plain."""

    def __init__(self, settle: Callable[[], None], entries: Mapping[Any, Any]) -> None:
        """settle: a method, of whose object only a weak reference is kept."""
        super().__init__(dict, entries)
        self._settle = weakref.WeakMethod(settle)

    def settle(self) -> None:
        method = self._settle()
        if method is not None:
            method()

    def __getitem__(self, key: Any) -> Any:
        self.settle()
        return super().__getitem__(key)

    def __iter__(self) -> Any:  # dict(state) asks it, too
        self.settle()
        return super().__iter__()

    def keys(self) -> Any:
        self.settle()
        return super().keys()

    def values(self) -> Any:
        self.settle()
        return super().values()

    def items(self) -> Any:
        self.settle()
        return super().items()

    def get(self, *args: Any) -> Any:
        self.settle()
        return super().get(*args)

    def pop(self, *args: Any) -> Any:
        self.settle()
        return super().pop(*args)

    def popitem(self) -> Any:
        self.settle()
        return super().popitem()

    def setdefault(self, *args: Any) -> Any:
        self.settle()
        return super().setdefault(*args)

    def copy(self) -> Any:
        return defaultdict(self.default_factory, self.items())

    __copy__ = copy

    def __or__(self, other: Any) -> Any:
        return self.copy() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.copy()

    def __reduce__(self) -> Any:
        return defaultdict, (self.default_factory,), None, None, iter(self.items())

    def __repr__(self) -> str:
        return repr(self.copy())


def values_of(state: Mapping[Any, Any]) -> Iterable[Any]:
    """The values of a state as they stand."""
    return dict.values(state) if isinstance(state, dict) else state.values()


def entry_of(state: MutableMapping[Any, Any], key: Any, new: bool = True) -> dict[str, Any]:
    """A value of a state as it stands; {} where there is none, which is put there if `new`."""
    look: Any = dict if isinstance(state, dict) else type(state)
    return look.setdefault(state, key, {}) if new else look.get(state, key, {})
