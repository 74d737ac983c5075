"""What small runs of a step show, and whether what they show can be trusted."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from gpuopt.memory.fitting import Fitted, larger, smallest
from gpuopt.memory.isolated import ChildDied
from gpuopt.memory.model import Model
from gpuopt.memory.places import Place
from gpuopt.memory.pool import AnyPool
from gpuopt.memory.probe import Probe
from gpuopt.memory.text import OUTSIDE, UNSEEN
from gpuopt.memory.units import size as words

SMALL_ONES = (64, 128, 256)  # examples, with which to measure what no trace sees
TRIAL_BYTES, TRIAL_SIZE = 2**24, 4096  # of a larger run, before more of the kind is believed
HIDDEN, HIDDEN_SHARE = 2**22, 0.25  # bytes that libraries may take unseen, and of all in that run
LEAK = 1024  # bytes that a step may leave behind


@dataclass(frozen=True)
class Observed:
    """What small runs showed of a step.

    outside: bytes that are taken once, by libraries and their buffers.
    measured: the peak of a run without a trace, for some batch sizes, ascending. unseen: how much
    of it the trace did not see: Python's objects, and buffers of casts.
    doubt: why no prediction can be trusted, or None.
    """

    models: list[Fitted]
    outside: int
    measured: dict[int, int]
    unseen: dict[int, int]
    doubt: str | None

    def besides(self, batch_size: int) -> dict[str, int]:
        """Bytes that a run takes besides the arrays of its trace, by what they are for."""
        sizes, found = list(self.unseen), list(self.unseen.values())
        unseen = np.interp(batch_size, sizes, found)
        if batch_size > sizes[-1] > sizes[0]:
            slope = (found[-1] - found[0]) / (sizes[-1] - sizes[0])
            unseen += max(0.0, slope) * (batch_size - sizes[-1])
        return {UNSEEN: int(unseen), OUTSIDE: self.outside}

    def expected(self, batch_size: int, pool: AnyPool | None) -> int:
        """Bytes that a run takes by itself."""
        peak = model_for(self.models, batch_size).peak(batch_size, pool)
        return peak.bytes + self.besides(batch_size)[UNSEEN]


def model_for(models: list[Fitted], batch_size: int) -> Model:
    """The model for a batch size: the last that begins before it, or the first."""
    return [f.model for k, f in enumerate(models) if k == 0 or f.least <= batch_size][-1]


def observe(probe: Probe, place: Place, most: int, room: int) -> Observed:
    """Run small mini-batches, in about `room` bytes. most: the largest batch size to consider."""
    before = place.outside()
    first = smallest(probe)
    outside = max(0, place.outside() - before)
    models, doubt = [first], first.doubt
    if doubt is None and place.elided is not None:
        models += larger(probe, first, most, room, place.elided)
    measured, unseen = {}, {}
    for size in sorted({f.least for f in models} | set(SMALL_ONES)):
        expected = model_for(models, size).peak(size, place.empty_pool()).bytes
        if size == first.least or expected <= room:
            probe.warm_up(first.least)
            measured[size] = place.peak(partial(probe.run, size))
            unseen[size] = max(0, measured[size] - expected)
    return Observed(models, outside, measured, unseen, doubt)


def tried(seen: Observed, probe: Probe, place: Place, most: int, room: int, free: int) -> Observed:
    """The same after a larger run, which must be as expected. It ends if it needs more than `free`
    bytes."""
    least = seen.models[0].least

    def expected(size: int) -> int:
        return seen.expected(size, place.empty_pool())

    size = 2 ** (min(most, TRIAL_SIZE).bit_length() - 1)
    while size > least and seen.expected(size, None) > min(TRIAL_BYTES, room):
        size //= 2
    if seen.doubt is not None or size <= least:
        return seen
    doubt, hidden = leak(seen.models, size), 0
    try:
        taken = place.guarded(
            partial(place.taken, partial(probe.run, size)), free, partial(probe.warm_up, least)
        )
        hidden = max(0, taken - expected(size))
        share = max(HIDDEN_SHARE, place.headroom / (1 + place.headroom))
        if hidden > HIDDEN + share * taken:
            doubt = (
                f"a batch of {size} took {words(taken)}, where {words(expected(size))} were to be "
                "expected from smaller ones; other libraries may take the rest, or a step that "
                "does something else with more examples"
            )
    except (MemoryError, ChildDied) as error:
        doubt = f"a batch of {size}, expected to take {words(expected(size))}, failed: {error}"
    return replace(seen, doubt=doubt, outside=seen.outside + (0 if doubt else hidden))


def leak(models: list[Fitted], size: int) -> str | None:
    """The doubt about a step that leaves more and more behind."""
    grown, line = model_for(models, size).growth(size)
    if grown <= LEAK:
        return None
    return (
        f"with a batch of {size} each step leaves {words(grown)} more behind than the one before, "
        f"most of it made at {line} (a list that grows, or objects that refer to each other); so "
        "how long it fits depends on the number of steps"
    )
