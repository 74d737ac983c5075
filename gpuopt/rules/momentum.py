"""Gradient descent with momentum, as an exponentially weighted average of the gradients."""

from dataclasses import dataclass
from typing import Any

from gpuopt.checks import decay_rate, flag, non_negative
from gpuopt.rules.base import Rule, ascent, normalise, plus_decay


@dataclass(frozen=True)
class Momentum(Rule):
    """Gradient descent with momentum.

        g <- g + weight_decay p
        v <- beta v + (1 - beta) g                   (ewma=False: v <- beta v + g), v = 0 at first
        p <- p - lr v                                (nesterov: take the look-ahead for v:
                                                      beta v + (1 - beta) g, or beta v + g)

    bias_correction divides the average by the sum of its weights: 1 - beta^t, and for nesterov's
    look-ahead, which holds one more gradient, 1 - beta^(t+1). A sum (ewma=False) has no bias to
    correct, so asking for both raises.
    Source: Polyak 1964, "Some methods of speeding up the convergence of iteration methods";
    Nesterov 1983; the average form as in A. Ng's course on improving deep neural networks.
    """

    beta: float = 0.9
    ewma: bool = True
    nesterov: bool = False
    bias_correction: bool = False
    weight_decay: float = 0.0
    maximize: bool = False

    def __post_init__(self) -> None:
        normalise(self, beta=decay_rate, weight_decay=non_negative)
        normalise(self, ewma=flag, nesterov=flag, bias_correction=flag, maximize=flag)
        if self.bias_correction and not self.ewma:
            raise ValueError("bias_correction needs ewma=True: a sum of gradients has no such bias")

    @property
    def state(self) -> tuple[str, ...]:
        return ("v",)

    def scalars(self, lr: Any, t: Any) -> dict[str, Any]:
        weights = 1 - self.beta ** (t + 1 if self.nesterov else t) if self.bias_correction else 1.0
        return {
            "beta": self.beta,
            "gain": 1 - self.beta if self.ewma else 1.0,
            "step_size": lr / weights,
            "weight_decay": self.weight_decay,
        }

    def update(self, p: Any, g: Any, v: Any, s: Any) -> Any:
        g = plus_decay(ascent(self, g), s.weight_decay, p)
        v = s.beta * v + s.gain * g
        direction = s.beta * v + s.gain * g if self.nesterov else v
        return p - s.step_size * direction, v
