"""What a PyTorch step changes, put back: tensors in place, and what modules, optimizers, learning
rate schedulers and gradient scalers hold."""

import copy
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

Undo = Callable[[], Any]


def torch_kinds() -> tuple[type, ...]:
    """The classes whose objects a step changes; none where nobody has imported torch."""
    torch = sys.modules.get("torch")
    if torch is None:
        return ()
    schedulers = torch.optim.lr_scheduler
    return (
        torch.nn.Module,
        torch.optim.Optimizer,
        schedulers.LRScheduler,
        schedulers.ReduceLROnPlateau,
        torch.amp.GradScaler if hasattr(torch.amp, "GradScaler") else torch.cuda.amp.GradScaler,
    )


def is_module(x: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.nn.Module)


def is_optimizer(x: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.optim.Optimizer)


def is_tensor(x: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def code_of_torch(x: Any) -> bool:
    """Whether `x` is a function or class of PyTorch: nothing of the user's lies behind it."""
    return (
        isinstance(x, (types.FunctionType, type)) and str(x.__module__).partition(".")[0] == "torch"
    )


def held_by_module(module: Any) -> list[Any]:
    """What a module refers to, but not its many empty containers of hooks."""
    values = vars(module).values()
    return [type(module), *(v for v in values if not (isinstance(v, dict) and not v))]


def remember(things: Iterable[Any]) -> list[Undo]:
    """What puts tensors, and the attributes of objects of `torch_kinds`, back bit for bit: called
    in order, as often as one likes. Tensors, dicts and lists stay the same objects; the copies lie
    in main memory. RuntimeError for an optimizer whose step is in a captured graph."""
    kinds, undo, seen = torch_kinds(), list[Undo](), set[int]()
    waiting = deque(things)
    while waiting:
        x = waiting.popleft()
        if id(x) in seen:
            continue
        seen.add(id(x))
        if is_tensor(x):
            undo += tensor_state(x)
            waiting.append(x.grad if x.is_leaf else None)
        elif isinstance(x, dict):
            undo.append(partial(refill, x, dict(x)))
            waiting += x.values()
        elif isinstance(x, list):
            undo.append(partial(x.__setitem__, slice(None), list(x)))
            waiting += x
        elif isinstance(x, (deque, set)):
            undo.append(partial(refill, x, copy.copy(x)))
        elif isinstance(x, tuple):
            waiting += x
        elif isinstance(x, kinds):
            if hasattr(x, "release"):  # an optimizer of gpuopt.torch, whose plans count steps
                x.release()
                undo.append(x.release)
            waiting.append(vars(x))
    return undo


def refill(container: Any, content: Any) -> None:
    container.clear()
    container.extend(content) if isinstance(container, deque) else container.update(content)


def tensor_state(x: Any) -> list[Undo]:
    """What puts a tensor's numbers and its gradient back."""
    undo: list[Undo] = []
    if x.is_leaf:
        undo.append(partial(setattr, x, "grad", x.grad))
    if x.device.type != "meta":
        saved = x.detach().to("cpu", copy=True)
        undo.append(lambda: x.detach().copy_(saved))
    return undo
