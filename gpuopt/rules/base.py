"""What an update rule is, and the checks of hyper-parameters that rules share.

The letters inside formulas, everywhere in gpuopt:

    p   one element of a parameter             g   its gradient
    m   first-order buffer (average of g)      v   second-order buffer (average of g^2)
    b   momentum buffer (a sum, not an average)
    t   the parameter's own step count, 1 at its first step
    s   the step's scalars: what `scalars` returns, the same for all elements
"""

import math
import operator
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Rule(ABC):
    """An update rule: one formula for one element, from which every backend is made.

    A rule is a frozen dataclass; its fields are its hyper-parameters. Subclass it, write `state`,
    `scalars` and `update`, and `gpuopt.Optimizer(params, YourRule(...), lr=...)` does the rest.
    """

    @property
    def state(self) -> tuple[str, ...]:
        """Names of the buffers kept per element, in the order `update` takes and returns them."""
        return ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the arrays that `update` returns new values for, in its order."""
        return ("p", *self.state)

    @abstractmethod
    def scalars(self, lr: Any, t: Any) -> dict[str, Any]:
        """What is the same for all elements in one step, in float64: a dict of name to number.

        `lr` is the learning rate and `t` the parameter's step count, from 1. Hyper-parameters that
        the formula needs belong here, not in `update`: so changing one never recompiles a kernel.
        It may be traced, to be worked out on a GPU: so it depends on fields, lr and t alone.
        """

    @abstractmethod
    def update(self, *args: Any, **kwargs: Any) -> Any:
        """One element: `update(self, p, g, *state, s)` returns `(p, *state)`, or `p` without state.

        Only arithmetic, comparisons and numpy.sqrt, abs, sign, maximum, minimum and where: it is
        called with arrays by the NumPy backend and with tracers when a kernel is made. A Python
        `if` may look at the rule's own flags; it is decided while tracing.
        """


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


def normalise(rule: Rule, **checks: Any) -> None:
    """Run `checks` (field name to function) on a rule's fields and keep what they return."""
    for name, check in checks.items():
        object.__setattr__(rule, name, check(name, getattr(rule, name)))


def ascent(rule: Any, g: Any) -> Any:
    """The gradient, negated when the rule maximizes."""
    return -g if rule.maximize else g


def plus_decay(x: Any, rate: Any, p: Any) -> Any:
    """x + rate p: the gradient of the loss plus (rate / 2) p^2, or a step that decays p as well.

    Where the rate is 0 it is x itself, also for an infinite p; so groups with and without decay
    share one kernel.
    """
    if isinstance(rate, np.floating):  # in the NumPy backend: saves four passes over x
        return x + rate * p if rate else x
    return np.where(rate == 0, x, x + rate * p)


def check_rule(rule: Any) -> None:
    """Rules are compared by their fields, so they must be frozen dataclasses of hashable fields."""
    if not isinstance(rule, Rule):
        raise TypeError(f"rule must be a gpuopt.Rule, such as gpuopt.rules.Adam(), got {rule!r}")
    name = type(rule).__name__
    if "__dataclass_fields__" not in vars(type(rule)):
        raise TypeError(f"the class {name} needs @dataclass(frozen=True) above it")
    try:
        hash(rule)
    except TypeError as error:
        raise TypeError(f"{name}'s fields must be hashable, such as tuples: {error}") from None
    if not isinstance(rule.state, tuple):
        raise TypeError(f"{name}.state must be a tuple of names such as ('m',), got {rule.state!r}")
