"""Learning rates that go from one value to another in a given number of steps."""

import math
from dataclasses import dataclass

from gpuopt.checks import non_negative, whole
from gpuopt.schedules.base import Divisor, Length, Period, Rate, Schedule, Share
from gpuopt.schedules.composed import join


@dataclass(frozen=True)
class linear(Schedule):
    """A straight line from lr0 to lr1 at t = steps, and lr1 after it"""

    lr0: Rate
    lr1: Rate
    steps: Length

    def at(self, t: float) -> float:
        left = (self.steps - t) / self.steps if t < self.steps else 0
        return left * self.lr0 + (1 - left) * self.lr1


def warmup(lr: float, steps: int) -> linear:
    """lr t / steps, and lr after t = steps: to `join` with what follows"""
    return linear(0.0, non_negative("lr", lr), steps)


@dataclass(frozen=True)
class cosine(Schedule):
    """lr_min + (lr0 - lr_min) (1 + cos(pi t / steps)) / 2, and lr_min after t = steps

    Loshchilov & Hutter 2017, SGDR: Stochastic Gradient Descent with Warm Restarts, equation 5.
    """

    lr0: Rate
    steps: Period
    lr_min: Rate = 0.0

    def at(self, t: float) -> float:
        return half_cosine(self.lr0, self.lr_min, t, self.steps)


@dataclass(frozen=True)
class cosine_restarts(Schedule):
    """`cosine` that starts again at lr0 when t = steps, each time for `mult` times as long

    Periods are steps, mult steps, mult^2 steps, ... long (ibid.; PyTorch's T_0 and T_mult).
    """

    lr0: Rate
    steps: Period
    mult: Period = 1
    lr_min: Rate = 0.0

    def at(self, t: float) -> float:
        period = self.steps
        if self.mult == 1:
            t %= period
        while t >= period:
            t -= period
            period *= self.mult
        return half_cosine(self.lr0, self.lr_min, t, period)


@dataclass(frozen=True)
class one_cycle(Schedule):
    """Up from lr_max / div_factor to lr_max at t = pct_start steps, then down to
    lr_max / (div_factor final_div_factor) at t = steps, both along half a cosine

    Smith & Topin 2018, Super-Convergence; arguments are those of PyTorch's OneCycleLR. That starts
    at t = 1, and this, like optax's, at t = 0; from the peak on they are the same.
    """

    lr_max: Rate
    steps: Period
    pct_start: Share = 0.3
    div_factor: Divisor = 25.0
    final_div_factor: Divisor = 1e4

    def at(self, t: float) -> float:
        start, peak = self.lr_max / self.div_factor, self.pct_start * self.steps
        if t < peak:
            return half_cosine(start, self.lr_max, t, peak)
        end = start / self.final_div_factor
        return half_cosine(self.lr_max, end, t - peak, self.steps - peak)


def warmup_stable_decay(
    lr: float, warmup: int, stable: int, decay: int, lr_min: float = 0.0
) -> join:
    """`warmup` steps up from 0 to lr, `stable` ones at lr, and `decay` straight down to lr_min

    Hu et al. 2024, MiniCPM (who decay exponentially); Hägele et al. 2024, Scaling Laws and
    Compute-Optimal Training Beyond Fixed Training Durations.
    """
    top, end = non_negative("lr", lr), non_negative("lr_min", lr_min)
    decay_from = whole("warmup", warmup, 0) + whole("stable", stable, 0)
    falling = linear(top, end if whole("decay", decay, 0) else top, decay)
    return join([linear(0.0, top, warmup), falling], [decay_from])


def half_cosine(a: float, b: float, t: float, length: float) -> float:
    """From a at t = 0 to b at t = length, and b after it."""
    left = max(length - t, 0) / length
    weight = math.sin(math.pi / 2 * left) ** 2  # (1 + cos(pi t / length)) / 2, precise near its 0
    return weight * a + (1 - weight) * b
