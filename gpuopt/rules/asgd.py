"""ASGD: gradient descent that also averages the parameters it passes through."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuopt.checks import finite, flag, non_negative
from gpuopt.rules.base import Rule, ascent, normalise, plus_decay


@dataclass(frozen=True)
class ASGD(Rule):
    """Averaged stochastic gradient descent, as torch.optim.ASGD computes it.

        g   <- g + weight_decay p
        p   <- (1 - lambd eta) p - eta g
        ax  <- ax + mu (p - ax)                      (p itself where mu is 1)
        eta <- lr / (1 + lambd lr t)^alpha           (lr at first)
        mu  <- 1 / max(1, t - t0)                    (1 at first)

    eta and mu are carried from step to step, so a new lr takes effect one step late. ax is the
    average of the parameters since step t0; the steps themselves do not depend on it.
    Source: Polyak and Juditsky 1992, "Acceleration of stochastic approximation by averaging";
    eta as in Bottou's SGD: Xu 2011, "Towards optimal one pass large scale learning with averaged
    stochastic gradient descent".
    """

    lambd: float = 1e-4
    alpha: float = 0.75
    t0: float = 1e6
    weight_decay: float = 0.0
    maximize: bool = False

    def __post_init__(self) -> None:
        normalise(self, lambd=non_negative, alpha=non_negative, t0=finite)
        normalise(self, weight_decay=non_negative, maximize=flag)

    @property
    def state(self) -> tuple[str, ...]:
        return ("ax",)

    @property
    def carried(self) -> dict[str, float]:
        return {"eta": 0.0, "mu": 1.0}  # the first eta is the lr of the first step

    def scalars(self, lr: Any, t: Any, eta: Any = 0.0, mu: Any = 1.0) -> dict[str, Any]:
        return {
            "step_size": np.where(eta == 0, np.where(t == 1, lr, 0.0), eta),
            "decay": self.lambd + self.weight_decay,
            "gain": mu,
            "eta": lr / (1 + self.lambd * lr * t) ** self.alpha,
            "mu": 1 / np.maximum(1.0, t - self.t0),
        }

    def update(self, p: Any, g: Any, ax: Any, s: Any) -> Any:
        # lambd beside weight_decay: float32 rounds 1 - lambd eta so that much of lambd is lost
        p = p - s.step_size * plus_decay(ascent(self, g), s.decay, p)
        return p, np.where(s.gain == 1, p, ax + s.gain * (p - ax))
