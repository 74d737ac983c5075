"""Traces written by hand, so that what a replay finds can be counted by other means."""

from gpuopt.memory.budget import given
from gpuopt.memory.events import REST, Block, Trace
from gpuopt.memory.fitting import Fitted
from gpuopt.memory.model import Model
from gpuopt.memory.observed import Observed
from gpuopt.memory.places import Cpu, Cuda
from gpuopt.memory.report import FitReport


def trace(batch, sizes, order, steps=(0, 0), roles=None):
    """A trace whose block k has the size that the function `sizes[k]` gives for the batch."""
    roles = roles or [REST] * len(sizes)
    blocks = [
        Block(size(batch), f"net.py:{k} in step", role)
        for k, (size, role) in enumerate(zip(sizes, roles, strict=True))
    ]
    return Trace(batch, blocks, list(order), list(steps))


def model(sizes, order, batches=(16, 32, 48), **rest):
    return Model([trace(batch, sizes, order, **rest) for batch in batches])


def report(model, budget, most, *, device="cpu", outside=0, unseen=None, **rest):
    """A report on a model, with nothing measured but what is given."""
    unseen = unseen or {16: 0, 256: 0}
    doubt = rest.pop("doubt", None)
    seen = Observed([Fitted(model, 16, doubt)], outside, dict.fromkeys(unseen, 0), unseen, doubt)
    allocated = rest.pop("allocated", {"parameters": 0, "optimizer state": 0})
    headroom = (Cpu if device == "cpu" else Cuda).headroom
    return FitReport(device, headroom, given(budget), most, allocated, seen, **rest)


def peak(sizes, order, batch):
    """The most bytes in use, by adding and subtracting."""
    used = most = 0
    for event in order:
        used += sizes[event](batch) if event >= 0 else -sizes[~event](batch)
        most = max(most, used)
    return most
