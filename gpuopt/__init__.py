"""gpuopt: the optimizer step as one fused pass over memory and one launch, on GPU and CPU."""

from gpuopt import rules
from gpuopt.backends.base import BackendError
from gpuopt.loss_scaler import LossScaler
from gpuopt.lowering.program import LoweringError
from gpuopt.minibatch import minibatches
from gpuopt.optimizer import Optimizer
from gpuopt.optimizers import SGD, Adam, AdamW, Momentum, RMSprop
from gpuopt.prefetch import prefetch
from gpuopt.rules import Rule

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "BackendError",
    "LossScaler",
    "LoweringError",
    "Momentum",
    "Optimizer",
    "RMSprop",
    "Rule",
    "minibatches",
    "prefetch",
    "rules",
]
