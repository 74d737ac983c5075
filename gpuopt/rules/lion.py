"""Lion: the sign of an average of the gradients."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuopt.checks import flag, non_negative
from gpuopt.rules.adam import pair
from gpuopt.rules.base import Rule, ascent, normalise, plus_decay


@dataclass(frozen=True)
class Lion(Rule):
    """Lion, as optax.lion computes it.

        u  = sign(beta1 m + (1 - beta1) g) + weight_decay p     (the p and m from before the step)
        m <- beta2 m + (1 - beta2) g
        p <- p - lr u

    Every element moves by lr, whatever the gradient's size, an infinite one as well; a NaN stays.
    Source: Chen et al. 2023, "Symbolic discovery of optimization algorithms", program 1.
    """

    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 1e-3
    maximize: bool = False

    def __post_init__(self) -> None:
        normalise(self, betas=pair, weight_decay=non_negative, maximize=flag)

    @property
    def state(self) -> tuple[str, ...]:
        return ("m",)

    def scalars(self, lr: Any, t: Any) -> dict[str, Any]:
        beta1, beta2 = self.betas
        return {
            "beta1": beta1,
            "one_minus_beta1": 1 - beta1,
            "beta2": beta2,
            "one_minus_beta2": 1 - beta2,
            "lr": lr,
            "decay": lr * self.weight_decay,
        }

    def update(self, p: Any, g: Any, m: Any, s: Any) -> Any:
        g = ascent(self, g)
        step = s.lr * np.sign(s.beta1 * m + s.one_minus_beta1 * g)
        m = s.beta2 * m + s.one_minus_beta2 * g
        return p - plus_decay(step, s.decay, p), m
