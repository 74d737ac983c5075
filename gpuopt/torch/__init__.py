"""torch.optim's optimizers, with the step taken in one fused pass over memory: change one import.

    import gpuopt.torch as optim                 # instead of: from torch import optim
    optimizer = optim.AdamW(model.parameters(), lr=3e-4)

Each is a subclass of torch.optim's of the same name (Momentum and Lion: of torch.optim.Optimizer),
with its arguments, param_groups, hooks, state and checkpoints; learning-rate schedulers, GradScaler
and distributed wrappers take it for that. The step reads and writes the tensors' own memory, on
the CPU with as many threads as torch.get_num_threads() says, on a GPU on torch's current stream.

Whatever else torch.optim has (lr_scheduler, swa_utils, Optimizer, LBFGS, Muon, Adafactor,
SparseAdam and all that it will have) is found here under its name, and is torch.optim's own.

- `foreach` and `capturable` choose an implementation of torch's, and nothing here; nor does
  `fused`, but for GradScaler. `differentiable=True` is refused.
- Under GradScaler, as with torch.optim: it unscales the gradients and leaves out steps that find
  an infinity, which costs a wait for the GPU. With `fused=True` that is left to the step: scale
  and whether to skip stay on the GPU, if all parameters are on one, and hooks are called for
  skipped steps, too.
- lr is a number, or a tensor of one element, which the host reads at every step.
- `max_norm`, at construction, clips gradients by their global norm in the same pass; `p.grad` stays
  as it is, and `optimizer.grad_norm` tells the norm. Under ZeroRedundancyOptimizer a process knows
  only its own parameters, so leave it out there and call clip_grad_norm_ before the step.
- float16 and bfloat16 parameters are computed in float32, with float32 state (torch.optim's is of
  the parameter's dtype), also when a checkpoint is loaded.
- a DTensor (`fully_shard`) is stepped where it lies: each process its own shard.
- the tensors in `state` stay the same ones for as long as they fit: step counts in shared memory
  (`share_memory_()`) go on being shared.
- a step that a KeyboardInterrupt (or an error that a signal handler raises) comes upon is either
  not taken at all, or finished and counted before that is raised. While one thread steps an
  optimizer, RuntimeError tells others that try to; different optimizers do not wait for each other.

What torch.optim takes and a step refuses, with an error that names the parameter and before
anything is changed:

- a sparse gradient, RuntimeError: a sweep reads every element. torch.optim.SGD, Adagrad and
  SparseAdam are there for it.
- a gradient of a parameter that cannot be swept, TypeError: meta and fake tensors, sparse and
  quantised ones, integers, float8. Without a gradient (frozen) they may be there.
- a gradient of another dtype than its parameter's (`p.grad_dtype`), ValueError: torch.optim's Adam
  raises as well, and its SGD rounds; say how by `p.grad = p.grad.to(p.dtype)`.
- the same parameter twice in a group, ValueError: torch.optim warns, and steps it twice with one
  gradient; a sweep visits all elements at once, in no order.
- a gradient that shares memory with a parameter, ValueError: it would be changed while it is read.
- betas, momentum and the like that leave their range after construction (a scheduler's beta1 of 1),
  ValueError: torch.optim divides by zero then, or goes on with a formula that diverges.
- a tensor whose storage was freed (`untyped_storage().resize_(0)`), ValueError.
"""

import sys
from typing import Any

try:
    import torch
except ImportError as error:
    raise ImportError(f"gpuopt.torch needs PyTorch: pip install gpuopt[torch] ({error})") from error

from torch.optim import lr_scheduler, swa_utils

from gpuopt.torch.optimizers import (
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

__all__ = [
    "ASGD",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Momentum",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Rprop",
]

# so that `from gpuopt.torch.lr_scheduler import StepLR` finds the module, too
sys.modules |= {f"{__name__}.{x.__name__.rpartition('.')[2]}": x for x in (lr_scheduler, swa_utils)}


def __getattr__(name: str) -> Any:
    """What torch.optim has besides."""
    try:
        return getattr(torch.optim, name)
    except AttributeError:
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}, nor has torch.optim"
        ) from None


def __dir__() -> list[str]:
    return sorted({*globals(), *torch.optim.__all__})
