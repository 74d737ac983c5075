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


def NAdam(
    params: Any,
    lr: float | Schedule = 2e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum_decay: float = 4e-3,
    decoupled_weight_decay: bool = False,
    maximize: bool = False,
    average: float | None = None,
    backend: str | None = None,
) -> Optimizer:
    """Adam with Nesterov's look-ahead: see `gpuopt.rules.NAdam`."""
    rule = rules.NAdam(betas, eps, weight_decay, momentum_decay, decoupled_weight_decay, maximize)
    return Optimizer(params, rule, lr=lr, average=average, backend=backend)


def RAdam(
    params: Any,
    lr: float | Schedule = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled_weight_decay: bool = False,
    maximize: bool = False,
    average: float | None = None,
    backend: str | None = None,
) -> Optimizer:
    """Rectified Adam: see `gpuopt.rules.RAdam`."""
    rule = rules.RAdam(betas, eps, weight_decay, decoupled_weight_decay, maximize)
    return Optimizer(params, rule, lr=lr, average=average, backend=backend)


def Adamax(
    params: Any,
    lr: float | Schedule = 2e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    maximize: bool = False,
    average: float | None = None,
    backend: str | None = None,
) -> Optimizer:
    """Adam with the largest gradient for a spread: see `gpuopt.rules.Adamax`."""
    rule = rules.Adamax(betas, eps, weight_decay, maximize)
    return Optimizer(params, rule, lr=lr, average=average, backend=backend)


def Adagrad(
    params: Any,
    lr: float | Schedule = 1e-2,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
    maximize: bool = False,
    eps_inside_sqrt: bool = False,
    average: float | None = None,
    backend: str | None = None,
) -> Optimizer:
    """Adagrad: see `gpuopt.rules.Adagrad`."""
    rule = rules.Adagrad(
        lr_decay, weight_decay, initial_accumulator_value, eps, maximize, eps_inside_sqrt
    )
    return Optimizer(params, rule, lr=lr, average=average, backend=backend)


def Adadelta(
    params: Any,
    lr: float | Schedule = 1.0,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    maximize: bool = False,
    average: float | None = None,
    backend: str | None = None,
) -> Optimizer:
    """Adadelta: see `gpuopt.rules.Adadelta`."""
    rule = rules.Adadelta(rho, eps, weight_decay, maximize)
    return Optimizer(params, rule, lr=lr, average=average, backend=backend)


def Lion(
    params: Any,
    lr: float | Schedule = 1e-3,
    betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 1e-3,
    maximize: bool = False,
    average: float | None = None,
    backend: str | None = None,
) -> Optimizer:
    """The sign of an average of the gradients: see `gpuopt.rules.Lion`."""
    rule = rules.Lion(betas, weight_decay, maximize)
    return Optimizer(params, rule, lr=lr, average=average, backend=backend)


def Rprop(
    params: Any,
    lr: float | Schedule = 1e-2,
    etas: tuple[float, float] = (0.5, 1.2),
    step_sizes: tuple[float, float] = (1e-6, 50.0),
    maximize: bool = False,
    average: float | None = None,
    backend: str | None = None,
) -> Optimizer:
    """A step size for every element, by the signs of the gradient: see `gpuopt.rules.Rprop`."""
    rule = rules.Rprop(etas, step_sizes, maximize)
    return Optimizer(params, rule, lr=lr, average=average, backend=backend)


def ASGD(
    params: Any,
    lr: float | Schedule = 1e-2,
    lambd: float = 1e-4,
    alpha: float = 0.75,
    t0: float = 1e6,
    weight_decay: float = 0.0,
    maximize: bool = False,
    average: float | None = None,
    backend: str | None = None,
) -> Optimizer:
    """Gradient descent with an average of the parameters: see `gpuopt.rules.ASGD`."""
    rule = rules.ASGD(lambd, alpha, t0, weight_decay, maximize)
    return Optimizer(params, rule, lr=lr, average=average, backend=backend)
