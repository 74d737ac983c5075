"""Where a PyTorch step takes its memory: this process, or a GPU through the caching allocator."""

import gc
import importlib
import os
from collections.abc import Callable
from typing import Any

from gpuopt.memory.budget import Budget, least
from gpuopt.memory.events import Recorder
from gpuopt.memory.isolated import possible
from gpuopt.memory.limits import Limit
from gpuopt.memory.model import running
from gpuopt.memory.places import Cpu, Gpu, Run
from gpuopt.memory.pool_torch import TorchPool
from gpuopt.memory.trace_torch import torch_cpu_trace, torch_cuda_trace

# glibc lets a heap grow for blocks below a limit that rises to 32 MiB with what is freed; where it
# is fixed, larger blocks come from the system, and go back to it
THRESHOLD = "MALLOC_MMAP_THRESHOLD_"
HOLES = 1.5  # the share that they may take beyond the blocks; docs/decisions.md


class TorchCpu(Cpu):
    """This process, with tensors as PyTorch's profiler sees them.

    Raises RuntimeError where PyTorch comes without a profiler.
    """

    tracer = staticmethod(torch_cpu_trace)
    elided = None
    remark = (
        "PyTorch's profiler tells of tensors and oneDNN's scratch memory; what other libraries "
        "take is seen only as a whole, in a run with one thread"
    )

    def __init__(self) -> None:
        if THRESHOLD not in os.environ:
            self.headroom = HOLES
            self.remark += (
                f". The C library's heap may take {1 + HOLES:g} times as much, for the holes in "
                f"it; a process started with {THRESHOLD}=65536 in its environment has none"
            )
        self.torch = importlib.import_module("torch")
        if not self.torch.autograd.kineto_available():
            raise RuntimeError(
                "this PyTorch has no profiler (Kineto), and nothing else tells of its allocations "
                "on the CPU; use a build with it, or check the step on a GPU"
            )
        self.random = [self.torch.default_generator]

    def copies(self) -> bool:
        """Not beside a GPU: PyTorch refuses a backward pass in a copy of a process that had one."""
        return possible() and not self.torch.cuda.is_available()

    def peak(self, run: Run) -> int:
        """Of tensors by the profiler, and of everything else by tracemalloc."""
        recorder, others = Recorder(0), 0

        def traced() -> None:
            with torch_cpu_trace(recorder):
                run()

        others = super().peak(traced)
        trace = recorder.trace
        return others + int(running(trace.order, trace.sizes).max(initial=0))


class TorchCuda(Gpu):
    """PyTorch's GPU number `device`, with its caching allocator.

    Raises TypeError where PyTorch allocates through something else.
    """

    tracer = staticmethod(torch_cuda_trace)
    pool = TorchPool

    def __init__(self, device: int) -> None:
        self.torch = importlib.import_module("torch")
        self.cuda, self.device = self.torch.cuda, device
        backend = self.cuda.get_allocator_backend()
        if backend != "native":
            raise TypeError(
                f"PyTorch allocates through {backend!r}, but only its own allocator tells of "
                "allocations one by one; leave `backend` out of PYTORCH_CUDA_ALLOC_CONF"
            )
        if device != self.cuda.current_device():
            raise ValueError(
                f"the step is on GPU {device}, and PyTorch's current one is "
                f"{self.cuda.current_device()}; call torch.cuda.set_device({device}) first"
            )
        self.cuda.init()
        self.random = [self.torch.default_generator, *self.cuda.default_generators]

    def budget(self) -> Budget:
        self.cuda.empty_cache()
        free, total = self.cuda.mem_get_info()
        limits = [Limit(f"memory of GPU {self.device}", total, total - free)]
        if self.fraction < 1:
            allowed = int(self.fraction * total)
            limits.append(Limit("PyTorch's memory fraction", allowed, self.reserved))
        return least(limits)

    @property
    def fraction(self) -> float:
        """Of the device's memory that this process may take; PyTorch before 2.7 does not tell."""
        known = getattr(self.cuda, "get_per_process_memory_fraction", None)
        return known() if known else 1.0

    @property
    def reserved(self) -> int:
        return self.cuda.memory_reserved()

    def outside(self) -> int:
        free, total = self.cuda.mem_get_info()
        return total - free - self.reserved

    def peak(self, run: Run) -> int:
        self.cuda.empty_cache()
        self.cuda.reset_peak_memory_stats()
        before = self.reserved
        run()
        return self.cuda.max_memory_reserved() - before

    def guarded(self, measure: Callable[[], Any], limit: int, warm_up: Run) -> Any:
        warm_up()
        self.cuda.empty_cache()
        old, total = self.fraction, self.cuda.mem_get_info()[1]
        self.cuda.set_per_process_memory_fraction(min(old, (self.reserved + limit) / total))
        try:
            return measure()
        finally:
            self.cuda.set_per_process_memory_fraction(old)
            gc.collect()
            self.cuda.empty_cache()
