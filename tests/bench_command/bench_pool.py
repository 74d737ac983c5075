"""What the stand-in for CuPy lacks and a benchmark on a GPU asks for: hooks of the memory pool, and
how large the L2 is."""

import weakref
from typing import Any

import pytest

from tests.without_gpu import cupy_stand_in as stand_in

entered: list["MemoryHook"] = []


class MemoryHook:
    """Is told of every array that is allocated or let go while it is entered."""

    def malloc_postprocess(self, **about: Any) -> None: ...

    def free_postprocess(self, **about: Any) -> None: ...

    def __enter__(self) -> "MemoryHook":
        entered.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        entered.remove(self)


def tell(what: str, size: int) -> None:
    for hook in entered:
        getattr(hook, what)(mem_size=size)


def like_a_gpu(cupy: Any, monkeypatch: pytest.MonkeyPatch, l2: int = 0) -> None:
    """Have the stand-in tell hooks of its allocations, which are of multiples of 512 bytes."""
    real = stand_in.empty

    def empty(*args: Any, **kwargs: Any) -> Any:
        new = real(*args, **kwargs)
        size = -(-new.nbytes // 512) * 512
        tell("malloc_postprocess", size)
        weakref.finalize(new.host, tell, "free_postprocess", size)
        return new

    for place in (cupy, stand_in):
        monkeypatch.setattr(place, "empty", empty)
    cupy.cuda.MemoryHook = MemoryHook
    cupy.cuda.runtime.getDeviceProperties = lambda device: {"l2CacheSize": l2}
