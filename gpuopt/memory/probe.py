"""Small probes: two full steps each, every allocation written down."""

import contextlib
import gc
import os
import re
from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import numpy as np

from gpuopt.blas import one_blas_thread
from gpuopt.epochs import Table
from gpuopt.errors import add_note
from gpuopt.memory.events import GRADIENTS, INPUTS, REST, STATE, Recorder, Trace
from gpuopt.optimizer import Optimizer

STEPS = 2  # in the second the first one's gradients may still be there, and the state is

NO_MEMORY = re.compile("DefaultCPUAllocator|bad_alloc|could not create a memory")

Step = Callable[..., Any]
Tracer = Callable[[Recorder], AbstractContextManager[None]]


class Probe:
    """Runs a step on mini-batches of any size, and traces it. `reset`, which its owner sets, puts
    back what a run has changed."""

    def __init__(
        self,
        step: Step,
        data: Table,
        optimizers: Sequence[Any],
        tracer: Tracer,
    ) -> None:
        self.step, self.data = step, data
        self.optimizers, self.tracer = optimizers, tracer
        self.reset: Callable[[], None] = lambda: None

    def warm_up(self, size: int) -> None:
        """Load and compile what a run needs."""
        self.run(size)
        self.reset()
        gc.collect()

    def run(self, size: int, recorder: Recorder | None = None) -> None:
        """`STEPS` steps with mini-batches of `size`, as a shuffled loop takes them: each is copied
        while the last one, and what its step returned, are still there."""
        recorder, result = recorder or Recorder(size), None
        with one_blas_thread(), silence():
            recorder.role(INPUTS)
            index = self.index(size)
            for _ in range(STEPS):
                recorder.role(INPUTS)
                batch = self.data.take(index)
                recorder.role(REST)
                with memory_errors(), told(size, batch):
                    result = self.step(*batch)
                recorder.step_ends()
            if isinstance(result, (Generator, Coroutine)):
                raise TypeError(
                    f"step must do its work when it is called, but it returned {result!r}; it must "
                    "be a plain function, without yield or async"
                )
        for optimizer in self.optimizers:
            for buffers in optimizer.state.values():
                recorder.name(list(buffers.values()), STATE)

    def index(self, size: int) -> np.ndarray:
        """Examples from both ends of the data, so that of several chunks two are read; a part of
        the memory that the order of a whole epoch takes."""
        count = self.data.count
        index = np.empty(max(size, count), np.int64)[:size]
        index[::2] = np.arange((size + 1) // 2) % count
        index[1::2] = count - 1 - np.arange(size // 2) % count
        return index

    def trace(self, size: int) -> Trace:
        """The allocations of a run from the state in which everything was found."""
        recorder = Recorder(size)
        gc.collect()
        try:
            with quiet_collector(), self.tracer(recorder), watched(self.optimizers, recorder):
                self.run(size, recorder)
        finally:
            self.reset()
        return recorder.trace


@contextmanager
def memory_errors() -> Iterator[None]:
    """PyTorch raises RuntimeErrors where memory ends: here they are MemoryErrors."""
    try:
        yield
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError" and not NO_MEMORY.search(str(error)):
            raise
        raise MemoryError(str(error)) from None


@contextmanager
def told(size: int, batch: Sequence[Any]) -> Iterator[None]:
    """An error of the user's step gains the words with what it was called: fit chose that."""
    try:
        yield
    except MemoryError:
        raise  # an answer to fit's question
    except Exception as error:
        shapes = ", ".join(str(tuple(x.shape)) for x in batch)
        add_note(
            error,
            f"gpuopt.memory.fit called step with a mini-batch of {size} (shapes {shapes}), as it "
            "does with several sizes; step must take mini-batches of any size",
        )
        raise


@contextmanager
def silence() -> Iterator[None]:
    """What a step prints goes nowhere: it was not asked to run."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


@contextmanager
def quiet_collector() -> Iterator[None]:
    """No garbage collection, which comes at any time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def watched(optimizers: Sequence[Any], recorder: Recorder) -> Iterator[None]:
    """Tell gradients by what the optimizers' `step` is given."""

    def watch(optimizer: Optimizer) -> None:
        def step(grads: Any, **options: Any) -> None:
            if isinstance(grads, Iterator):
                grads = tuple(grads)
            known = [g for g in optimizer._structure.flatten(grads) if g is not None]
            recorder.name(known, GRADIENTS)
            del known
            original(grads, **options)

        original = optimizer.step
        vars(optimizer)["step"] = step

    def watch_torch(optimizer: Any, *_: Any) -> None:
        params = [p for group in optimizer.param_groups for p in group["params"]]
        recorder.name([p.grad for p in params if p.grad is not None], GRADIENTS)

    with ExitStack() as stack:
        for optimizer in optimizers:
            if isinstance(optimizer, Optimizer):
                watch(optimizer)
                stack.callback(vars(optimizer).pop, "step", None)
            else:
                stack.callback(optimizer.register_step_pre_hook(watch_torch).remove)
        yield
