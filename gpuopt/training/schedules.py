"""What `--schedule` says: how the learning rate changes, for each optimizer from its own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gpuopt import schedules
from gpuopt.errors import InputError

Lr = Callable[[int], float]


@dataclass(frozen=True)
class Run:
    """What a schedule is made for: a learning rate, and so many epochs of so many steps."""

    lr: float
    epochs: int
    per_epoch: int

    def by_epoch(self, schedule: Callable[[int], float]) -> Lr:
        """A schedule of epochs, of which the first is number 1, as one of steps."""
        return schedules.per_epoch(schedule, self.per_epoch)

    @property
    def steps(self) -> int:
        return self.epochs * self.per_epoch

    def part(self, share: float) -> int:
        """The share of all steps, in steps."""
        return round(proper_share(share) * self.steps)


def proper_share(value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"a share must be from 0 to 1, got {value:g}")
    return value


def staircase(run: Run, factor: float, every: int) -> Lr:
    stairs = schedules.staircase(run.lr, factor, every)
    return run.by_epoch(lambda epoch: stairs(epoch - 1))


def warmup_cosine(run: Run, share: float) -> Lr:
    start = run.part(share)
    falling = schedules.cosine(run.lr, max(1, run.steps - start))
    return schedules.join([schedules.warmup(run.lr, start), falling], [start])


def warmup_stable_decay(run: Run, up: float, down: float) -> Lr:
    proper_share(up + down)
    start = run.part(up)
    end = min(run.part(down), run.steps - start)
    return schedules.warmup_stable_decay(run.lr, start, run.steps - start - end, end)


# how it is written: how it is made, and its numbers where they are not given
KINDS: dict[str, tuple[Callable[..., Lr], tuple[float, ...]]] = {
    "inverse-time:RATE": (lambda r, rate: r.by_epoch(schedules.inverse_time(r.lr, rate)), (1,)),
    "exponential:RATE": (lambda r, rate: r.by_epoch(schedules.exponential(r.lr, rate)), (0.95,)),
    "sqrt:K": (lambda r, k: r.by_epoch(schedules.sqrt_decay(r.lr, k)), (1,)),
    "staircase:FACTOR:EPOCHS": (staircase, (0.5, 5)),
    "linear:END": (lambda r, end: schedules.linear(r.lr, proper_share(end) * r.lr, r.steps), (0,)),
    "cosine:END": (lambda r, end: schedules.cosine(r.lr, r.steps, proper_share(end) * r.lr), (0,)),
    "warmup-cosine:SHARE": (warmup_cosine, (0.1,)),
    "wsd:SHARE:SHARE": (warmup_stable_decay, (0.1, 0.2)),
    "one-cycle": (lambda r: schedules.one_cycle(r.lr, r.steps), ()),
}
WRITTEN = ", ".join(KINDS)


def schedule(text: str, lr: float, epochs: int, per_epoch: int) -> Lr:
    """The learning rate by step, from 1, that `text` describes: NAME or NAME:NUMBER:NUMBER.

    InputError for a text that says none.
    """
    name, *given = text.strip().lower().split(":")
    kinds = {written.partition(":")[0]: written for written in KINDS}
    if name not in kinds:
        raise InputError(f"--schedule {text}: there is no schedule {name!r}; choose of {WRITTEN}")
    make, defaults = KINDS[kinds[name]]
    try:
        numbers = [*map(number, given)]
        if len(numbers) > len(defaults):
            raise ValueError(f"expected {kinds[name]}")
        return make(Run(lr, epochs, per_epoch), *numbers, *defaults[len(numbers) :])
    except (TypeError, ValueError) as error:
        raise InputError(f"--schedule {text}: {error}") from None


def number(text: str) -> Any:
    """A whole number where it is written as one, or another number."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None
