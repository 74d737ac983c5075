"""Paths of an optimizer on the surfaces, and the learning rate that suits the bowl best."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gpuopt.errors import InputError
from gpuopt.optimizer import Optimizer
from gpuopt.surfaces.functions import SURFACES, Points, Surface

Make = Callable[..., Optimizer]  # (params, lr=..., backend=...) -> Optimizer

RATES = tuple(float(f"{10 ** (k / 7):.2g}") for k in range(-14, 8))  # seven to a power of ten
SLACK = 1.25
SEARCH_STEPS = 500  # enough for each to arrive on the bowl, and to stay


@dataclass(frozen=True)
class Path:
    """points: (steps + 1, 2), the start first. costs: J there. arrived: the step, or None."""

    points: Points
    costs: np.ndarray
    arrived: int | None

    @property
    def way(self) -> Points:
        """The points up to the arrival; all of them if there is none."""
        return self.points if self.arrived is None else self.points[: self.arrived + 1]


@dataclass(frozen=True)
class Run:
    """What an optimizer did: its rule, its learning rate, and its path on each surface."""

    rule: str
    lr: float
    paths: dict[str, Path]


def run(make: Make, lr: float, steps: int, backend: str) -> Run:
    """Take `steps` steps on every surface."""
    paths = {name: walk(make, [lr], s, steps, backend)[0] for name, s in SURFACES.items()}
    return Run(repr(make([np.zeros(2)], lr=lr, backend=backend).rule), lr, paths)


def walk(
    make: Make, rates: Sequence[float], surface: Surface, steps: int, backend: str
) -> list[Path]:
    """The path at each of the learning rates, from the surface's start; one group a rate."""
    points = [np.array(surface.start) for _ in rates]
    groups = [{"params": [p], "lr": lr} for p, lr in zip(points, rates, strict=True)]
    opt = make(groups, lr=0.0, backend=backend)
    seen = np.empty((steps + 1, len(rates), 2))
    seen[0] = points
    with np.errstate(all="ignore"):  # too large a rate overflows, and its path says so
        for t in range(steps):
            opt.step([[g] for g in surface.gradient(seen[t])])
            seen[t + 1] = points
        return [Path(p, surface.cost(p), arrival(surface, p)) for p in seen.swapaxes(0, 1)]


def arrival(surface: Surface, points: Points) -> int | None:
    """The first step at which the surface's task is done, and stays done for as long as it asks
    for, or to the last step."""
    row = 0
    for t, missing in enumerate(surface.missing(points)):
        row = row + 1 if missing <= 0 else 0
        if row == surface.in_a_row:
            return t - row + 1
    return len(points) - row if row else None


def best_rate(make: Make, backend: str) -> float:
    """The smallest of RATES whose steps on the bowl are at most a quarter above the fewest.

    Not the one with the fewest: large rates overshoot, and where their swings end is luck. Rates
    that ever lift the cost above that of the start are left out; InputError if none is left.
    """
    paths = walk(make, RATES, SURFACES["bowl"], SEARCH_STEPS, backend)
    steps = {
        lr: path.arrived
        for lr, path in zip(RATES, paths, strict=True)
        if path.arrived is not None and (path.costs <= path.costs[0]).all()
    }
    if not steps:
        raise InputError(f"no learning rate from {RATES[0]} to {RATES[-1]} suits; give --lr")
    return min(lr for lr, count in steps.items() if count <= SLACK * min(steps.values()))
