"""Learning rates that decay by a formula, in steps, or by hand."""

import math
from bisect import bisect_right
from dataclasses import dataclass

from gpuopt.schedules.base import Boundaries, Factor, Period, Rate, Rates, Schedule, one_more


@dataclass(frozen=True)
class inverse_time(Schedule):
    """lr0 / (1 + decay_rate t)"""

    lr0: Rate
    decay_rate: Rate

    def at(self, t: float) -> float:
        return self.lr0 / (1 + self.decay_rate * t)


@dataclass(frozen=True)
class exponential(Schedule):
    """lr0 rate^t, with 0 < rate <= 1, such as 0.95"""

    lr0: Rate
    rate: Factor

    def at(self, t: float) -> float:
        return self.lr0 * self.rate**t


@dataclass(frozen=True)
class sqrt_decay(Schedule):
    """lr0 k / sqrt(t); before t = 1 what it is there, as at 0 it would be infinite"""

    lr0: Rate
    k: Rate

    def at(self, t: float) -> float:
        return self.lr0 * self.k / math.sqrt(max(t, 1))


@dataclass(frozen=True)
class staircase(Schedule):
    """lr0 factor^floor(t / every), with 0 < factor <= 1, such as 0.5: PyTorch's StepLR"""

    lr0: Rate
    factor: Factor
    every: Period

    def at(self, t: float) -> float:
        return self.lr0 * self.factor ** (t // self.every)


@dataclass(frozen=True)
class piecewise(Schedule):
    """values[0] before boundaries[0], and values[k] from boundaries[k - 1] on: manual decay.

    At a boundary it is the new value, as in PyTorch and optax; Keras has it one step later.
    """

    boundaries: Boundaries
    values: Rates

    def __post_init__(self) -> None:
        super().__post_init__()
        one_more("values", self.values, self.boundaries)

    def at(self, t: float) -> float:
        return self.values[bisect_right(self.boundaries, t)]
