"""Whether training with a mini-batch size fits in memory, before running out of it."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from gpuopt import checks
from gpuopt.arrays import is_array
from gpuopt.epochs import Table
from gpuopt.memory.budget import Budget, given
from gpuopt.memory.finding import allocated, place_of
from gpuopt.memory.isolated import ChildDied, isolated, limit_memory
from gpuopt.memory.observed import observe, tried
from gpuopt.memory.places import Gpu, Place
from gpuopt.memory.pool import Pool
from gpuopt.memory.preserve import reachable, same_random_numbers, snapshot
from gpuopt.memory.preserve_torch import is_optimizer
from gpuopt.memory.probe import Probe, Step
from gpuopt.memory.report import FitReport, Verified
from gpuopt.optimizer import Optimizer

MOST = 2**48  # examples: of a byte each they are more than any machine has


def fit(
    step: Step,
    *arrays: Any,
    batch_size: int | None = None,
    axis: int = 0,
    chunks: bool | None = None,
    most: int | None = None,
    effective_batch: int | None = None,
    budget: int | str | Budget | None = None,
    verify: bool | int | Sequence[int] = False,
    preserve: Sequence[Any] = (),
    isolate: bool | None = None,
) -> FitReport:
    """Which mini-batches fit in memory: probed with a few small ones, without running out of it.

        report = gpuopt.memory.fit(step, X, Y, batch_size=512)
        print(report)

    step: your function of one mini-batch, `step(x, y)`: forward and backward pass and the
    optimizer's step, on NumPy or CuPy arrays or PyTorch tensors. It is called some fifty times;
    what it prints is dropped.
    arrays: the data, examples along `axis`, as in `gpuopt.minibatches`, which tells of lists of
    arrays and `chunks`; where they lie decides whose memory is meant, or where
    the parameters of a gpuopt optimizer or a PyTorch module lie that `step` uses.
    batch_size: the size to judge; None: the largest power of two that fits. most: the largest size
    to consider; None: all examples. effective_batch: a wanted batch, for which it is said how many
    mini-batches' gradients to accumulate.
    budget: bytes, or a text as "16GiB", that may be taken beyond what is taken now; None: what
    this machine, its containers, the process' limits and the pool's allow.
    verify: run two steps of that size, or of these, under a guard: a child process under
    RLIMIT_DATA, or a limit of CuPy's pool or PyTorch's allocator.
    preserve: arrays that `step` changes, or collections of them. On the CPU all is tried in a copy
    of this process, which changes nothing in this one (isolate=False, and where processes cannot
    be copied: in this process). Otherwise the gpuopt optimizers, loss scalers and random generators
    that `step` refers to, PyTorch's modules, optimizers, schedulers and gradient scalers, the
    global random numbers and these arrays are put back afterwards, bit for bit.

    Allocations are seen in NumPy, in CuPy's pool, in PyTorch's allocators. Those of other libraries
    are not; where they take much, the verdict is "uncertain". What `step` does only now and then is
    not seen either. Whatever it raises for a small mini-batch is raised, with a note that tells the
    size. Raises TypeError or
    ValueError for arguments of wrong kinds, ChildDied if the copy of the process is killed,
    MemoryError where not even a few examples fit, RuntimeError for PyTorch without its profiler.
    """
    if not callable(step):
        raise TypeError(f"step must be a function of one mini-batch, got {step!r}")
    if not arrays:
        raise TypeError("there are no arrays of examples; call fit(step, X, Y)")
    chunks = None if chunks is None else checks.flag("chunks", chunks)
    data = Table(arrays, checks.whole("axis", axis), chunks)
    if data.count == 0:
        raise ValueError("the arrays hold no examples")
    batch_size = None if batch_size is None else number("batch_size", batch_size)
    most = max(data.count if most is None else number("most", most), batch_size or 1)
    if effective_batch is not None:
        effective_batch = number("effective_batch", effective_batch)
    sizes = () if isinstance(verify, bool) else np.atleast_1d(verify).tolist()
    sizes = [number("verify: a batch size", size) for size in sizes]
    found = reachable(step, preserve)
    optimizers = [x for x in found if isinstance(x, Optimizer) or is_optimizer(x)]
    place = place_of(data, found)
    free = place.budget()
    allowed = free if budget is None else budget if isinstance(budget, Budget) else given(budget)
    probe = Probe(step, data, optimizers, place.tracer)
    changed = [x for x in reachable(preserve) if is_array(x) and hasattr(x, "__setitem__")]
    on_gpu = isinstance(place, Gpu)
    alone = place.copies() if isolate is None else isolate
    if alone and on_gpu:
        raise ValueError("isolate=True: a copy of this process could not use the GPU; leave it out")
    if not (on_gpu or place.copies()) and (alone or verify is True or sizes):
        raise ValueError(
            "isolate and verify need copies of this process; this system makes none, and PyTorch "
            "bears none where it sees a GPU (hide it with CUDA_VISIBLE_DEVICES=-1)"
        )

    there = allocated(found)

    def look() -> FitReport:
        if alone:
            limit_memory(free.bytes)  # an error is better than being killed
        seen = observe(probe, place, most, allowed.bytes // 2)
        if alone or on_gpu:
            seen = tried(seen, probe, place, most, allowed.bytes // 2, free.bytes)
        return FitReport(
            device=place.name,
            budget=allowed,
            most=most,
            allocated=there,
            seen=seen,
            asked=batch_size,
            effective_batch=effective_batch,
            pool=place.pool or Pool,
            remark=place.remark,
            headroom=place.headroom,
        )

    def run() -> FitReport:
        with same_random_numbers([*found, *place.random]):
            probe.reset = snapshot(found, changed)
            try:
                report = look()
                for size in [report.batch_size] if verify is True else sizes:
                    report.verified.append(verified(report, probe, place, size))
            finally:
                probe.reset()
        return report

    return isolated(run) if alone else run()


def number(name: str, value: Any) -> int:
    """A number of examples that a machine may have."""
    found = checks.whole(name, value, 1)
    if found > MOST:
        raise ValueError(f"{name} must be at most {MOST} examples")
    return found


def verified(report: FitReport, probe: Probe, place: Place, size: int) -> Verified:
    """A run with mini-batches of `size` under a guard."""
    predicted = report.predict(size) - report.seen.outside
    limit = max(0, report.budget.bytes - report.seen.outside)
    warm_up = partial(probe.warm_up, report.seen.models[0].least)
    run = partial(probe.run, size)
    try:
        measured = place.guarded(partial(place.peak, run), limit, warm_up)
        return Verified(size, True, predicted, measured)
    except (MemoryError, ChildDied):
        pass  # measuring takes memory, too, for each of Python's objects
    try:
        place.guarded(run, limit, warm_up)
        return Verified(size, True, predicted, None)
    except (MemoryError, ChildDied) as error:
        return Verified(size, False, predicted, None, str(error) or type(error).__name__)
