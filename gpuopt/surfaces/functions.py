"""The three surfaces: the cost and its gradient, where a path starts, and when it has arrived.

No curvature of any of them is above 1, the one across the valley at the centre (0, 0): gradient
descent is stable below a learning rate of 2 on all, so that a rate found on one suits the others.
Source: A. Ng's course on improving deep neural networks: the elongated contours of momentum and
RMSprop, the saddle points and plateaus of the problem of local optima.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Points = np.ndarray  # of shape (..., 2): x and y
Curvatures = tuple[float, float]  # a along x, b along y


@dataclass(frozen=True)
class Surface:
    """A cost J of two parameters, with a task on it.

    cost: points (..., 2) to J (...,). gradient: points (..., 2) to (dJ/dx, dJ/dy) (..., 2).
    missing: points (..., 2) to (...,): how much there is to go; at most 0 where the task is done.
    in_a_row: for how many steps it must stay so, if the path goes on for as long.
    window: what the picture shows of x and of y. levels: of J, where it has contours.
    """

    title: str
    formula: str
    cost: Callable[[Points], np.ndarray]
    gradient: Callable[[Points], Points]
    start: tuple[float, float]
    centre: str
    task: str
    missing: Callable[[Points], np.ndarray]
    window: tuple[tuple[float, float], tuple[float, float]]
    levels: tuple[float, ...]
    in_a_row: int = 1


def quadratic(p: Points, curvatures: Curvatures) -> np.ndarray:
    """J = (a x^2 + b y^2) / 2. Its gradient is (a x, b y)."""
    return p * p @ np.array(curvatures) / 2


def basin(p: Points, curvatures: Curvatures) -> np.ndarray:
    """J = 1 - exp(-(a x^2 + b y^2) / 2): a basin in a plateau of height 1."""
    return 1 - np.exp(-quadratic(p, curvatures))


def basin_gradient(p: Points, curvatures: Curvatures) -> Points:
    """(a x, b y) exp(-(a x^2 + b y^2) / 2): next to nothing far from the basin."""
    return p * curvatures * np.exp(-quadratic(p, curvatures))[..., None]


BOWL, SADDLE, BASIN = (1 / 100, 1.0), (1.0, -1 / 100), (1 / 9, 1.0)

SURFACES = {
    "bowl": Surface(
        title="elongated bowl",
        formula="J = (x^2/100 + y^2) / 2",
        cost=lambda p: quadratic(p, BOWL),
        gradient=lambda p: p * BOWL,
        start=(-4.0, 1.5),
        centre="minimum",
        task="it stays within 0.1 of the minimum",
        missing=lambda p: np.hypot(p[..., 0], p[..., 1]) - 0.1,
        window=((-4.5, 1.6), (-1.7, 1.8)),
        levels=(0.005, 0.03, 0.1, 0.25, 0.5, 0.85, 1.3),
        in_a_row=300,
    ),
    "saddle": Surface(
        title="saddle point",
        formula="J = (x^2 - y^2/100) / 2",
        cost=lambda p: quadratic(p, SADDLE),
        gradient=lambda p: p * SADDLE,
        start=(-1.5, 0.1),
        centre="saddle point",
        task="|y| is at least 10",
        missing=lambda p: 10 - np.abs(p[..., 1]),
        window=((-1.9, 1.9), (-9.0, 13.0)),
        levels=(-0.5, -0.2, -0.05, 0.05, 0.2, 0.5, 0.85, 1.3),
    ),
    "plateau": Surface(
        title="plateau",
        formula="J = 1 - exp(-(x^2/9 + y^2) / 2)",
        cost=lambda p: basin(p, BASIN),
        gradient=lambda p: basin_gradient(p, BASIN),
        start=(-11.0, 1.0),
        centre="minimum",
        task="J is at most 0.5",
        missing=lambda p: basin(p, BASIN) - 0.5,
        window=((-12.0, 4.5), (-2.4, 2.4)),
        levels=(0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.999),
    ),
}
