"""RAdam: Adam that waits with dividing by the gradients' spread until that is known well enough."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuopt.checks import flag, non_negative
from gpuopt.rules.adam import beta_scalars, moments, pair
from gpuopt.rules.base import Rule, ascent, normalise, plus_decay


@dataclass(frozen=True)
class RAdam(Rule):
    """Rectified Adam, as torch.optim.RAdam computes it.

        g <- g + weight_decay p                      (decoupled: p <- p - lr weight_decay p)
        m <- beta1 m + (1 - beta1) g
        v <- beta2 v + (1 - beta2) g^2
        rho_inf = 2 / (1 - beta2) - 1
        rho     = rho_inf - 2 t beta2^t / (1 - beta2^t)
        p <- p - lr m_hat                            where rho <= 5, and otherwise
        p <- p - lr m_hat r sqrt(1 - beta2^t) / (sqrt(v) + eps)
        with m_hat = m / (1 - beta1^t) and
        r^2 = (rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho)

    rho is the number of gradients in v's average; 5 as in PyTorch, where the paper has 4.
    Source: Liu et al. 2020, "On the variance of the adaptive learning rate and beyond",
    algorithm 2.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    decoupled_weight_decay: bool = False
    maximize: bool = False

    def __post_init__(self) -> None:
        normalise(self, betas=pair, eps=non_negative, weight_decay=non_negative)
        normalise(self, decoupled_weight_decay=flag, maximize=flag)

    @property
    def state(self) -> tuple[str, ...]:
        return ("m", "v")

    def scalars(self, lr: Any, t: Any) -> dict[str, Any]:
        beta1, beta2 = self.betas
        c2 = 1 - beta2**t
        rho = 2 / (1 - beta2) - 1 - 2 * t * beta2**t / c2
        rectified = rho > 5
        # r where it is not used must be a number, too; where it is, rho_inf > rho > 5
        rho, rho_inf = np.maximum(rho, 5.0), np.maximum(2 / (1 - beta2) - 1, 5.0)
        r = np.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
        return {
            **beta_scalars(self.betas),
            "step_size": lr / (1 - beta1**t) * np.where(rectified, r * np.sqrt(c2), 1.0),
            "rectified": np.where(rectified, 1.0, 0.0),
            "eps": self.eps,
            "decay": lr * self.weight_decay if self.decoupled_weight_decay else self.weight_decay,
        }

    def update(self, p: Any, g: Any, m: Any, v: Any, s: Any) -> Any:
        g = ascent(self, g)
        if not self.decoupled_weight_decay:
            g = plus_decay(g, s.decay, p)
        m, v = moments(g, m, v, s)
        step = s.step_size * m / np.where(s.rectified == 0, 1.0, np.sqrt(v) + s.eps)
        if self.decoupled_weight_decay:
            step = plus_decay(step, s.decay, p)
        return p - step, m, v
