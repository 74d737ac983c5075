"""Learning rates that change: each name here makes a function of the step or epoch number t.

`opt.lr = schedules.cosine(0.1, steps=1000)`, or by hand `schedule(t)`. t = 0 is the start; the
first step of an optimizer asks for t = 1, so `warmup` gives no step a rate of 0, and the last of
`steps` steps is at the end. t is any number >= 0. TypeError or ValueError for another, and for
arguments that cannot be used, which raise at once.

Schedules are frozen dataclasses: they print, compare, copy and pickle by their fields. Equations
without a source are those of deeplearning.ai's course Improving Deep Neural Networks.
"""

from gpuopt.schedules.annealing import (
    cosine,
    cosine_restarts,
    linear,
    one_cycle,
    warmup,
    warmup_stable_decay,
)
from gpuopt.schedules.base import Schedule
from gpuopt.schedules.composed import join, per_epoch
from gpuopt.schedules.decay import exponential, inverse_time, piecewise, sqrt_decay, staircase

__all__ = [
    "Schedule",
    "cosine",
    "cosine_restarts",
    "exponential",
    "inverse_time",
    "join",
    "linear",
    "one_cycle",
    "per_epoch",
    "piecewise",
    "sqrt_decay",
    "staircase",
    "warmup",
    "warmup_stable_decay",
]
