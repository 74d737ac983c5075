"""What an update rule is, and what rules share.

The letters inside formulas, everywhere in gpuopt:

    p   one element of a parameter             g   its gradient
    m   first-order buffer (average of g)      v   second-order buffer (average of g^2)
    b   momentum buffer (a sum, not an average)
    d   average of squared steps
    t   the parameter's own step count, 1 at its first step
    s   the step's scalars: what `scalars` returns, the same for all elements
"""

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

    @property
    def initial(self) -> dict[str, float]:
        """What buffers hold before the first step, by name; those not named hold zeros."""
        return {}

    @property
    def carried(self) -> dict[str, float]:
        """Names of numbers that each parameter keeps beside its step count, and their first values.

        `scalars` takes them by name, as the last step left them, and returns them among its own.
        """
        return {}

    @abstractmethod
    def scalars(self, lr: Any, t: Any) -> dict[str, Any]:
        """What is the same for all elements in one step, in float64: a dict of name to number.

        `lr` is the learning rate and `t` the parameter's step count, from 1. Hyper-parameters that
        the formula needs belong here, not in `update`: so changing one never recompiles a kernel.
        It may be traced, to be worked out on a GPU: so it depends on fields, lr, t and what is
        `carried` alone.
        """

    @abstractmethod
    def update(self, *args: Any, **kwargs: Any) -> Any:
        """One element: `update(self, p, g, *state, s)` returns `(p, *state)`, or `p` without state.

        Only arithmetic, comparisons and numpy.sqrt, abs, sign, maximum, minimum and where: it is
        called with arrays by the NumPy backend and with tracers when a kernel is made. A Python
        `if` may look at the rule's own flags; it is decided while tracing.
        """


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
    unknown = {*rule.initial} - {*rule.state}
    if unknown:
        raise ValueError(f"{name}.initial names {sorted(unknown)}, but the state is {rule.state}")
    taken = {*rule.carried} & {"step", "lr", "t", "factor", "limit", "skip", *rule.state}
    if taken:
        raise ValueError(
            f"{name}.carried has a number called {taken.pop()!r}; give it another name"
        )
    missing = {*rule.carried} - {*rule.scalars(1e-3, 1, **rule.carried)} if rule.carried else ()
    if missing:
        raise ValueError(f"{name}.scalars must return the new {sorted(missing)}, which are carried")
