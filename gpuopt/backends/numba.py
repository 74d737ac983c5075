"""The Numba backend: one parallel, vectorised sweep over all CPU tensors of a signature.

The rule's formula is printed as scalar Python into the text of kernels/sweep_numba.py and compiled
once. The machine code is kept between processes (`backends/kept_code.py`) under a name that holds a
hash of the text, so an edited formula is another file.
"""

import functools
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from numba.core import config

from gpuopt.backends.base import BackendError, Launch, Work
from gpuopt.backends.cache import import_source
from gpuopt.backends.headers import headers, headers_are_readable, watch
from gpuopt.backends.host import HostBackend, HostLaunch
from gpuopt.backends.memory import Memory
from gpuopt.backends.tables import chunks_of, forbidden, reaches, shares, tables
from gpuopt.backends.threads import LEAST, ONE_AT_A_TIME, THREADS, WAKING, start_threads
from gpuopt.backends.watch import Watch
from gpuopt.lowering import python as printer
from gpuopt.lowering.program import Program
from gpuopt.lowering.trace import trace
from gpuopt.rules.base import Rule

NORM_CHUNK = 65_536  # elements whose sum of squares is one number
WRITEABLE = 0x400  # among the flags of a NumPy array
NO_ROW = -1  # of a tensor that has no gradient in this step
UNIT = 64  # elements: shares are whole multiples of it


class NumbaBackend(HostBackend):
    name = "numba"

    def __init__(self, threads: int | None = None) -> None:
        """`threads`: how many to use at most; None: as many as Numba has."""
        self.threads = min(config.NUMBA_NUM_THREADS, threads or 2**31)  # pyright: ignore
        if config.DISABLE_JIT:  # pyright: ignore
            raise BackendError("Numba compiles nothing here: NUMBA_DISABLE_JIT is set")

    def watch(self, arrays: Sequence[tuple[str, Any]]) -> Watch:
        return watch(arrays)

    def key(self, rule: Rule) -> tuple[Any, ...]:
        return (trace(rule),)

    def launch(self, work: Work) -> Launch:
        return NumbaLaunch(self, work)


@functools.cache
def compiled(name: str, text: str) -> Any:
    """The module of a printed text."""
    return import_source(name, text)


def sweep_of(program: Program, real: str, storage: tuple[str, ...]) -> Any:
    """The compiled sweep of a formula."""
    return compiled(program.rule, printer.module(program, real, storage, "sweep_numba")).sweep


@functools.cache
def norm_of(storage: str) -> Any:
    """The compiled sum of squares of gradients of a type."""
    return compiled("norm", printer.norm(storage)).norm


def unread(*args: Any) -> int:
    """Reads no headers, where their layout is not known."""
    return 0


class NumbaLaunch(HostLaunch):
    def __init__(self, backend: NumbaBackend, work: Work) -> None:
        super().__init__(backend, work)
        self.tensors, self.layouts, sizes = tables(work.memories, work.rows)
        self.row_column = self.tensors[:, -2]
        self.row_column[~self.active] = NO_ROW
        safe = start_threads()
        threads = min(backend.threads, int(sizes.sum()) // LEAST)
        self.chunks, self.bounds = shares(sizes, max(threads, 1), UNIT)
        self.either = self.bounds, self.bounds[[0, -1]]
        self.wakes = threads <= 1 or int(sizes.sum()) >= WAKING
        storage = tuple(m.as_real.dtype.name for m in work.memories[0])
        self.sweep = sweep_of(work.program, self.real.name, storage)
        self.done = np.zeros(1, np.int64)  # 1: the sweep of this step was done
        self.expect()
        self.turn = None if safe or threads <= 1 else ONE_AT_A_TIME
        self.storage, self.threads = storage[1], max(threads, 1)
        self.compile()

    def compile(self) -> None:
        """Compile all that a step calls, before a step changes anything."""
        empty, none = np.zeros(len(self.bounds), np.int64), np.empty((0, 1), self.real)
        self.sweep(self.tensors, self.chunks, empty[:2], self.layouts, none, self.done)
        if not self.wakes:
            tables = self.tensors, self.chunks, empty, self.layouts, none, self.done
            with self.turn or nullcontext():
                THREADS.learn(lambda: self.sweep(*tables))
        self.read = headers().follow if headers_are_readable() else unread
        reach, *rest = self.places
        self.read(id(()), id(None), self.active, *self.looks, reach[:0], *rest)
        self.told = id(None), self.active, *self.looks, *self.places

    def expect(self) -> None:
        """Write down for `headers.follow` what the gradients look like and where they reach."""
        looks = [headers().expectation(g.shape, g.strides, g.dtype) for g in self.grads]
        begins = np.cumsum([0, *map(len, looks)], dtype=np.int64)
        words = np.array([word for look in looks for word in look], np.int64)
        self.looks = begins, WRITEABLE * self.work.zeroes, words
        self.places = reaches(self.grads, self.work.at), forbidden(self.work), self.tensors

    def follow(self, grads: tuple[Any, ...]) -> bool:
        found = self.read(id(grads), *self.told)
        if not found:
            return super().follow(grads)
        self.changed = found == 2
        return True

    def activate(self, rows: np.ndarray) -> None:
        super().activate(rows)
        self.row_column[:] = NO_ROW
        self.row_column[self.active] = rows

    @functools.cached_property
    def norm(self) -> tuple[Any, ...]:
        """The kernel of `square_sums` and its tables, made when first asked for."""
        sizes = np.array([m.as_real.size for m in self.grads], np.int64)
        chunks = chunks_of(sizes, NORM_CHUNK)
        ends = np.cumsum(chunks[:, 2])
        share = np.arange(1, self.threads) * (int(sizes.sum()) // self.threads)
        bounds = np.array([0, *np.searchsorted(ends, share), len(chunks)], np.int64)
        sums = np.empty((len(chunks), 2))
        return norm_of(self.storage), chunks, (bounds, bounds[[0, -1]]), sums

    def square_sums(self) -> np.ndarray:
        norm, chunks, bounds, sums = self.norm
        with self.turn or nullcontext():
            norm(self.tensors, chunks, self.shared(bounds), self.layouts, sums)
        THREADS.have_worked()
        return sums

    def shared(self, either: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """The bounds of all shares, or of a single one, where waking other threads takes longer."""
        many, one = either
        return many if self.wakes or THREADS.are_awake() else one

    def relocate(self, addresses: np.ndarray) -> bool:
        return headers().relocate(addresses, *self.places)

    def move(self, k: int, view: np.ndarray, memory: Memory) -> None:
        self.tensors[k, 1] = memory.address

    def begin(self) -> None:
        self.done[0] = 0

    def run(self, table: np.ndarray) -> None:
        if self.turn is None:
            self.sweep_once(table)
        else:
            with self.turn:
                self.sweep_once(table)
        THREADS.have_worked()

    def sweep_once(self, table: np.ndarray) -> None:
        if not self.done[0]:
            bounds = self.shared(self.either)
            self.sweep(self.tensors, self.chunks, bounds, self.layouts, table, self.done)
