"""What a step refers to tells whose memory it takes, and what of it is taken already."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from gpuopt.arrays import is_array
from gpuopt.chunks import library
from gpuopt.epochs import Table
from gpuopt.memory.events import STATE, address_of
from gpuopt.memory.places import Cpu, Cuda, Place
from gpuopt.memory.preserve_torch import is_module, is_optimizer, is_tensor
from gpuopt.memory.text import PARAMETERS
from gpuopt.optimizer import Optimizer

SEEN = ("numpy", "cupy", "torch")  # libraries whose allocations can be seen


def place_of(data: Table, found: Sequence[Any]) -> Place:
    """Where the step's memory is: on a GPU if its data, or arrays or parameters that it refers to,
    are. TypeError for those of libraries whose allocations cannot be seen."""
    arrays = [column.chunks[0] for column in data.columns]
    for array in arrays:
        if library(array) not in SEEN and hasattr(array, "__dlpack_device__"):
            raise TypeError(
                f"the arrays are {library(array)}'s, whose allocations cannot be seen; the check "
                "is for steps on NumPy or CuPy arrays or PyTorch tensors"
            )
    tensors = [x for x in arrays if is_tensor(x)] + [*parameters(found)]
    if tensors or any(is_module(x) or is_optimizer(x) for x in found):
        return place_of_tensors(tensors)
    backends = {x.backend for x in found if isinstance(x, Optimizer)}
    if "numba-cuda" in backends:
        raise TypeError(
            "the optimizer's parameters lie in GPU memory that is not CuPy's, whose allocations "
            "cannot be seen; the check is for steps on NumPy or CuPy arrays or PyTorch tensors"
        )
    libraries = {library(x) for x in [*arrays, *found] if is_array(x)}
    return Cuda() if "cupy" in libraries or "cupy" in backends else Cpu()


def place_of_tensors(tensors: Iterable[Any]) -> Place:
    """The place of a PyTorch step: the one GPU that its data or parameters lie on, or the CPU."""
    from gpuopt.memory.places_torch import TorchCpu, TorchCuda

    devices = {x.device for x in tensors if x.device.type != "cpu"}
    if not devices:
        return TorchCpu()
    names = ", ".join(sorted(map(str, devices)))
    if {device.type for device in devices} != {"cuda"}:
        raise TypeError(
            f"tensors lie on {names}; the check can see the memory of the CPU and of CUDA devices"
        )
    if len(devices) > 1:
        raise ValueError(f"tensors lie on {names}; the check is for steps on one GPU")
    return TorchCuda(devices.pop().index)


def parameters(found: Iterable[Any]) -> Iterable[Any]:
    """The tensors that PyTorch's modules and optimizers train, and those that want gradients."""
    for x in found:
        if is_module(x):
            yield from x.parameters()
        elif is_optimizer(x):
            yield from (p for group in x.param_groups for p in group["params"])
        elif is_tensor(x) and x.requires_grad:
            yield x


def allocated(found: Sequence[Any]) -> dict[str, int]:
    """Bytes that parameters and the optimizers' state take already."""
    params, state = [*parameters(found)], []
    for x in found:
        if isinstance(x, Optimizer):
            params += [p.view for p in x._params]
            state += [a for p in x._params for a in p.state.values()]
        elif is_optimizer(x):
            state += [a for each in x.state.values() for a in each.values() if is_tensor(a)]
    return {PARAMETERS: total(params), STATE: total(state)}


def total(arrays: Iterable[Any]) -> int:
    """Bytes of arrays, those that are one counted once."""
    each = {address_of(a): math.prod(a.shape) * a.dtype.itemsize for a in arrays}
    return sum(each.values())
