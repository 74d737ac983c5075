"""The optimizers by name: each makes an `Optimizer` with its rule, under PyTorch's argument names.

`params`, `lr`, `average` and `backend` are those of `Optimizer`; the equations are in each rule's
docstring.
"""

from typing import Any

from gpuopt import rules
from gpuopt.groups import Schedule
from gpuopt.optimizer import Optimizer


def SGD(
    params: Any,
    lr: float | Schedule = 1e-3,
    momentum: float = 0.0,
    dampening: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    maximize: bool = False,
    average: float | None = None,
    backend: str | None = None,
) -> Optimizer:
    """Gradient descent with PyTorch's momentum: see `gpuopt.rules.SGD`."""
    rule = rules.SGD(momentum, dampening, nesterov, weight_decay, maximize)
    return Optimizer(params, rule, lr=lr, average=average, backend=backend)


def Momentum(
    params: Any,
    lr: float | Schedule,
    beta: float = 0.9,
    ewma: bool = True,
    nesterov: bool = False,
    bias_correction: bool = False,
    weight_decay: float = 0.0,
    maximize: bool = False,
    average: float | None = None,
    backend: str | None = None,
) -> Optimizer:
    """Gradient descent with an average of the gradients: see `gpuopt.rules.Momentum`."""
    rule = rules.Momentum(beta, ewma, nesterov, bias_correction, weight_decay, maximize)
    return Optimizer(params, rule, lr=lr, average=average, backend=backend)


def RMSprop(
    params: Any,
    lr: float | Schedule = 1e-2,
    alpha: float = 0.99,
    eps: float = 1e-8,
    eps_inside_sqrt: bool = False,
    centered: bool = False,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    maximize: bool = False,
    average: float | None = None,
    backend: str | None = None,
) -> Optimizer:
    """RMSprop: see `gpuopt.rules.RMSprop`."""
    rule = rules.RMSprop(alpha, eps, eps_inside_sqrt, centered, momentum, weight_decay, maximize)
    return Optimizer(params, rule, lr=lr, average=average, backend=backend)


def Adam(
    params: Any,
    lr: float | Schedule = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
    maximize: bool = False,
    average: float | None = None,
    backend: str | None = None,
) -> Optimizer:
    """Adam, with L2 regularisation: see `gpuopt.rules.Adam`."""
    rule = rules.Adam(betas, eps, weight_decay, amsgrad, maximize)
    return Optimizer(params, rule, lr=lr, average=average, backend=backend)


def AdamW(
    params: Any,
    lr: float | Schedule = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    amsgrad: bool = False,
    maximize: bool = False,
    average: float | None = None,
    backend: str | None = None,
) -> Optimizer:
    """Adam with decoupled weight decay: see `gpuopt.rules.AdamW`."""
    rule = rules.AdamW(betas, eps, weight_decay, amsgrad, maximize)
    return Optimizer(params, rule, lr=lr, average=average, backend=backend)
