"""Schedules made of schedules."""

import math
from bisect import bisect_right
from dataclasses import dataclass

from gpuopt.schedules.base import Boundaries, Function, Functions, Period, Schedule, one_more


@dataclass(frozen=True)
class join(Schedule):
    """schedules[0] before boundaries[0], and schedules[k] from boundaries[k - 1] on

    Each is called with t less its boundary, as optax's `join_schedules` does.
    """

    schedules: Functions
    boundaries: Boundaries

    def __post_init__(self) -> None:
        super().__post_init__()
        one_more("schedules", self.schedules, self.boundaries)

    def at(self, t: float) -> float:
        k = bisect_right(self.boundaries, t)
        return self.schedules[k](t - self.boundaries[k - 1] if k else t)


@dataclass(frozen=True)
class per_epoch(Schedule):
    """A schedule of epochs as one of steps: steps 1 to `steps` are epoch 1, and so on"""

    schedule: Function
    steps: Period

    def at(self, t: float) -> float:
        return self.schedule(math.ceil(t / self.steps))
