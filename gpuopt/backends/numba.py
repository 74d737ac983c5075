"""The Numba backend: one parallel, vectorised sweep over all CPU tensors of a signature.

The rule's formula is printed as scalar Python into the text of kernels/sweep_numba.py and compiled
once; Numba caches the machine code between processes beside the printed module, whose name holds a
hash of its text, so an edited formula is another file.
"""

import functools
import os
import sys
import threading
from collections.abc import Hashable
from contextlib import nullcontext
from importlib import resources
from time import perf_counter
from typing import Any

import numba
import numpy as np
from numba.core import config

from gpuopt.backends.base import BackendError, Launch, Work
from gpuopt.backends.cache import import_source
from gpuopt.backends.host import HostBackend, HostLaunch
from gpuopt.backends.memory import Memory
from gpuopt.backends.tables import chunks_of, relocated, shares, tables
from gpuopt.lowering import python as printer
from gpuopt.lowering.program import Program
from gpuopt.lowering.trace import trace
from gpuopt.rules.base import Rule

LEAST = 32_768  # elements for which another thread is asked, if it is awake; docs/decisions.md
WAKING = 262_144  # elements of a step for which threads that sleep are woken
AWAKE = 30e-6  # seconds after a sweep in which they do not sleep yet
NORM_CHUNK = 65_536  # elements whose sum of squares is one number
WRITEABLE = 0x400  # among the flags of a NumPy array
UNIT = 64  # elements: shares are whole multiples of it
ONE_AT_A_TIME = threading.Lock()
SPINS = "1000"  # of a thread before it sleeps: some 20 us; docs/decisions.md


class NumbaBackend(HostBackend):
    name = "numba"

    def __init__(self, threads: int | None = None) -> None:
        """`threads`: how many to use at most; None: as many as Numba has."""
        self.threads = min(config.NUMBA_NUM_THREADS, threads or 2**31)  # pyright: ignore
        if config.DISABLE_JIT:  # pyright: ignore
            raise BackendError("Numba compiles nothing here: NUMBA_DISABLE_JIT is set")

    def key(self, rule: Rule) -> Hashable:
        return trace(rule)

    def launch(self, work: Work) -> Launch:
        return NumbaLaunch(self, work)


@functools.cache
def sweep_of(program: Program, real: str, storage: tuple[str, ...]) -> Any:
    """The compiled sweep of a formula."""
    text = printer.module(program, real, storage, "sweep_numba")
    return import_source(program.rule, text).sweep


@functools.cache
def norm_of(storage: str) -> Any:
    """The compiled sum of squares of gradients of a type."""
    return import_source("norm", printer.norm(storage)).norm


@functools.cache
def start_threads() -> bool:
    """Start Numba's threads, once, and have them sleep soon when there is nothing to do.

    GNU OpenMP's threads spin for milliseconds after a sweep, on the cores that the next matrix
    product wants: training some 40 times slower was measured. It reads how long when it is loaded;
    what the user has set stands. Once another library has loaded it, this changes nothing. Numba
    also sets how many threads OpenMP has, which PyTorch shares: it gets its number back.

    True if two Python threads may use them at once; Numba's own, "workqueue", end the process then.
    """
    chosen = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys()
    if not chosen:
        os.environ["GOMP_SPINCOUNT"] = SPINS
    torch = sys.modules.get("torch")
    torchs = torch.get_num_threads() if torch is not None else 0
    try:
        numba.get_num_threads()
    finally:
        if not chosen:
            del os.environ["GOMP_SPINCOUNT"]
        if torch is not None:
            torch.set_num_threads(torchs)
    return numba.threading_layer() != "workqueue"  # pyright: ignore


@functools.cache
def headers() -> Any:
    """kernels/headers_numba.py, compiled where the cache can be written."""
    text = resources.files("gpuopt.kernels").joinpath("headers_numba.py").read_text()
    return import_source("headers", text)


@functools.cache
def headers_are_readable() -> bool:
    return headers().layout_is_known()


def unread(*args: Any) -> bool:
    """Reads no headers, where their layout is not known."""
    return False


class NumbaLaunch(HostLaunch):
    ended = 0.0  # when the last sweep did, of whichever launch: they share the threads

    def __init__(self, backend: NumbaBackend, work: Work) -> None:
        super().__init__(backend, work)
        memories = [[backend.memory(a) for a in arrays] for arrays in work.tensors]
        self.tensors, self.layouts, sizes = tables(memories, work.rows)
        safe = start_threads()
        threads = min(backend.threads, int(sizes.sum()) // LEAST)
        self.chunks, self.bounds = shares(sizes, max(threads, 1), UNIT)
        self.wakes = threads <= 1 or int(sizes.sum()) >= WAKING
        storage = tuple(m.as_real.dtype.name for m in memories[0])
        self.sweep = sweep_of(trace(work.rule), self.real.name, storage)
        self.expect([arrays[1] for arrays in work.tensors])
        self.turn = nullcontext() if safe or threads <= 1 else ONE_AT_A_TIME
        self.storage, self.threads = storage[1], max(threads, 1)
        self.compile()

    def compile(self) -> None:
        """Compile all that a step calls, before a step changes anything."""
        nothing, empty_share = np.empty((0, 1), self.real), np.zeros(2, np.int64)
        self.sweep(self.tensors, self.chunks, empty_share, self.layouts, nothing)
        self.read = headers().follow if headers_are_readable() else unread
        self.read(id(()), self.places[:0], self.looks, self.forbidden, self.tensors)

    def expect(self, grads: list[np.ndarray]) -> None:
        """Write down for `headers.follow` what the gradients look like and where they reach."""
        looks = [headers().expectation(g) for g in grads]
        self.dtypes = [g.dtype for g in grads]  # kept alive: they are told apart by address
        begins = np.cumsum([0, *map(len, looks)])
        around = [(m.bounds[0] - m.address, m.bounds[1] - m.address) for m in self.grads]
        self.places = np.array(
            [
                (at, begin, *span, g.dtype.alignment, WRITEABLE * self.work.zeroes)
                for at, begin, span, g in zip(self.work.at, begins[:-1], around, grads, strict=True)
            ],
            np.int64,
        )
        everywhere = np.array([[0, 2**63 - 1]], np.int64)
        self.forbidden = everywhere if self.work.pinned else self.work.written.table
        self.looks = np.array([word for look in looks for word in look], np.int64)

    def follow(self, grads: tuple[Any, ...]) -> bool:
        places, looks, forbidden = self.places, self.looks, self.forbidden
        return self.read(id(grads), places, looks, forbidden, self.tensors) or super().follow(grads)

    @functools.cached_property
    def norm(self) -> tuple[Any, ...]:
        """The kernel of `square_sums` and its tables, made when first asked for."""
        sizes = np.array([m.as_real.size for m in self.grads], np.int64)
        chunks = chunks_of(sizes, NORM_CHUNK)
        ends = np.cumsum(chunks[:, 2])
        share = np.arange(1, self.threads) * (int(sizes.sum()) // self.threads)
        bounds = np.array([0, *np.searchsorted(ends, share), len(chunks)], np.int64)
        return norm_of(self.storage), chunks, bounds, np.empty((len(chunks), 2))

    def square_sums(self) -> np.ndarray:
        norm, chunks, bounds, sums = self.norm
        with self.turn:
            norm(self.tensors, chunks, self.shared(bounds), self.layouts, sums)
        NumbaLaunch.ended = perf_counter()
        return sums

    def shared(self, bounds: np.ndarray) -> np.ndarray:
        """The shares between these bounds; one for all, where waking others takes longer."""
        if self.wakes or perf_counter() - NumbaLaunch.ended < AWAKE:
            return bounds
        return np.array([0, bounds[-1]])

    def relocate(self, addresses: np.ndarray) -> bool:
        return relocated(self, addresses)

    def move(self, k: int, view: np.ndarray, memory: Memory) -> None:
        self.tensors[k, 1] = memory.address

    def run(self, table: np.ndarray) -> None:
        with self.turn:
            self.sweep(self.tensors, self.chunks, self.shared(self.bounds), self.layouts, table)
        NumbaLaunch.ended = perf_counter()
