"""How many more bytes this process may allocate: the least of all limits, on the CPU or a GPU."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpuopt.memory.containers import container_limits
from gpuopt.memory.limits import Limit, available, resources
from gpuopt.memory.units import parse_bytes, size


@dataclass(frozen=True)
class Budget:
    """bytes: how many more may be allocated; limits: all there are, the least one first; unread:
    names of what may be limits and cannot be read."""

    bytes: int
    limits: tuple[Limit, ...]
    unread: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line: the number, and the limit it comes from."""
        unread = f"; could not be read: {', '.join(self.unread)}" if self.unread else ""
        return f"{size(self.bytes)}: {self.limits[0]}{unread}"


def least(found: Iterable[Limit | str]) -> Budget:
    """The budget within limits; a text names one that cannot be read."""
    found = list(found)
    limits = sorted((x for x in found if isinstance(x, Limit)), key=lambda limit: limit.free)
    return Budget(limits[0].free, tuple(limits), tuple(x for x in found if isinstance(x, str)))


def cpu_budget(root: Path = Path("/")) -> Budget:
    """What main memory has left for this process: available memory, the limits of containers, and
    those of the process (`ulimit`). Page cache counts as free, and swap is not counted.

    All is read below `root`. Raises RuntimeError where nothing tells how much memory is free.
    """
    return least([*available(root), *container_limits(root), *resources(root)])


def gpu_budget(cupy: Any) -> Budget:
    """What the current device has left for arrays: its free memory with the free blocks of CuPy's
    pool, and the pool's limit.

    A free block takes no array larger than itself: call the pool's `free_all_blocks` first.
    """
    free, total = cupy.cuda.runtime.memGetInfo()
    pool = cupy.get_default_memory_pool()
    limits = [
        Limit(f"memory of GPU {cupy.cuda.Device().id}", total, total - free - pool.free_bytes())
    ]
    if pool.get_limit():  # 0: none
        limits.append(Limit("limit of CuPy's pool", pool.get_limit(), pool.used_bytes()))
    return least(limits)


def given(value: Any) -> Budget:
    """The user's own number of bytes, or a text such as "16GiB" or "500MB"."""
    return least([Limit("as given", parse_bytes(value, "the memory budget"), 0)])
