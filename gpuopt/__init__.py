"""gpuopt: the optimizer step as one fused pass over memory and one launch, on GPU and CPU."""

import importlib
from typing import TYPE_CHECKING, Any

from gpuopt import initializers, rules, schedules
from gpuopt.averages import Average, effective_window, ewma
from gpuopt.backends.base import BackendError
from gpuopt.gradcheck import check_gradients
from gpuopt.loss_scaler import LossScaler
from gpuopt.lowering.program import LoweringError
from gpuopt.minibatch import minibatches
from gpuopt.normalization import normalizer
from gpuopt.optimizer import Optimizer
from gpuopt.optimizers import (
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
)
from gpuopt.prefetch import prefetch
from gpuopt.rules import Rule

if TYPE_CHECKING:
    from gpuopt import memory

__version__ = "0.1.0"

__all__ = [
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


def __getattr__(name: str) -> Any:
    """`gpuopt.memory` is imported when it is first used, to keep the import of gpuopt light."""
    if name == "memory":
        return importlib.import_module("gpuopt.memory")
    raise AttributeError(f"module 'gpuopt' has no attribute {name!r}")
