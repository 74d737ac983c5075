"""torch.optim's optimizers, with the step taken in one fused pass over memory: change one import.

    import gpuopt.torch as optim                 # instead of: from torch import optim
    optimizer = optim.AdamW(model.parameters(), lr=3e-4)

Each is a subclass of torch.optim's of the same name (Momentum and Lion: of torch.optim.Optimizer),
with its arguments, param_groups, hooks, state and checkpoints; learning-rate schedulers, GradScaler
and distributed wrappers take it for that. The step reads and writes the tensors' own memory, on
the CPU with as many threads as torch.get_num_threads() says, on a GPU on torch's current stream.

- `foreach`, `fused` and `capturable` choose an implementation of torch's, and nothing here.
  `differentiable=True` is refused.
- Under GradScaler the scale and whether to skip stay on the GPU, if all parameters are on one.
  `p.grad` is without the scale afterwards, as with torch.optim.
- lr is a number, or a tensor of one element, which the host reads at every step.
- `max_norm`, at construction, clips gradients by their global norm in the same pass; `p.grad` stays
  as it is, and `optimizer.grad_norm` tells the norm. Under ZeroRedundancyOptimizer a process knows
  only its own parameters, so leave it out there and call clip_grad_norm_ before the step.
- float16 and bfloat16 parameters are computed in float32, with float32 state (torch.optim's is of
  the parameter's dtype), also when a checkpoint is loaded.
- a DTensor (`fully_shard`) is stepped where it lies: each process its own shard.
- a sparse gradient raises RuntimeError; meta and fake tensors raise TypeError.
"""

try:
    import torch  # noqa: F401
except ImportError as error:
    raise ImportError(f"gpuopt.torch needs PyTorch: pip install gpuopt[torch] ({error})") from error

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
