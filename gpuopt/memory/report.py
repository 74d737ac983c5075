"""What the memory-fit check found: verdicts, sizes, reasons."""

import itertools
import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gpuopt.memory.budget import Budget
from gpuopt.memory.model import Peak
from gpuopt.memory.observed import Observed, model_for
from gpuopt.memory.pool import AnyPool, Pool, PoolFull, PoolKind
from gpuopt.memory.text import FAILS, FITS, ROLES, ROUNDING, UNCERTAIN, lines
from gpuopt.memory.units import size as words


@dataclass(frozen=True)
class Verified:
    """A run at `batch_size` under a guard: whether it came through, and the peak it had, or None.

    predicted, measured: bytes above those before the run.
    """

    batch_size: int
    passed: bool
    predicted: int
    measured: int | None
    reason: str = ""

    @property
    def error(self) -> float | None:
        """predicted / measured - 1."""
        return self.predicted / self.measured - 1 if self.measured else None

    def __str__(self) -> str:
        if not self.passed:
            return f"Verified: a batch of {self.batch_size} did not come through: {self.reason}."
        if self.measured is None:
            return (
                f"Verified: a batch of {self.batch_size} came through under the guard; predicted "
                f"{words(self.predicted)}, and no memory was left to measure its peak."
            )
        measured = words(self.measured)
        error = f" ({self.error:+.1%})" if self.error is not None else ""
        return (
            f"Verified: a batch of {self.batch_size} came through under the guard; "
            f"predicted {words(self.predicted)}, measured {measured}{error}."
        )


@dataclass
class FitReport:
    """Which mini-batches fit in memory; `print` it.

    batch_size: the one asked about, or the largest power of two that fits, or 1.
    verdict: "fits", "does not fit", or "uncertain" (within the headroom that allocators may take,
    or a step that does not allocate by rule). largest, largest_power_of_two: the largest that fit,
    up to `most`; 0 where none does. allocated: bytes that are there already by what
    they are for. seen: what the probes saw. verified: runs under a guard, if there were any. pool:
    the model of the GPU's pool. headroom: the share that allocators may take beyond what is
    predicted. remark: what cannot be seen. All bytes but `allocated` are above
    those taken before.
    """

    device: str
    headroom: float
    budget: Budget
    most: int
    allocated: dict[str, int]
    seen: Observed = field(repr=False)
    asked: int | None = None
    effective_batch: int | None = None
    verified: list[Verified] = field(default_factory=list)
    pool: PoolKind = Pool
    remark: str = ""

    def __post_init__(self) -> None:
        begins = [f.least for f in self.seen.models[1:] if f.least <= self.most]
        power, size = largest(lambda batch: self.within(batch, self.headroom), self.most, begins)
        self.largest_power_of_two, self.largest = (0, 0) if self.doubt else (power, size)
        self.batch_size = self.asked or power or 1
        self.verdict = self.verdict_at(self.batch_size)
        self.predicted = self.predict(self.batch_size)

    def peak(self, batch_size: int) -> Peak:
        """The moment of a run at which it takes most."""
        if self.device == "cpu":
            return self.replay(batch_size, None)
        try:
            return self.replay(batch_size, self.pool(self.room(batch_size)))
        except PoolFull:
            return self.replay(batch_size, self.pool(None))

    def replay(self, batch_size: int, pool: AnyPool | None) -> Peak:
        return model_for(self.seen.models, batch_size).peak(batch_size, pool)

    def room(self, batch_size: int) -> int:
        """What the budget leaves for arrays."""
        return self.budget.bytes - sum(self.seen.besides(batch_size).values())

    def predict(self, batch_size: int) -> int:
        """Bytes that training with mini-batches of this size takes at once."""
        return sum(self.seen.besides(batch_size).values()) + self.peak(batch_size).bytes

    def verdict_at(self, batch_size: int) -> str:
        """ "fits", "does not fit" or "uncertain" for another batch size."""
        if self.doubt is not None:
            return UNCERTAIN
        if not self.within(batch_size, 0.0):
            return FAILS
        return FITS if self.fits(batch_size) else UNCERTAIN

    def fits(self, batch_size: int) -> bool:
        """Whether mini-batches of this size fit, with headroom."""
        return self.doubt is None and self.within(batch_size, self.headroom)

    def within(self, batch_size: int, headroom: float) -> bool:
        """Whether a run stays within the budget, with a share of what it takes to spare."""
        room = int(self.room(batch_size) / (1 + headroom))
        if self.device == "cpu" or room < 0:
            return self.replay(batch_size, None).bytes <= room
        try:
            self.replay(batch_size, self.pool(room))
        except PoolFull:
            return False
        return True

    @property
    def doubt(self) -> str | None:
        """Why the predictions cannot be trusted, or None."""
        return self.seen.doubt

    @property
    def accumulation(self) -> int | None:
        """How many mini-batches make the effective batch."""
        most = self.batch_size if self.verdict == FITS else self.largest_power_of_two
        return math.ceil(self.effective_batch / most) if self.effective_batch and most else None

    @property
    def accumulate(self) -> int | None:
        """The size of these mini-batches; the last may be smaller."""
        count = self.accumulation
        return math.ceil(self.effective_batch / count) if self.effective_batch and count else None

    def breakdown(self, batch_size: int | None = None) -> dict[str, int]:
        """Bytes by what they are for at the peak, those that are allocated already among them."""
        batch_size = batch_size or self.batch_size
        peak = self.peak(batch_size)
        found: dict[str, int] = dict.fromkeys(ROLES, 0)
        for part in (self.allocated, peak.live, self.seen.besides(batch_size)):
            for role, size in part.items():
                found[role] += size
        found[ROUNDING] += peak.bytes - peak.in_use
        return found

    def why_not(self, batch_size: int) -> str:
        """What a batch size that does not fit lacks, and where."""
        need = self.predict(batch_size)
        parts = self.peak(batch_size).live | self.seen.besides(batch_size)
        most = max(parts, key=lambda role: parts[role])
        lack = words(need - self.budget.bytes) + " too much"
        if need <= self.budget.bytes:
            lack = f"and allocators may take {self.headroom:.0%} more"
        return f"it needs {words(need)}, {lack}; most of it are {most} ({words(parts[most])})"

    def __str__(self) -> str:
        return "\n".join(lines(self))


def largest(fits: Callable[[int], bool], most: int, begins: Sequence[int]) -> tuple[int, int]:
    """The largest power of two and the largest number up to `most` that fit; 0 for none.

    begins: where another model begins, which may find less than the one before it. On a GPU one
    number may fit, the next not, and the one after it again: the result is where that begins.
    """
    power = 2 ** (most.bit_length() - 1)
    while power and not fits(power):
        power //= 2
    for low, high in reversed([*itertools.pairwise([1, *begins, most + 1])]):
        if low < high and fits(low):
            over = bisect_left(range(low, high), True, key=lambda size: not fits(size))
            return power, max(power, low + over - 1)
    return power, power
