"""Adadelta: steps as large, in the mean square, as those before; they need no unit of their own."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuopt.checks import decay_rate, flag, non_negative
from gpuopt.rules.base import Rule, ascent, normalise, plus_decay


@dataclass(frozen=True)
class Adadelta(Rule):
    """Adadelta, as torch.optim.Adadelta computes it.

        g <- g + weight_decay p
        v <- rho v + (1 - rho) g^2
        x  = sqrt(d + eps) / sqrt(v + eps) g
        d <- rho d + (1 - rho) x^2                   (d: average of squared steps)
        p <- p - lr x

    Source: Zeiler 2012, "ADADELTA: an adaptive learning rate method", algorithm 1, where lr is 1.
    """

    rho: float = 0.9
    eps: float = 1e-6
    weight_decay: float = 0.0
    maximize: bool = False

    def __post_init__(self) -> None:
        normalise(self, rho=decay_rate, eps=non_negative, weight_decay=non_negative, maximize=flag)

    @property
    def state(self) -> tuple[str, ...]:
        return ("v", "d")

    def scalars(self, lr: Any, t: Any) -> dict[str, Any]:
        return {
            "lr": lr,
            "rho": self.rho,
            "one_minus_rho": 1 - self.rho,
            "eps": self.eps,
            "weight_decay": self.weight_decay,
        }

    def update(self, p: Any, g: Any, v: Any, d: Any, s: Any) -> Any:
        g = plus_decay(ascent(self, g), s.weight_decay, p)
        v = s.rho * v + s.one_minus_rho * g * g
        x = np.sqrt(d + s.eps) / np.sqrt(v + s.eps) * g
        d = s.rho * d + s.one_minus_rho * x * x
        return p - s.lr * x, v, d
