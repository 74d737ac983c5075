"""The shared arrays as torch tensors over the same memory."""

from typing import Any

import numpy as np
import torch

from gpuopt.bench.place import Place


def tensor(array: Any) -> torch.Tensor:
    """A tensor over the memory of a NumPy or CuPy array; a tensor as a new one over its memory."""
    if isinstance(array, torch.Tensor):
        return array.detach()
    if not isinstance(array, np.ndarray):
        return torch.from_dlpack(array)
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def parameters(place: Place) -> list[torch.Tensor]:
    """The parameters, which ask for gradients and have them."""
    params = [tensor(p).requires_grad_() for p in place.params]
    for p, g in zip(params, place.grads, strict=True):
        p.grad = tensor(g)
    return params


def share(opt: torch.optim.Optimizer, place: Place, keys: dict[str, str]) -> None:
    """Have the optimizer go on with the place's state; `keys` has torch's names of the buffers.

    Where it keeps state in another dtype (torch's of 16-bit parameters) it keeps its own.
    """
    params = [p for group in opt.param_groups for p in group["params"]]
    for k, p in enumerate(params):
        for name, views in place.state.items():
            buffer = tensor(views[k])
            if opt.state[p][keys[name]].dtype == buffer.dtype:
                opt.state[p][keys[name]] = buffer
