"""Rprop: a step size for every element, which follows the signs of the gradient."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuopt.checks import finite, flag, non_negative, real
from gpuopt.rules.base import Rule, ascent, normalise


@dataclass(frozen=True)
class Rprop(Rule):
    """Resilient backpropagation, as torch.optim.Rprop computes it.

        step_size <- lr                              (before the first step; lr is not read again)
        step_size <- etas[1] step_size               where g prev > 0, and
        step_size <- etas[0] step_size, g <- 0       where g prev < 0
        step_size <- min(max(step_size, step_sizes[0]), step_sizes[1])
        p <- p - sign(g) step_size
        prev <- g                                    (0 at first)

    It is made for gradients of the whole data set: the noise of mini-batches changes signs.
    A gradient that is NaN makes p NaN, an infinite one moves p by the step size.
    Source: Riedmiller and Braun 1993, "A direct adaptive method for faster backpropagation
    learning: the RPROP algorithm"; this form of it is iRprop- of Igel and Huesken 2000, "Improving
    the Rprop learning algorithm".
    """

    etas: tuple[float, float] = (0.5, 1.2)
    step_sizes: tuple[float, float] = (1e-6, 50.0)
    maximize: bool = False

    def __post_init__(self) -> None:
        normalise(self, etas=factors, step_sizes=bounds, maximize=flag)

    @property
    def state(self) -> tuple[str, ...]:
        return ("prev", "step_size")

    def scalars(self, lr: Any, t: Any) -> dict[str, Any]:
        return {
            "first_size": np.where(t == 1, lr, 0.0),
            "shrink": self.etas[0],
            "grow": self.etas[1],
            "smallest": self.step_sizes[0],
            "largest": self.step_sizes[1],
        }

    def update(self, p: Any, g: Any, prev: Any, step_size: Any, s: Any) -> Any:
        g = ascent(self, g)
        agreement = g * prev
        # a new buffer holds 0, and the learning rate is known only when the first step is taken
        step_size = np.where(step_size == 0, s.first_size, step_size)
        factor = np.where(agreement > 0, s.grow, np.where(agreement < 0, s.shrink, 1.0))
        step_size = np.minimum(np.maximum(step_size * factor, s.smallest), s.largest)
        g = np.where(agreement < 0, 0.0, g)
        return p - np.sign(g) * step_size, g, step_size


def two(name: str, value: Any) -> tuple[Any, Any]:
    try:
        first, second = value
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a pair of numbers, got {value!r}") from None
    return first, second


def factors(name: str, value: Any) -> tuple[float, float]:
    """A pair of factors, the first between 0 and 1, the second above 1."""
    shrink, grow = (finite(f"{name}[{k}]", x) for k, x in enumerate(two(name, value)))
    if not 0 < shrink < 1 < grow:
        raise ValueError(f"{name} must be a pair with 0 < {name}[0] < 1 < {name}[1], got {value!r}")
    return shrink, grow


def bounds(name: str, value: Any) -> tuple[float, float]:
    """The smallest and the largest step size; the largest may be infinity."""
    first, second = two(name, value)
    smallest, largest = non_negative(f"{name}[0]", first), real(f"{name}[1]", second)
    if smallest > largest:
        raise ValueError(f"{name} must be (smallest, largest), got {value!r}")
    return smallest, largest
