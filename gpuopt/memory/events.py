"""What a run of a few steps allocates, event by event."""

import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

INPUTS, GRADIENTS, STATE = "inputs", "gradients", "optimizer state"
REST = "activations and temporaries"
# whose lines are of no interest, but for those in NETWORKS
LIBRARIES = ("numpy", "cupy", "cupyx", "torch", "gpuopt")
NETWORKS = "gpuopt.training"


@dataclass
class Block:
    """One allocation: its bytes, the line of code that made it, what it is for."""

    size: int
    where: str
    role: str


@dataclass
class Trace:
    """The allocations of a run with mini-batches of `batch` examples.

    order: k where block k is allocated, ~k where it is freed. steps: how many of these events came
    up to the end of each step.
    """

    batch: int
    blocks: list[Block] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)

    @property
    def sizes(self) -> np.ndarray:
        return np.array([block.size for block in self.blocks], np.float64)

    def difference(self, other: "Trace") -> str | None:
        """The line of code at which another run first allocates or frees otherwise, whatever the
        sizes; None if it never does."""
        for mine, theirs in itertools.zip_longest(self.events(), other.events()):
            if mine != theirs:
                return (mine or theirs)[1]
        return None

    def events(self) -> list[tuple[int, str]]:
        """The events in order, each with the line of code that allocated the block."""
        return [(k, self.blocks[k if k >= 0 else ~k].where) for k in self.order]


class Recorder:
    """Writes a trace: a tracer tells it of allocations, the run of what they are for.

    later: set by a tracer that learns of allocations when the run is over. It is given whatever is
    told meanwhile, as functions to call at their places among the allocations.
    """

    later: Callable[[Callable[[], None]], None] | None = None

    def __init__(self, batch: int) -> None:
        self.trace = Trace(batch)
        self.live: dict[int, int] = {}  # address to block
        self.known: set[int] = set()  # addresses told of and not yet freed
        self._role = REST

    def malloc(self, address: int, size: int, where: str | None = None) -> None:
        where = where or line_of(sys._getframe(2))
        self.known.add(address)
        self.tell(partial(self._malloc, address, size, where))

    def free(self, address: int) -> None:
        """What was there before the run is no event: another run may not find it."""
        if address in self.known:
            self.known.discard(address)
            self.tell(partial(self._free, address))

    def role(self, role: str) -> None:
        """Say what the next blocks are for."""
        self.tell(partial(setattr, self, "_role", role))

    def step_ends(self) -> None:
        self.tell(lambda: self.trace.steps.append(len(self.trace.order)))

    def name(self, arrays: list[Any], role: str) -> None:
        """Say what the blocks are for in which these arrays lie."""
        self.tell(partial(self._name, [address_of(array) for array in arrays], role))

    def tell(self, change: Callable[[], None]) -> None:
        if self.later is None:
            change()
        else:
            self.later(change)

    def _malloc(self, address: int, size: int, where: str) -> None:
        blocks = self.trace.blocks
        self.live[address] = len(blocks)
        self.trace.order.append(len(blocks))
        blocks.append(Block(size, where, self._role))

    def _free(self, address: int) -> None:
        self.trace.order.append(~self.live.pop(address))

    def _name(self, addresses: list[int], role: str) -> None:
        for at in addresses:
            for start, k in self.live.items():
                if start <= at < start + max(self.trace.blocks[k].size, 1):
                    self.trace.blocks[k].role = role


def line_of(frame: FrameType | None) -> str:
    """The innermost line of code outside libraries, as "file.py:12 in step"."""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith(NETWORKS) or module.partition(".")[0] not in LIBRARIES:
            return words(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
        frame = frame.f_back
    return "unknown"


@cache
def words(file: str, line: int, function: str) -> str:
    return f"{Path(file).name}:{line} in {function}"


def address_of(array: Any) -> int:
    """Where an array's first element lies; 0 where it does not say."""
    if hasattr(array, "untyped_storage"):  # torch's, some of which raise when asked as the others
        return int(array.data_ptr())
    for name in ("__cuda_array_interface__", "__array_interface__"):
        if hasattr(array, name):
            return int(getattr(array, name)["data"][0])
    return 0
