"""What Thinc's optimizer does around and inside a rule."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuopt.checks import flag, non_negative
from gpuopt.rules.adam import Adam
from gpuopt.rules.base import Rule, normalise, plus_decay

MAX_DECAY = 0.9999  # of the average


@dataclass(frozen=True)
class EarlyEps(Rule):
    """Adam with eps added before the second moment's bias is corrected.

        p <- p - lr sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + eps)

    which is Adam with eps / sqrt(1 - beta2^t) in place of eps.
    Source: Kingma and Ba 2015, section 2, the last paragraph's form with "epsilon hat".
    """

    adam: Adam

    @property
    def state(self) -> tuple[str, ...]:
        return self.adam.state

    def scalars(self, lr: Any, t: Any) -> dict[str, Any]:
        scalars = self.adam.scalars(lr, t)
        scalars["eps"] = scalars["eps"] * scalars["inv_sqrt_c2"]
        return scalars

    def update(self, *args: Any) -> Any:
        return self.adam.update(*args)


@dataclass(frozen=True)
class ThincStep(Rule):
    """A rule's step, and after it decay and an average, as Thinc's optimizer does them.

        p, state <- the rule's
        p <- p - lr weight_decay p                       (the p from after the step)
        a <- decay a + (1 - decay) p                     (averaged; a = 0 at first)
        with decay = (1 + t) / (10 + t), at most 0.9999

    So the first average is 9/11 of p.
    Source: thinc/optimizers.py and `update_averages` in thinc/backends/ops.py, Thinc 9.1.
    """

    rule: Rule
    weight_decay: float = 0.0
    averaged: bool = False

    def __post_init__(self) -> None:
        normalise(self, weight_decay=non_negative, averaged=flag)

    @property
    def state(self) -> tuple[str, ...]:
        return (*self.rule.state, "a") if self.averaged else self.rule.state

    def scalars(self, lr: Any, t: Any) -> dict[str, Any]:
        scalars = {**self.rule.scalars(lr, t), "shrink": -lr * self.weight_decay}
        if self.averaged:
            larger = max if isinstance(t, int) else np.maximum  # on the host, at every step
            scalars["gain"] = larger(9 / (10 + t), 1 - MAX_DECAY)  # 1 - decay
        return scalars

    def update(self, p: Any, g: Any, *rest: Any) -> Any:
        *state, s = rest
        average = [state.pop()] if self.averaged else []
        new = self.rule.update(p, g, *state, s)
        p, *state = new if isinstance(new, tuple) else (new,)
        p = plus_decay(p, s.shrink, p)
        return (p, *state, *(a + s.gain * (p - a) for a in average))
