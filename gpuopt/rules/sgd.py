"""Gradient descent, with PyTorch's form of momentum."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuopt.checks import finite, flag, non_negative
from gpuopt.rules.base import Rule, ascent, normalise, plus_decay


@dataclass(frozen=True)
class SGD(Rule):
    """Stochastic gradient descent with optional momentum, as torch.optim.SGD computes it.

        g <- g + weight_decay p
        b <- momentum b + (1 - dampening) g          (b = g at a parameter's first step)
        p <- p - lr b                                (nesterov: p - lr (g + momentum b))

    Without momentum there is no buffer: p <- p - lr g. Here the learning rate multiplies the whole
    buffer; for the average form v <- beta v + (1 - beta) g see `Momentum`.
    Source: Sutskever et al. 2013, "On the importance of initialization and momentum in deep
    learning", in the form of PyTorch's documentation.
    """

    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    maximize: bool = False

    def __post_init__(self) -> None:
        normalise(self, momentum=non_negative, dampening=finite, weight_decay=non_negative)
        normalise(self, nesterov=flag, maximize=flag)
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError(
                "nesterov needs momentum > 0 and dampening = 0, "
                f"got momentum={self.momentum} and dampening={self.dampening}"
            )

    @property
    def state(self) -> tuple[str, ...]:
        return ("b",) if self.momentum else ()

    def scalars(self, lr: Any, t: Any) -> dict[str, Any]:
        scalars = {"lr": lr, "weight_decay": self.weight_decay}
        if self.momentum:
            scalars["momentum"] = self.momentum
            scalars["undamped"] = np.where(t == 1, 1.0, 1 - self.dampening)
        return scalars

    def update(self, p: Any, g: Any, *rest: Any) -> Any:
        *b, s = rest
        g = plus_decay(ascent(self, g), s.weight_decay, p)
        if not b:
            return p - s.lr * g
        b = s.momentum * b[0] + s.undamped * g
        direction = g + s.momentum * b if self.nesterov else b
        return p - s.lr * direction, b
