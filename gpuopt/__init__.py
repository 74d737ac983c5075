"""gpuopt: the optimizer step as one fused pass over memory and one launch, on GPU and CPU."""

import importlib
from typing import TYPE_CHECKING, Any

from gpuopt import rules
from gpuopt.backends.base import BackendError
from gpuopt.loss_scaler import LossScaler
from gpuopt.lowering.program import LoweringError
from gpuopt.optimizer import Optimizer
from gpuopt.optimizers import (
    ASGD,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    Momentum,
    NAdam,
    RAdam,
    RMSprop,
    Rprop,
)
from gpuopt.prefetch import prefetch
from gpuopt.rules import Rule

if TYPE_CHECKING:
    from gpuopt import initializers, memory, schedules
    from gpuopt.averages import Average, effective_window, ewma
    from gpuopt.gradcheck import check_gradients
    from gpuopt.minibatch import minibatches
    from gpuopt.normalization import normalizer

__version__ = "0.1.0"

__all__ = [
    "ASGD",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Average",
    "BackendError",
    "Lion",
    "LossScaler",
    "LoweringError",
    "Momentum",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "Rule",
    "check_gradients",
    "effective_window",
    "ewma",
    "initializers",
    "memory",
    "minibatches",
    "normalizer",
    "prefetch",
    "rules",
    "schedules",
]

# What surrounds an optimizer is imported when it is first used: the module of each name, or "" for
# a module itself. (prefetch is a module's name as well, so it cannot be among them.)
LATER = {
    "Average": "averages",
    "check_gradients": "gradcheck",
    "effective_window": "averages",
    "ewma": "averages",
    "initializers": "",
    "memory": "",
    "minibatches": "minibatch",
    "normalizer": "normalization",
    "schedules": "",
}


def __getattr__(name: str) -> Any:
    if name not in LATER:
        raise AttributeError(f"module 'gpuopt' has no attribute {name!r}")
    module = importlib.import_module(f"gpuopt.{LATER[name] or name}")
    globals()[name] = getattr(module, name) if LATER[name] else module
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *LATER})
