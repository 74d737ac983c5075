"""The optimizers: each a torch.optim class with gpuopt's rule and the keys of its state.

Arguments, defaults and checks are torch's own, with `max_norm` besides; the equations are in each
rule's docstring.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import optim

from gpuopt import rules
from gpuopt.rules.base import Rule
from gpuopt.torch.fused import Fused
from gpuopt.torch.state import Keys

ADAM = Keys({"m": "exp_avg", "v": "exp_avg_sq", "v_max": "max_exp_avg_sq"})


class SGD(Fused, optim.SGD):
    """torch.optim.SGD in one pass: see `gpuopt.rules.SGD`."""

    rule = rules.SGD
    keys = Keys({"b": "momentum_buffer"}, counted=False)


class RMSprop(Fused, optim.RMSprop):
    """torch.optim.RMSprop in one pass: see `gpuopt.rules.RMSprop`."""

    rule = rules.RMSprop
    keys = Keys({"v": "square_avg", "m": "grad_avg", "b": "momentum_buffer"})


class Adam(Fused, optim.Adam):
    """torch.optim.Adam in one pass: see `gpuopt.rules.Adam`."""

    rule = rules.Adam
    keys = ADAM

    def rule_of(self, group: dict[str, Any]) -> type[Rule]:
        return rules.AdamW if group.get("decoupled_weight_decay") else rules.Adam


class AdamW(Fused, optim.AdamW):
    """torch.optim.AdamW in one pass: see `gpuopt.rules.AdamW`."""

    rule = rules.AdamW
    keys = ADAM


class NAdam(Fused, optim.NAdam):
    """torch.optim.NAdam in one pass: see `gpuopt.rules.NAdam`."""

    rule = rules.NAdam
    keys = Keys(ADAM.buffers, {"mu_product": "mu_product"})


class RAdam(Fused, optim.RAdam):
    """torch.optim.RAdam in one pass: see `gpuopt.rules.RAdam`."""

    rule = rules.RAdam
    keys = ADAM


class Adamax(Fused, optim.Adamax):
    """torch.optim.Adamax in one pass: see `gpuopt.rules.Adamax`."""

    rule = rules.Adamax
    keys = Keys({"m": "exp_avg", "v": "exp_inf"})


class Adagrad(Fused, optim.Adagrad):
    """torch.optim.Adagrad in one pass: see `gpuopt.rules.Adagrad`."""

    rule = rules.Adagrad
    keys = Keys({"v": "sum"})


class Adadelta(Fused, optim.Adadelta):
    """torch.optim.Adadelta in one pass: see `gpuopt.rules.Adadelta`."""

    rule = rules.Adadelta
    keys = Keys({"v": "square_avg", "d": "acc_delta"})


class Rprop(Fused, optim.Rprop):
    """torch.optim.Rprop in one pass: see `gpuopt.rules.Rprop`."""

    rule = rules.Rprop
    keys = Keys({"prev": "prev", "step_size": "step_size"})


class ASGD(Fused, optim.ASGD):
    """torch.optim.ASGD in one pass: see `gpuopt.rules.ASGD`."""

    rule = rules.ASGD
    keys = Keys({"ax": "ax"}, {"eta": "eta", "mu": "mu"})


class Momentum(Fused, optim.Optimizer):
    """Gradient descent with an average of the gradients: see `gpuopt.rules.Momentum`."""

    rule = rules.Momentum
    keys = Keys({"v": "momentum_buffer"})

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | torch.Tensor,
        beta: float = 0.9,
        ewma: bool = True,
        nesterov: bool = False,
        bias_correction: bool = False,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        max_norm: float | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "beta": beta,
            "ewma": ewma,
            "nesterov": nesterov,
            "bias_correction": bias_correction,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, {**defaults, "differentiable": False}, max_norm=max_norm)


class Lion(Fused, optim.Optimizer):
    """Lion, which steps by the sign of an average: see `gpuopt.rules.Lion`."""

    rule = rules.Lion
    keys = Keys({"m": "exp_avg"})

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | torch.Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 1e-3,
        *,
        maximize: bool = False,
        max_norm: float | None = None,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, {**defaults, "differentiable": False}, max_norm=max_norm)
