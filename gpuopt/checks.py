"""Checks of what users give: each returns the value as it is kept, or raises with its name."""

import math
import operator
from typing import Any

import numpy as np


def real(name: str, value: Any) -> float:
    """`value` as a float: Python and NumPy numbers and 0-d arrays; no NaN, flag, text or array."""
    try:
        if (
            isinstance(value, (str, bytes, bool, np.bool_))
            or np.iscomplexobj(value)
            or np.ndim(value)
        ):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    if math.isnan(number):
        raise ValueError(f"{name} must be a number, got nan")
    return number


def finite(name: str, value: Any) -> float:
    """`value` as a finite float."""
    number = real(name, value)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number!r}")
    return number


def non_negative(name: str, value: Any) -> float:
    """`value` as a finite float >= 0."""
    number = real(name, value)
    if not 0 <= number < math.inf:
        raise ValueError(f"{name} must be finite and >= 0, got {number!r}")
    return number


def positive(name: str, value: Any) -> float:
    """`value` as a finite float > 0."""
    number = finite(name, value)
    if number <= 0:
        raise ValueError(f"{name} must be > 0, got {number!r}")
    return number


def decay_rate(name: str, value: Any) -> float:
    """`value` as a float in [0, 1): the beta of an exponentially weighted average."""
    number = real(name, value)
    if not 0 <= number < 1:
        raise ValueError(f"{name} must be in [0, 1), got {number!r}")
    return number


def flag(name: str, value: Any) -> bool:
    """`value` as a bool: True or False only, so that a misplaced number is noticed."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return operator.truth(value)


def whole(name: str, value: Any, least: int | None = None) -> int:
    """`value` as a whole number: Python and NumPy integers and 0-d arrays of them, no flag."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None
    if least is not None and number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    return number


def generator(rng: Any) -> np.random.Generator:
    """Random numbers from None (new ones each time), a seed, or a NumPy Generator."""
    if isinstance(rng, np.random.Generator):
        return rng
    if rng is None:
        return np.random.default_rng()
    if isinstance(rng, bool) or not hasattr(rng, "__index__"):
        raise TypeError(f"rng must be None, a seed, or a numpy.random.Generator, got {rng!r}")
    return np.random.default_rng(whole("rng: a seed", rng, 0))
