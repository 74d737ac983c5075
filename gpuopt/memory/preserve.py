"""What a step changes, found and put back."""

import copy
import gc
import random
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np

from gpuopt.arrays import is_array
from gpuopt.loss_scaler import LossScaler
from gpuopt.memory.preserve_torch import (
    code_of_torch,
    held_by_module,
    is_module,
    is_tensor,
    remember,
    torch_kinds,
)
from gpuopt.optimizer import Optimizer

MANY = 10_000  # objects that are looked through
NUMPY_RANDOM = (np.random.Generator, np.random.BitGenerator, np.random.RandomState)
CUPY_RANDOM = ("RandomState", "BitGenerator")  # classes of cupy.random, or their bases
PLAIN = (str, bytes, int, float, complex, type(None), types.ModuleType)


def reachable(*roots: Any) -> list[Any]:
    """The optimizers, loss scalers, random generators and arrays that functions and objects hold,
    and PyTorch's modules, optimizers, schedulers and gradient scalers: in closures, globals that
    their code names, attributes, containers."""
    found, kinds = list[Any](), torch_kinds()
    waiting, seen = deque(roots), set()
    while waiting and len(seen) < MANY:
        x = waiting.popleft()
        if isinstance(x, PLAIN) or id(x) in seen:
            continue
        seen.add(id(x))
        if isinstance(x, type):
            waiting += [f for f in vars(x).values() if isinstance(f, types.FunctionType)]
        # the type is asked: an object may do anything when it is asked for an attribute
        elif isinstance(x, (Optimizer, LossScaler)) or is_random(x) or is_array(type(x)):
            found.append(x)
        else:
            found += [x] if isinstance(x, kinds) else []
            waiting += [y for y in held_by(x) if not code_of_torch(y)]
    return found


def held_by(x: Any) -> Iterable[Any]:
    """The objects that another refers to; of a function's globals, those that its code names."""
    if isinstance(x, types.FunctionType):
        closed = [cell.cell_contents for cell in x.__closure__ or () if not empty(cell)]
        defaults = [*(x.__defaults__ or ()), *(x.__kwdefaults__ or {}).values()]
        return [*closed, *named(x), *defaults, *vars(x).values()]
    return held_by_module(x) if is_module(x) else gc.get_referents(x)


def named(function: types.FunctionType) -> Iterator[Any]:
    """The globals in a function's code and in that of functions inside it, and what it names of
    those that are modules."""
    codes, names = [function.__code__], set[str]()
    for code in codes:
        names.update(code.co_names)
        codes += [c for c in code.co_consts if isinstance(c, types.CodeType)]
    for name in sorted(names & function.__globals__.keys()):
        value = function.__globals__[name]
        yield value
        if isinstance(value, types.ModuleType):
            yield from (vars(value)[inner] for inner in sorted(names & vars(value).keys()))


def empty(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return True
    return False


def is_random(x: Any) -> bool:
    if type(x) is random.Random or isinstance(x, NUMPY_RANDOM) or is_torch_random(x):
        return True
    return any(
        c.__module__.startswith("cupy.random") and c.__name__ in CUPY_RANDOM
        for c in type(x).__mro__
    )


def is_torch_random(x: Any) -> bool:
    return type(x).__module__.startswith("torch") and type(x).__name__ == "Generator"


def snapshot(found: Iterable[Any], arrays: Iterable[Any] = ()) -> Callable[[], None]:
    """Copies of the optimizers, loss scalers and PyTorch's objects in `found`, of its tensors that
    want gradients, and of arrays; the result puts them back, as often as it is called. RuntimeError
    for an optimizer that cannot be put back."""
    found, arrays = list(found), list(arrays)
    undo: list[Callable[[], Any]] = []
    for x in found:
        if isinstance(x, Optimizer):
            undo.append(optimizer_state(x))
        elif isinstance(x, LossScaler):
            undo.append(partial(x.load_state_dict, x.state_dict()))
    own = [x for x in found if isinstance(x, torch_kinds()) or (is_tensor(x) and x.requires_grad)]
    undo += remember([*own, *filter(is_tensor, arrays)])
    others = [array for array in arrays if not is_tensor(array)]
    undo += [partial(array.__setitem__, ..., copy.deepcopy(array)) for array in others]

    def restore() -> None:
        for each in undo:
            each()

    return restore


@contextmanager
def same_random_numbers(found: Iterable[Any]) -> Iterator[None]:
    """The random generators in `found`, and Python's and NumPy's global numbers, are afterwards as
    before."""
    with ExitStack() as stack:
        stack.callback(random.setstate, random.getstate())
        for x in [np.random.mtrand._rand, *filter(is_random, found)]:  # pyright: ignore
            stack.callback(put_back(x))
        yield


def put_back(x: Any) -> Callable[[], None]:
    """What lets a random generator go on from here again; to be called once."""
    if isinstance(x, np.random.Generator):
        x = x.bit_generator
    if isinstance(x, np.random.BitGenerator):
        return partial(setattr, x, "state", copy.deepcopy(x.state))
    if isinstance(x, np.random.RandomState):
        return partial(x.set_state, x.get_state(legacy=False))
    if isinstance(x, random.Random):
        return partial(x.setstate, x.getstate())
    if is_torch_random(x):
        return partial(x.set_state, x.get_state())
    other = type(x)(0)  # CuPy's state cannot be read: meanwhile another one's takes its place
    exchange(x, other)
    return partial(exchange, x, other)


def exchange(a: Any, b: Any) -> None:
    """Let two objects of a class change places."""
    mine, theirs = dict(vars(a)), dict(vars(b))
    for x, attributes in ((a, theirs), (b, mine)):
        vars(x).clear()
        vars(x).update(attributes)


def optimizer_state(opt: Optimizer) -> Callable[[], None]:
    """Parameters, state, counts and hyper-parameters, copied to the host's memory."""
    opt._stepper.drop_plan()  # raises where a captured graph needs it
    host = opt._backend.to_host
    values = [np.array(host(p.view), copy=True) for p in opt._params]
    norm = opt._stepper.counts.norm
    norm = norm() if callable(norm) else norm
    rates = [(group, group.rule, group._lr) for group in (opt._common, *opt.param_groups)]
    saved = opt.state_dict()
    for buffers in saved["state"].values():
        buffers.update({k: np.array(host(a), copy=True) for k, a in buffers.items() if k != "step"})

    def restore() -> None:
        for group, rule, lr in rates:
            group.rule, group._lr = rule, lr
        opt.load_state_dict(saved)
        for param, value in zip(opt._params, values, strict=True):
            opt._backend.assign(param.view, value)
        opt._stepper.counts.norm = norm

    return restore
