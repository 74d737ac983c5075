"""The rules as they stand in many a training loop: one array expression a line, NumPy or CuPy."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gpuopt.bench.candidates import Candidate, Skipped, candidate
from gpuopt.bench.place import Place
from gpuopt.bench.problem import Problem


class Naive:
    """The averages of one array, zero at first, and the numbers of the rule."""

    def __init__(self, p: Any, settings: dict[str, Any]) -> None:
        self.p, self.t, self.sqrt = p, 0, sqrt_for(p)
        self.m = self.v = 0.0
        self.__dict__.update(settings)


class SGD(Naive):
    lr: float

    def step(self, g: Any) -> None:
        self.p -= self.lr * g


class Momentum(Naive):
    lr: float
    beta: float

    def step(self, g: Any) -> None:
        self.v = self.beta * self.v + (1 - self.beta) * g
        self.p -= self.lr * self.v


class RMSprop(Naive):
    lr: float
    alpha: float
    eps: float

    def step(self, g: Any) -> None:
        self.v = self.alpha * self.v + (1 - self.alpha) * g * g
        self.p -= self.lr * g / (self.sqrt(self.v) + self.eps)


class Adam(Naive):
    lr: float
    betas: tuple[float, float]
    eps: float

    def step(self, g: Any) -> None:
        self.t += 1
        beta1, beta2 = self.betas
        self.m = beta1 * self.m + (1 - beta1) * g
        self.v = beta2 * self.v + (1 - beta2) * g * g
        m_hat, v_hat = self.m / (1 - beta1**self.t), self.v / (1 - beta2**self.t)
        self.p -= self.lr * m_hat / (self.sqrt(v_hat) + self.eps)


class AdamW(Adam):
    weight_decay: float

    def step(self, g: Any) -> None:
        self.p -= self.lr * self.weight_decay * self.p
        super().step(g)


NAIVE = {cls.__name__: cls for cls in (SGD, Momentum, RMSprop, Adam, AdamW)}


def naive(rule: str, p: Any) -> Any:
    """That rule for one array, with gpuopt's defaults."""
    return NAIVE[rule](p, Problem(rule, "one", [p.shape]).settings)


def sqrt_for(p: Any) -> Any:
    if isinstance(p, np.ndarray):
        return np.sqrt
    from gpuopt.bench.clock_gpu import library

    return library().sqrt


def candidates(place: Place) -> Iterator[Candidate | Skipped]:
    name = "naive CuPy" if place.problem.on_gpu else "naive NumPy"
    if place.problem.rule not in NAIVE:
        yield Skipped(name, f"written for {', '.join(NAIVE)} only")
        return
    if place.dtype.itemsize == 2:
        yield Skipped(name, "each of its lines would round to 16 bits")
        return
    opts = [naive(place.problem.rule, p) for p in place.params]

    def step() -> None:
        with place.memory.device():
            for opt, g in zip(opts, place.grads, strict=True):
                opt.step(g)

    yield candidate(name, place, step)
