"""Where a step takes its memory: this process, or a GPU through CuPy's pool."""

import contextlib
import gc
import importlib
import tracemalloc
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gpuopt.memory.budget import Budget, cpu_budget, gpu_budget
from gpuopt.memory.isolated import in_use, isolated, limit_memory, possible
from gpuopt.memory.pool import AnyPool, Pool, PoolKind
from gpuopt.memory.probe import Tracer
from gpuopt.memory.trace_cupy import cupy_trace
from gpuopt.memory.trace_numpy import numpy_trace

Run = Callable[[], None]


class Place(ABC):
    """Memory that can be traced, measured and limited."""

    name: str
    tracer: Tracer
    elided: int | None = None  # bytes from which a + b + c is computed in the memory of a + b
    pool: PoolKind | None = None  # the model of a pool through which to replay a trace
    random: Sequence[Any] = ()  # generators of global random numbers, besides NumPy's and Python's
    headroom: float  # the share that allocators may take beyond the model; docs/decisions.md
    remark: str = ""  # what cannot be seen here

    def copies(self) -> bool:
        """Whether a copy of this process can try the step."""
        return False

    def empty_pool(self) -> AnyPool | None:
        return None if self.pool is None else self.pool(None)

    @abstractmethod
    def budget(self) -> Budget:
        """How much more may be taken."""

    @abstractmethod
    def outside(self) -> int:
        """Bytes that are taken now, other than those of arrays in a pool."""

    @abstractmethod
    def peak(self, run: Run) -> int:
        """The most bytes that `run()` takes at once, as this place counts without a trace."""

    @abstractmethod
    def taken(self, run: Run) -> int:
        """The most bytes that `run()` takes at once, whoever takes them, as the system counts."""

    @abstractmethod
    def guarded(self, measure: Callable[[], Any], limit: int, warm_up: Run) -> Any:
        """`measure()` after `warm_up()`, where no more than `limit` bytes can be taken. Raises
        MemoryError, or ChildDied, if more are needed."""


class Cpu(Place):
    name = "cpu"
    headroom = 0.2
    tracer = staticmethod(numpy_trace)
    elided = 2**18  # NPY_MIN_ELIDE_BYTES in numpy/_core/src/multiarray/temp_elide.c

    def copies(self) -> bool:
        return possible()

    def budget(self) -> Budget:
        return cpu_budget()

    def outside(self) -> int:
        return in_use("RssAnon")

    def peak(self, run: Run) -> int:
        tracing = tracemalloc.is_tracing()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            run()
            return tracemalloc.get_traced_memory()[1] - before
        finally:
            if not tracing:
                tracemalloc.stop()

    def taken(self, run: Run) -> int:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
        before = in_use("VmRSS")
        run()
        return in_use("VmHWM") - before

    def guarded(self, measure: Callable[[], Any], limit: int, warm_up: Run) -> Any:
        def guarded() -> Any:
            warm_up()
            limit_memory(limit)
            return measure()

        return isolated(guarded)


class Gpu(Place):
    name = "cuda"
    headroom = 0.05

    def taken(self, run: Run) -> int:
        before = self.outside()
        return self.peak(run) + max(0, self.outside() - before)


class Cuda(Gpu):
    """The current device of CuPy, with its default pool.

    Raises TypeError where CuPy allocates through something else.
    """

    tracer = staticmethod(cupy_trace)
    pool = Pool

    def __init__(self) -> None:
        self.cupy = importlib.import_module("cupy")
        self.blocks = self.cupy.get_default_memory_pool()
        allocator = self.cupy.cuda.get_allocator()
        if getattr(allocator, "__self__", None) is not self.blocks:
            raise TypeError(
                f"CuPy allocates through {allocator!r}, but only its default memory pool tells of "
                "allocations one by one; before the check call "
                "cupy.cuda.set_allocator(cupy.get_default_memory_pool().malloc)"
            )
        self.random = [self.cupy.random.get_random_state()]

    def budget(self) -> Budget:
        self.blocks.free_all_blocks()
        return gpu_budget(self.cupy)

    def outside(self) -> int:
        free, total = self.cupy.cuda.runtime.memGetInfo()
        return total - free - self.blocks.total_bytes()

    def peak(self, run: Run) -> int:
        self.blocks.free_all_blocks()
        before = peak = self.blocks.total_bytes()

        pool = self.blocks

        class Watch(self.cupy.cuda.MemoryHook):
            name = "gpuopt peak"

            def malloc_postprocess(self, **_):
                nonlocal peak
                peak = max(peak, pool.total_bytes())

        with Watch():
            run()
        return peak - before

    def guarded(self, measure: Callable[[], Any], limit: int, warm_up: Run) -> Any:
        warm_up()
        self.blocks.free_all_blocks()
        old, wanted = self.blocks.get_limit(), self.blocks.total_bytes() + limit
        self.blocks.set_limit(size=min(wanted, old) if old else wanted)  # 0: none
        try:
            return measure()
        finally:
            self.blocks.set_limit(size=old)
            gc.collect()
            self.blocks.free_all_blocks()
