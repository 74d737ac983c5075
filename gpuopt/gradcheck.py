"""Gradient checking: is this the gradient of that cost? For debugging, not for training."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuopt.checks import generator, positive, whole
from gpuopt.slopes import Measured, Slopes, measured, remark, steps_in
from gpuopt.theta import Theta

EPS = 6e-6  # the cube root of float64's 2.2e-16: truncation (eps^2) and rounding (1 / eps) balance
SHOWN = 10  # parameters in the text


@dataclass(frozen=True)
class ParameterCheck:
    """One parameter: its own relative error, and its worst element.

    index: of that element in the array; None with `directions`. analytic, numeric: the slope there
    by the gradient and by the differences; complex for an element of a complex parameter.
    """

    name: str
    error: float
    passed: bool
    index: tuple[int, ...] | None
    analytic: complex
    numeric: complex


@dataclass(frozen=True)
class GradientCheck:
    """What `check_gradients` found; true if it passed, and a table as text.

    error: ||g_approx - g|| / (||g_approx|| + ||g||) over all parameters together; of the slopes in
    the directions tried, where `directions` were asked for.
    worst: every parameter that has elements, failed ones first, then by their errors.
    remark: where the check failed, what the differences look like, if that is known.
    """

    error: float
    tolerance: float
    worst: tuple[ParameterCheck, ...]
    remark: str = ""

    @property
    def passed(self) -> bool:
        """Whether every parameter passed."""
        return all(p.passed for p in self.worst)

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        rows = [("parameter", "error", "worst at", "analytic", "numeric")]
        for p in self.worst[:SHOWN]:
            where = "a direction" if p.index is None else str(list(p.index) or "-")
            slopes = f"{p.analytic:.8g}", f"{p.numeric:.8g}"
            rows.append((p.name, f"{p.error:.1e}", where, *slopes))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        outcome = "passed" if self.passed else "FAILED"
        lines = [
            f"gradient check {outcome}: relative error {self.error:.1e}, "
            f"at most {self.tolerance:.1e} may be",
            *("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows),
        ]
        if len(self.worst) > SHOWN:
            lines.append(f"and {len(self.worst) - SHOWN} more parameters")
        return "\n".join([*lines, self.remark] if self.remark else lines)


def check_gradients(
    f: Callable[[Any], Any],
    params: Any,
    grads: Any,
    eps: float = EPS,
    tolerance: float | None = None,
    directions: int | None = None,
    rng: int | np.random.Generator | None = None,
) -> GradientCheck:
    """Compare gradients with two-sided differences of the cost J = f(params).

        g_approx_i = (J(theta + eps e_i) - J(theta - eps e_i)) / (2 eps)
        error      = ||g_approx - g|| / (||g_approx|| + ||g||)

    theta is all parameters end to end; source: deeplearning.ai, Improving Deep Neural Networks.

        found = gpuopt.check_gradients(lambda p: cost(p, X, Y), params, lambda p: grads(p, X, Y))
        assert found, found  # prints the worst parameters where it failed

    f: called with copies of the parameters in float64 or complex128, in the structure of `params`;
    gives one finite real number, the same for the same parameters: no dropout, one mini-batch.
    params: NumPy or CuPy arrays, one or many as for an optimizer. They are never changed.
    grads: the same structure, or a function that gives it for such copies, so that it is computed
    in float64. None stands for zeros. A complex gradient is dJ/dRe + i dJ/dIm, as in PyTorch.

    eps: the step, times |theta_i| where that is above 1. The default is the cube root of float64's
    rounding unit, where the error is least; the course's 1e-7 leaves more to rounding.
    tolerance: the largest relative error that passes, in each parameter by itself and so in all
    together. Default 1e-6; for gradients given as float32 or float16, the root of their rounding
    unit, 3.5e-4 or 0.03. The course: 1e-7 is great, 1e-5 wants a second look, 1e-3 is a bug.

    f is called twice for each element. For large models give `directions`: that many random
    directions within each parameter instead, drawn from `rng` (None, a seed, or a Generator).

    What disagrees is tried again with eps / 100 and the closer is taken: a kink, as of ReLU, that
    lies within one step is no bug. A parameter also passes if rounding explains the difference and
    it is within the tolerance beside the whole gradient: a bias before batch normalisation.

    Raises TypeError or ValueError for arrays, structures and shapes that do not fit, gradients
    that are not finite, and a cost that is no such number or not the same when asked twice.
    """
    eps = positive("eps", eps)
    rng = generator(rng)
    if directions is not None:
        directions = whole("directions", directions, 1)
    if tolerance is not None:
        tolerance = positive("tolerance", tolerance)
    theta = Theta(params)
    g, unit = theta.gradient(grads(theta.params()) if callable(grads) else grads)
    if tolerance is None:
        tolerance = max(1e-6, unit**0.5)
    slopes = Slopes(f, theta, g)
    found = []
    for part in theta.parts:
        if part.place.stop > part.place.start:
            steps = steps_in(theta.values[part.place], part.place, eps, directions, rng)
            found.append(measured(slopes, part, steps, tolerance))
    gap, size = norms(np.concatenate([m.table for m in found]))
    checks = [(judged(m, tolerance, size, directions is None), m) for m in found]
    checks.sort(key=lambda pair: (pair[0].passed, -pair[0].error))
    first, m = checks[0]
    return GradientCheck(
        error=gap / size if gap else 0.0,
        tolerance=tolerance,
        worst=tuple(check for check, _ in checks),
        remark="" if first.passed else remark(slopes, m, unit),
    )


@np.errstate(under="ignore")
def norms(table: np.ndarray) -> tuple[float, float]:
    """||g_approx - g|| and ||g_approx|| + ||g||."""
    g, approx = table[:, 0], table[:, 1]
    length = np.linalg.norm
    return float(length(approx - g)), float(length(approx) + length(g))


@np.errstate(under="ignore")
def judged(m: Measured, tolerance: float, beside: float, by_element: bool) -> ParameterCheck:
    """beside: ||g_approx|| + ||g|| of all parameters together."""
    gap, size = norms(m.table)
    error = gap / size if gap else 0.0
    rounding = float(np.linalg.norm(m.table[:, 2]))
    row, index, (g, approx) = m.row, None, m.table[:, :2].T
    if by_element:
        g, approx = (np.ascontiguousarray(x).view(m.part.dtype) for x in (g, approx))
        row //= len(m.table) // len(g)
        index = tuple(map(int, np.unravel_index(row, m.part.shape)))
    passed = error <= tolerance or gap <= min(rounding, tolerance * beside)
    return ParameterCheck(m.part.name, error, passed, index, g[row].item(), approx[row].item())
