"""Adagrad: the gradient divided by the root of the sum of all its squares."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuopt.checks import flag, non_negative
from gpuopt.rules.base import Rule, ascent, normalise, plus_decay


@dataclass(frozen=True)
class Adagrad(Rule):
    """Adagrad, as torch.optim.Adagrad computes it.

        g <- g + weight_decay p
        v <- v + g^2                                 (initial_accumulator_value at first)
        d  = sqrt(v) + eps                           (eps_inside_sqrt: sqrt(v + eps))
        p <- p - lr / (1 + (t - 1) lr_decay) g / d

    eps_inside_sqrt is Keras' and optax' form; they start v at 0.1.

    Source: Duchi, Hazan and Singer 2011, "Adaptive subgradient methods for online learning and
    stochastic optimization", figure 1, with the diagonal matrix.
    """

    lr_decay: float = 0.0
    weight_decay: float = 0.0
    initial_accumulator_value: float = 0.0
    eps: float = 1e-10
    maximize: bool = False
    eps_inside_sqrt: bool = False

    def __post_init__(self) -> None:
        normalise(self, lr_decay=non_negative, weight_decay=non_negative, eps=non_negative)
        normalise(self, initial_accumulator_value=non_negative)
        normalise(self, maximize=flag, eps_inside_sqrt=flag)

    @property
    def state(self) -> tuple[str, ...]:
        return ("v",)

    @property
    def initial(self) -> dict[str, float]:
        return {"v": self.initial_accumulator_value}

    def scalars(self, lr: Any, t: Any) -> dict[str, Any]:
        return {
            "step_size": lr / (1 + (t - 1) * self.lr_decay),
            "eps": self.eps,
            "weight_decay": self.weight_decay,
        }

    def update(self, p: Any, g: Any, v: Any, s: Any) -> Any:
        g = plus_decay(ascent(self, g), s.weight_decay, p)
        v = v + g * g
        root = np.sqrt(v + s.eps) if self.eps_inside_sqrt else np.sqrt(v) + s.eps
        return p - s.step_size * g / root, v
