"""Exponentially weighted averages: v_t = beta v_{t-1} + (1 - beta) x_t, from v_0 = 0.

Bias correction divides v_t by 1 - beta^t, the sum of its weights (1 - beta) beta^j, so that the
first ones are averages too (deeplearning.ai, Improving Deep Neural Networks; Kingma & Ba 2015,
section 3). beta = 1 is an error: v would stay 0, and its correction be 0 / 0.

Arrays are NumPy's or CuPy's; anything else becomes NumPy's. Arithmetic is in float64; the result
has the type of x, or float64 where that is no floating-point one. A NaN or an infinity is in every
later average, unless beta is 0. TypeError or ValueError for what cannot be averaged. What decays
below the normal numbers, and infinities that meet, raise nothing under numpy.seterr either: an
update is whole.
"""

import math
from typing import Any

import numpy as np

from gpuopt.arrays import array_module
from gpuopt.checks import decay_rate, flag, whole


def effective_window(beta: float) -> float:
    """About how many values are averaged: 1 / (1 - beta), in which weights decay to about 1/e."""
    return 1 / (1 - decay_rate("beta", beta))


@np.errstate(under="ignore", invalid="ignore")
def ewma(x: Any, beta: float, bias_correction: bool = True, axis: int = 0) -> Any:
    """The averages after each of the values that lie along `axis` of x, in the shape of x."""
    beta, corrected = decay_rate("beta", beta), flag("bias_correction", bias_correction)
    x, axis = numbers(x), whole("axis", axis)
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"x has shape {x.shape}, so it has no axis {axis}")
    xp = array_module(x)
    v = xp.moveaxis(x.astype(wide(x)), axis, 0)
    if beta:
        finite, lasting = xp.isfinite(v), None
        if not finite.all():
            lasting, v = xp.where(finite, 0, v).cumsum(axis=0), xp.where(finite, v, 0)
        v *= 1 - beta
        add_earlier(v, beta)
        if corrected:
            t = xp.arange(1, len(v) + 1).reshape(-1, *[1] * (v.ndim - 1))
            v /= -xp.expm1(t * math.log(beta))
        if lasting is not None:
            v += lasting
    return xp.moveaxis(v, 0, axis).astype(like(x), copy=False)


def add_earlier(v: Any, beta: float) -> None:
    """v_t <- v_t + beta v_{t-1} + beta^2 v_{t-2} + ... along axis 0, in place.

    After each pass twice as many terms are in: log2 of the window passes, each over whole arrays.
    """
    distance = 1
    while distance < len(v) and (weight := beta**distance):
        v[distance:] += weight * v[:-distance]
        distance *= 2


class Average:
    """The average of values that come one at a time, in one buffer (of 8 bytes an element).

    `average.update(x)`, then `average.value`, which agrees with `ewma` of all values. A GPU is
    not waited for. Copies and pickles go on from where they are.
    """

    def __init__(self, beta: float, bias_correction: bool = True) -> None:
        self.beta = decay_rate("beta", beta)
        self.bias_correction = flag("bias_correction", bias_correction)
        self.count = 0
        self._v: Any = None
        self._dtype = np.dtype(np.float64)

    def update(self, x: Any) -> None:
        """Take in x, a number or an array, of the shape and on the device of those before it."""
        x = numbers(x)
        if self.count == 0:
            self._v, self._dtype = array_module(x).zeros(x.shape, wide(x)), like(x)
        v = self._v
        if x.shape != v.shape:
            raise ValueError(f"x has shape {x.shape}, but those before it had {v.shape}")
        if type(x) is not type(v):
            names = [array_module(array).__name__ for array in (x, v)]
            raise TypeError(f"x is an array of {names[0]}, but those before it were of {names[1]}")
        if not np.can_cast(x.dtype, v.dtype, "same_kind"):
            raise TypeError(f"x is {x.dtype}, but those before it were real")
        with np.errstate(all="ignore"):
            weighted = (1 - self.beta) * x.astype(v.dtype)
            if self.beta:
                v *= self.beta
            else:  # 0 * infinity would be NaN
                v[...] = 0
            v += weighted
        self.count += 1

    @property
    def value(self) -> Any:
        """The average now, a new array or a NumPy number; RuntimeError before the first update."""
        if self.count == 0:
            raise RuntimeError("there is no average before the first update")
        weights = 1.0
        if self.bias_correction and self.beta:
            weights = -math.expm1(self.count * math.log(self.beta))
        with np.errstate(under="ignore"):
            return (self._v / weights).astype(self._dtype, copy=False)

    def __repr__(self) -> str:
        given = f"beta={self.beta!r}, bias_correction={self.bias_correction}"
        return f"<Average of {self.count} values, {given}>"


def numbers(x: Any) -> Any:
    """`x` as an array of numbers."""
    x = array_module(x).asarray(x)
    if x.dtype.kind not in "biufc":
        raise TypeError(f"x must be an array of numbers, got one of {x.dtype}")
    return x


def wide(x: Any) -> np.dtype:
    """The type to compute with."""
    return np.result_type(x.dtype, np.float64)


def like(x: Any) -> np.dtype:
    """The type of the result."""
    return x.dtype if x.dtype.kind in "fc" else np.dtype(np.float64)
