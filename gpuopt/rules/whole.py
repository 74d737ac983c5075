"""A rule together with what surrounds its step in training: one formula, one pass over memory."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuopt.rules.base import Rule

FACTOR, LIMIT, SKIP, GAIN = "step_factor", "step_limit", "step_skip", "step_gain"


@dataclass(frozen=True)
class WholeStep(Rule):
    """A rule's step with what comes before and after it.

        g <- step_factor g                           (scaled: 1 / loss scale, clipping by norm)
        g <- min(max(g, -step_limit), step_limit)    (limited: clipping by value)
        p, state <- the rule's
        a <- a + step_gain (p - a)                   (average: the decay, or None)
        g <- 0 in memory                             (zeroed)
        and where step_skip is not 0, p, state and a keep their values   (skippable)

    step_gain is (1 - decay) / (1 - decay^t), so a is the bias-corrected average itself: p after the
    first step. Source of the correction: Kingma and Ba 2015, section 3.
    """

    rule: Rule
    scaled: bool = False
    limited: bool = False
    skippable: bool = False
    zeroed: bool = False
    average: float | None = None

    def __post_init__(self) -> None:
        own = {FACTOR, LIMIT, SKIP, GAIN, "average"}
        taken = own & {*self.rule.state, *self.rule.scalars(1e-3, 1, **self.rule.carried)}
        if taken:
            raise ValueError(
                f"{type(self.rule).__name__} has a buffer or scalar called {taken.pop()!r}, a name "
                "that gpuopt needs for clipping, skipping and averages; give it another"
            )

    @property
    def state(self) -> tuple[str, ...]:
        return (*self.rule.state, *["average"] * (self.average is not None))

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("p", *self.state, *["g"] * self.zeroed)

    @property
    def initial(self) -> dict[str, float]:
        return self.rule.initial

    @property
    def carried(self) -> dict[str, float]:
        return self.rule.carried

    def scalars(
        self,
        lr: Any,
        t: Any,
        factor: Any = 1.0,
        limit: Any = math.inf,
        skip: Any = 0.0,
        **carried: Any,
    ) -> dict[str, Any]:
        scalars = dict(self.rule.scalars(lr, t, **carried))
        if self.scaled:
            scalars[FACTOR] = factor
        if self.limited:
            scalars[LIMIT] = limit
        if self.skippable:
            scalars[SKIP] = skip
        if self.average is not None:
            scalars[GAIN] = (1 - self.average) / (1 - self.average**t)
        return scalars

    def update(self, p: Any, g: Any, *rest: Any) -> Any:
        *state, s = rest
        old = (p, *state)
        if self.scaled:
            g = g * s.step_factor
        if self.limited:
            g = np.minimum(np.maximum(g, -s.step_limit), s.step_limit)
        average = [state.pop()] if self.average is not None else []
        new = self.rule.update(p, g, *state, s)
        new = new if isinstance(new, tuple) else (new,)
        new += tuple(a + s.step_gain * (new[0] - a) for a in average)
        if self.skippable:
            new = tuple(np.where(s.step_skip == 0, n, o) for n, o in zip(new, old, strict=True))
        return (*new, 0.0) if self.zeroed else new
