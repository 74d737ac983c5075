"""Adamax: Adam with the largest gradient in place of the root mean square."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuopt.checks import flag, non_negative
from gpuopt.rules.adam import pair
from gpuopt.rules.base import Rule, ascent, normalise, plus_decay


@dataclass(frozen=True)
class Adamax(Rule):
    """Adamax, as torch.optim.Adamax computes it.

        g <- g + weight_decay p
        m <- beta1 m + (1 - beta1) g
        v <- max(beta2 v, |g| + eps)                 (an infinity norm: of first order, unsquared)
        p <- p - lr m / ((1 - beta1^t) v)

    eps is PyTorch's: it keeps v above zero; the paper has none.
    Source: Kingma and Ba 2015, "Adam: a method for stochastic optimization", algorithm 2.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    maximize: bool = False

    def __post_init__(self) -> None:
        normalise(self, betas=pair, eps=non_negative, weight_decay=non_negative)
        normalise(self, maximize=flag)

    @property
    def state(self) -> tuple[str, ...]:
        return ("m", "v")

    def scalars(self, lr: Any, t: Any) -> dict[str, Any]:
        beta1, beta2 = self.betas
        return {
            "beta1": beta1,
            "one_minus_beta1": 1 - beta1,
            "beta2": beta2,
            "step_size": lr / (1 - beta1**t),
            "eps": self.eps,
            "weight_decay": self.weight_decay,
        }

    def update(self, p: Any, g: Any, m: Any, v: Any, s: Any) -> Any:
        g = plus_decay(ascent(self, g), s.weight_decay, p)
        m = s.beta1 * m + s.one_minus_beta1 * g
        v = np.maximum(s.beta2 * v, np.abs(g) + s.eps)
        return p - s.step_size * m / v, m, v
