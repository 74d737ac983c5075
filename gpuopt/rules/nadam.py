"""NAdam: Adam with Nesterov's look-ahead."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuopt.checks import flag, non_negative
from gpuopt.rules.adam import beta_scalars, moments, pair
from gpuopt.rules.base import Rule, ascent, normalise, plus_decay


@dataclass(frozen=True)
class NAdam(Rule):
    """Adam with Nesterov momentum, as torch.optim.NAdam computes it.

        g <- g + weight_decay p                      (decoupled: p <- p - lr weight_decay p)
        m <- beta1 m + (1 - beta1) g
        v <- beta2 v + (1 - beta2) g^2
        mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2)
        mu_product <- mu_product mu_t                (1 at first)
        m_bar = mu_{t+1} m / (1 - mu_product mu_{t+1}) + (1 - mu_t) g / (1 - mu_product)
        p <- p - lr m_bar / (sqrt(v / (1 - beta2^t)) + eps)

    The product is carried from step to step, because betas may change on the way.
    Source: Dozat 2016, "Incorporating Nesterov momentum into Adam".
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    momentum_decay: float = 4e-3
    decoupled_weight_decay: bool = False
    maximize: bool = False

    def __post_init__(self) -> None:
        normalise(self, betas=pair, eps=non_negative, weight_decay=non_negative)
        normalise(self, momentum_decay=non_negative)
        normalise(self, decoupled_weight_decay=flag, maximize=flag)

    @property
    def state(self) -> tuple[str, ...]:
        return ("m", "v")

    @property
    def carried(self) -> dict[str, float]:
        return {"mu_product": 1.0}

    def scalars(self, lr: Any, t: Any, mu_product: Any = 1.0) -> dict[str, Any]:
        beta1, beta2 = self.betas
        mu = beta1 * (1 - 0.5 * 0.96 ** (t * self.momentum_decay))
        mu_next = beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * self.momentum_decay))
        mu_product = mu_product * mu
        return {
            **beta_scalars(self.betas),
            "g_size": lr * (1 - mu) / (1 - mu_product),
            "m_size": lr * mu_next / (1 - mu_product * mu_next),
            "inv_sqrt_c2": (1 - beta2**t) ** -0.5,
            "eps": self.eps,
            "decay": lr * self.weight_decay if self.decoupled_weight_decay else self.weight_decay,
            "mu_product": mu_product,
        }

    def update(self, p: Any, g: Any, m: Any, v: Any, s: Any) -> Any:
        g = ascent(self, g)
        if not self.decoupled_weight_decay:
            g = plus_decay(g, s.decay, p)
        m, v = moments(g, m, v, s)
        step = (s.g_size * g + s.m_size * m) / (np.sqrt(v) * s.inv_sqrt_c2 + s.eps)
        if self.decoupled_weight_decay:
            step = plus_decay(step, s.decay, p)
        return p - step, m, v
