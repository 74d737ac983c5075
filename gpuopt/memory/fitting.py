"""From probes to models: which batch sizes are tried, and whether they obey a rule."""

import itertools
import math
from contextlib import suppress
from dataclasses import dataclass

from gpuopt.memory.model import Model, as_one_block
from gpuopt.memory.probe import Probe

# The first size, and the step to the next. Never one example, for which libraries have code of its
# own; from 64 on, an array of a byte for each example is recorded.
SMALL = ((16, 16), (64, 16))
SMALLER = ((4, 4), (2, 1))  # where memory does not do for these
SHARE = 0.02  # of what an example adds at the peak: blocks below it do not matter
CLOSE_BY = 1.05  # batch sizes that are nearer need no models of their own
CLOSE = 0.01  # of the peak: how far a block may be from any rule


@dataclass(frozen=True)
class Fitted:
    """A model, the smallest batch it is for, and why it cannot be trusted, or None."""

    model: Model
    least: int
    doubt: str | None


def smallest(probe: Probe) -> Fitted:
    """The model of the smallest batches. Raises MemoryError if there is not enough for them."""
    found = None
    for first, apart in SMALL:
        if found is None or found.doubt:
            with suppress(MemoryError):
                found = fitted(probe, first, apart)
    for first, apart in SMALLER:
        if found is None:
            with suppress(MemoryError):
                found = fitted(probe, first, apart)
    if found is None:
        raise MemoryError("not even mini-batches of 2 to 4 examples fit in memory")
    return found


def larger(probe: Probe, first: Fitted, most: int, room: int, elided: int) -> list[Fitted]:
    """Models of larger batches than those of `first`, each from another batch size on, in about
    `room` bytes.

    most: the largest batch size to consider. elided: the bytes from which the library computes
    a + b + c in the memory of a + b: each batch size at which an array grows to that begins a model
    of its own.
    """
    found = []
    begins = [*(b for b in thresholds(first.model, elided) if b <= most), None]
    for least, after in itertools.pairwise(begins):
        assert least is not None
        apart = max(1, least // 4 if after is None else min(least, after - least) // 4)
        if first.model.peak(least + 3 * apart).bytes < room:
            one = fitted(probe, least, apart)
            found.append(fitted(probe, least, 1) if one.doubt else one)
    return [f for f in found if f.doubt is None]


def thresholds(model: Model, elided: int) -> list[int]:
    """The batch sizes above those of `model` at which blocks that matter reach `elided` bytes."""
    far = 2**20
    slope = (model.peak(2 * far).bytes - model.peak(far).bytes) / far
    begin, begins = model.batches[-1], []
    for size, each in zip(model.sizes(0), model.slopes, strict=True):
        if each > SHARE * slope > 0:
            begins.append(math.ceil((elided - size) / each))
    kept: list[int] = []
    for each in sorted(set(begins)):
        if each > begin * CLOSE_BY:
            kept.append(each)
            begin = each
    return kept


def fitted(probe: Probe, first: int, apart: int) -> Fitted:
    """The model through probes of `first` examples and, at equal distances, two more; if some sizes
    are bent, a fourth must lie on their parabolas."""
    probe.warm_up(first)
    traces = [probe.trace(first + k * apart) for k in range(3)]
    line = traces[0].difference(traces[1]) or traces[0].difference(traces[2])
    if line is None:
        model = Model(traces)
        if not model.bent.any():
            return Fitted(model, first, None)
        last = probe.trace(first + 3 * apart)
        line = traces[0].difference(last)
        if line is None:
            off, block = model.confirm(last)
            doubt = f"what {block.where} allocates follows no line or parabola in the batch size"
            return Fitted(model, first, doubt if off > CLOSE else None)
    doubt = f"it does not make the same allocations for all batch sizes, at {line}"
    return Fitted(Model([as_one_block(trace) for trace in traces[:2]]), first, doubt)
