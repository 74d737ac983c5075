"""RMSprop: the gradient divided by a running root mean square of itself."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuopt.checks import decay_rate, flag, non_negative
from gpuopt.rules.base import Rule, ascent, normalise, plus_decay


@dataclass(frozen=True)
class RMSprop(Rule):
    """RMSprop, as torch.optim.RMSprop computes it.

        g <- g + weight_decay p
        v <- alpha v + (1 - alpha) g^2
        m <- alpha m + (1 - alpha) g                 (centered)
        d  = sqrt(v) + eps                           (eps_inside_sqrt: sqrt(v + eps))
        b <- momentum b + g / d                      (momentum)
        p <- p - lr b                                (without momentum: p - lr g / d)

    centered puts the variance v - m^2 in place of v, clamped at zero: rounding makes it negative
    where the gradient hardly changes, and its root NaN.
    Source: Tieleman and Hinton 2012, "Lecture 6.5 - rmsprop"; centered: Graves 2013,
    "Generating sequences with recurrent neural networks".
    """

    alpha: float = 0.99
    eps: float = 1e-8
    eps_inside_sqrt: bool = False
    centered: bool = False
    momentum: float = 0.0
    weight_decay: float = 0.0
    maximize: bool = False

    def __post_init__(self) -> None:
        normalise(self, alpha=decay_rate, eps=non_negative, momentum=non_negative)
        normalise(self, weight_decay=non_negative)
        normalise(self, eps_inside_sqrt=flag, centered=flag, maximize=flag)

    @property
    def state(self) -> tuple[str, ...]:
        return ("v", *["m"] * self.centered, *["b"] * (self.momentum > 0))

    def scalars(self, lr: Any, t: Any) -> dict[str, Any]:
        return {
            "lr": lr,
            "alpha": self.alpha,
            "one_minus_alpha": 1 - self.alpha,
            "eps": self.eps,
            "momentum": self.momentum,
            "weight_decay": self.weight_decay,
        }

    def update(self, p: Any, g: Any, v: Any, *rest: Any) -> Any:
        *buffers, s = rest
        g = plus_decay(ascent(self, g), s.weight_decay, p)
        state = [s.alpha * v + s.one_minus_alpha * g * g]
        variance = state[0]
        if self.centered:
            m = s.alpha * buffers[0] + s.one_minus_alpha * g
            variance = np.maximum(variance - m * m, 0.0)
            state.append(m)
        root = np.sqrt(variance + s.eps) if self.eps_inside_sqrt else np.sqrt(variance) + s.eps
        direction = g / root
        if self.momentum:
            direction = s.momentum * buffers[-1] + direction
            state.append(direction)
        return p - s.lr * direction, *state
