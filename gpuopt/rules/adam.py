"""Adam, and AdamW: the same step with the decay taken out of the gradient."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuopt.checks import decay_rate, flag, non_negative
from gpuopt.rules.base import Rule, ascent, normalise, plus_decay


@dataclass(frozen=True)
class Adam(Rule):
    """Adam: adaptive moment estimation, with L2 regularisation in the gradient.

        g <- g + weight_decay p
        m <- beta1 m + (1 - beta1) g
        v <- beta2 v + (1 - beta2) g^2
        p <- p - lr m_hat / (sqrt(v_hat) + eps)
        with the averages' bias corrected: m_hat = m / (1 - beta1^t), v_hat = v / (1 - beta2^t)

    amsgrad divides by the largest v so far (v_max, compared before bias correction, as in PyTorch).
    Source: Kingma and Ba 2015, "Adam: a method for stochastic optimization", algorithm 1;
    amsgrad: Reddi, Kale and Kumar 2018, "On the convergence of Adam and beyond".
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    amsgrad: bool = False
    maximize: bool = False

    def __post_init__(self) -> None:
        check(self)

    @property
    def state(self) -> tuple[str, ...]:
        return buffers(self)

    def scalars(self, lr: Any, t: Any) -> dict[str, Any]:
        return {**moment_scalars(self, lr, t), "weight_decay": self.weight_decay}

    def update(self, p: Any, g: Any, *rest: Any) -> Any:
        g = plus_decay(ascent(self, g), rest[-1].weight_decay, p)
        step, *state = adaptive_step(self, g, *rest)
        return p - step, *state


@dataclass(frozen=True)
class AdamW(Rule):
    """Adam with decoupled weight decay.

        p <- p - lr weight_decay p                   (the p from before the step)
        then Adam's step, whose gradient holds no decay

    Source: Loshchilov and Hutter 2019, "Decoupled weight decay regularization", algorithm 2, with
    the decay multiplied by lr as PyTorch does.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 1e-2
    amsgrad: bool = False
    maximize: bool = False

    def __post_init__(self) -> None:
        check(self)

    @property
    def state(self) -> tuple[str, ...]:
        return buffers(self)

    def scalars(self, lr: Any, t: Any) -> dict[str, Any]:
        return {**moment_scalars(self, lr, t), "decay": lr * self.weight_decay}

    def update(self, p: Any, g: Any, *rest: Any) -> Any:
        step, *state = adaptive_step(self, ascent(self, g), *rest)
        # not (1 - decay) p - step: float32 rounds 1 - 1e-7 so that a fifth of the decay is lost
        return p - plus_decay(step, rest[-1].decay, p), *state


def pair(name: str, value: Any) -> tuple[float, float]:
    try:
        first, second = value
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a pair of numbers in [0, 1), got {value!r}") from None
    return decay_rate(f"{name}[0]", first), decay_rate(f"{name}[1]", second)


def check(rule: Adam | AdamW) -> None:
    normalise(rule, betas=pair, eps=non_negative, weight_decay=non_negative)
    normalise(rule, amsgrad=flag, maximize=flag)


def buffers(rule: Adam | AdamW) -> tuple[str, ...]:
    return ("m", "v", "v_max") if rule.amsgrad else ("m", "v")


def beta_scalars(betas: tuple[float, float]) -> dict[str, Any]:
    """What `moments` needs of a step's scalars."""
    beta1, beta2 = betas
    return {
        "beta1": beta1,
        "one_minus_beta1": 1 - beta1,
        "beta2": beta2,
        "one_minus_beta2": 1 - beta2,
    }


def moments(g: Any, m: Any, v: Any, s: Any) -> tuple[Any, Any]:
    """The averages of the gradient and of its square."""
    m = s.beta1 * m + s.one_minus_beta1 * g
    v = s.beta2 * v + s.one_minus_beta2 * g * g
    return m, v


def moment_scalars(rule: Adam | AdamW, lr: Any, t: Any) -> dict[str, Any]:
    beta1, beta2 = rule.betas
    return {
        **beta_scalars(rule.betas),
        "step_size": lr / (1 - beta1**t),
        "inv_sqrt_c2": (1 - beta2**t) ** -0.5,
        "eps": rule.eps,
    }


def adaptive_step(rule: Adam | AdamW, g: Any, m: Any, v: Any, *rest: Any) -> tuple[Any, ...]:
    """What Adam takes from p, for a gradient that holds what decay it should, and the new state."""
    *v_max, s = rest
    m, v = moments(g, m, v, s)
    if rule.amsgrad:
        v_max = [np.maximum(v_max[0], v)]
    second = v_max[0] if v_max else v
    return s.step_size * m / (np.sqrt(second) * s.inv_sqrt_c2 + s.eps), m, v, *v_max
