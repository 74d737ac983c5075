"""Slopes of a cost along steps of its parameters: what gradient checking measures."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuopt.checks import finite
from gpuopt.theta import FLOAT64, Part, Theta

ROUNDING = 100 * FLOAT64  # of a cost, beside its value: generously
FACTOR = 100  # how much shorter the step of a second try is, and how much longer a diagnosis'

Step = tuple[slice, np.ndarray]  # which elements of theta move, and by how much


@dataclass(frozen=True)
class Slope:
    """The slope in one direction by the gradient and by differences: two-sided, and on each side.

    rounding: how much the rounding of the cost may have moved `numeric`.
    """

    analytic: float
    numeric: float
    left: float
    right: float
    rounding: float

    @property
    def gap(self) -> float:
        return abs(self.numeric - self.analytic)


class Slopes:
    """Slopes of the cost f(params) at theta, whose gradient is said to be `g`."""

    def __init__(self, f: Callable[[Any], Any], theta: Theta, g: np.ndarray) -> None:
        self.f, self.theta, self.g = f, theta, g
        self.here = self.cost()
        again = self.cost()
        if again != self.here:
            raise ValueError(
                f"f(params) gave {self.here!r} and then {again!r} for the same parameters; switch "
                "off dropout and whatever else is random, or seed it anew inside f"
            )

    def cost(self) -> float:
        value = self.f(self.theta.params())
        shape = tuple(getattr(value, "shape", ()))
        if shape:
            raise TypeError(
                f"f(params) has shape {shape}; expected one real number, the cost, as of .mean()"
            )
        return finite("f(params), the cost,", value)

    def along(self, place: slice, step: np.ndarray) -> Slope:
        """Where only the elements `place` move: (J(theta + step) - J(theta - step)) / |2 step|."""
        values = self.theta.values
        start = values[place].copy()
        values[place] = start + step
        above, moved = self.cost(), values[place].copy()
        values[place] = start - step
        below = self.cost()
        moved -= values[place]  # 2 step, as float64 rounds it
        values[place] = start
        length, rise = products(moved, self.g[place])
        if not length:
            raise ValueError(f"eps is too small: steps of {np.abs(step).max():.1e} move nothing")
        return Slope(
            analytic=rise / length,
            numeric=(above - below) / length,
            left=(self.here - below) / (length / 2),
            right=(above - self.here) / (length / 2),
            rounding=ROUNDING * max(abs(above), abs(below)) / length,
        )


@np.errstate(under="ignore")
def products(moved: np.ndarray, g: np.ndarray) -> tuple[float, float]:
    """The length of a move, and how much the cost rises along it by the gradient."""
    return float(np.linalg.norm(moved)), float(g @ moved)


def steps_in(
    values: np.ndarray, place: slice, eps: float, directions: int | None, rng: np.random.Generator
) -> Iterator[Step]:
    """Every element of one parameter by itself, or random directions; `eps` long if |values| <= 1.

    values: the elements of theta in `place`.
    """
    if directions is None:
        for i, scale in enumerate(np.maximum(1, np.abs(values)), place.start):
            yield slice(i, i + 1), np.array([eps * scale])
        return
    scale = max(1.0, np.abs(values).max())
    for _ in range(directions):
        direction = rng.standard_normal(values.size)
        yield place, eps * scale / np.linalg.norm(direction) * direction


@dataclass(frozen=True)
class Measured:
    """A parameter's slopes, a row (analytic, numeric, rounding) for each step; where the two differ
    most: the row, and the step there."""

    part: Part
    table: np.ndarray
    row: int
    place: slice
    step: np.ndarray


def measured(slopes: Slopes, part: Part, steps: Iterable[Step], tolerance: float) -> Measured:
    rows: list[tuple[float, float, float]] = []
    widest, row, there = -1.0, 0, (part.place, np.zeros(1))
    for place, step in steps:
        slope = slopes.along(place, step)
        rounding, size = slope.rounding, abs(slope.analytic) + abs(slope.numeric)
        if slope.gap > max(tolerance * size, rounding):
            shorter = slopes.along(place, step / FACTOR)
            slope = min(slope, shorter, key=lambda tried: tried.gap)
        if slope.gap > widest:
            widest, row, there = slope.gap, len(rows), (place, step)
        rows.append((slope.analytic, slope.numeric, rounding))
    return Measured(part, np.array(rows), row, *there)


def remark(slopes: Slopes, m: Measured, unit: float) -> str:
    """What may be the matter where the gradient of a parameter failed, or nothing.

    unit: the rounding unit of the gradients that were given.
    """
    g, approx, _ = m.table.T
    if not approx.any():
        return (
            f"The cost does not change with {m.part.name}; f must compute with the parameters that "
            "it is given, and with all of them."
        )
    with contextlib.suppress(Exception):  # f need not be defined as far away as this looks
        seen = neighbourhood(slopes, m)
        if seen:
            return seen
    with np.errstate(under="ignore", divide="ignore", invalid="ignore"):  # squares of tiny slopes
        factor = float(g @ approx / (approx @ approx))
        alike = np.allclose(g, factor * approx, rtol=1e-4, atol=0)
        off, length = np.linalg.norm(g - approx), np.linalg.norm(approx)
    if len(g) > 1 and abs(factor - 1) > 0.01 and alike:
        return f"The gradient of {m.part.name} is {factor:.5g} times the numeric one throughout."
    if unit > FLOAT64 and off < 30 * unit**0.5 * length:
        return "Gradients below float64 were given; a function in place of grads avoids that."
    return ""


def neighbourhood(slopes: Slopes, m: Measured) -> str:
    """Whether the cost is rounded coarsely where the gradient differs most, or has a kink there."""
    near, normal, far = (slopes.along(m.place, m.step * k) for k in (1 / FACTOR, 1, FACTOR))
    if far.gap < min(near.gap, normal.gap) / 10:
        return (
            "With longer steps they agree better, so the cost is rounded coarsely: something in f "
            "computes in float32, or adds a large constant. Mend that, or give a larger eps."
        )
    low, high = sorted((near.left, near.right))
    slack = near.rounding
    bent = high - low > max(abs(normal.right - normal.left) / 2, 4 * slack)
    if bent and low - slack <= near.analytic <= high + slack:
        return (
            f"The cost has a kink there, as ReLU has at 0, with slopes {low:.8g} and {high:.8g} on "
            "its two sides; move the parameters a little."
        )
    return ""
