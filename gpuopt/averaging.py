"""Averaged parameters: reading them, and swapping them in for an evaluation."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpuopt.optimizer import Optimizer


def averaged_params(opt: "Optimizer") -> Any:
    """Copies of the averages, in the structure of `params`."""
    require_averages(opt)
    opt._check_arrays()
    averaged = averaged_arrays(opt)
    values = [averaged.get(p.key, p.view) for p in opt._params]
    return opt._structure.unflatten([opt._backend.copy(value) for value in values])


@contextmanager
def averages(opt: "Optimizer") -> Iterator[None]:
    """The parameters hold their averages inside a `with` block, and their own values after it."""
    require_averages(opt)
    with opt._stepper.exclusive():
        if opt._swapped:
            raise RuntimeError(
                "the averages are swapped in already: `with opt.averages()` cannot nest"
            )
        opt._check_arrays()
        averaged = averaged_arrays(opt)
        views = [p.view for p in opt._params if p.key in averaged]
        own_values = [(view, opt._backend.copy(view)) for view in views]
    interrupt = None
    try:
        with opt._stepper.exclusive():
            opt._own_values = own_values  # kept there until all of them are back
            for view, value in zip(views, averaged.values(), strict=True):
                opt._backend.assign(view, value)
        yield
    finally:
        while opt._own_values is not None:  # not a call of `finish`, which could be interrupted
            try:
                put_back(opt)
            except BaseException as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt


def put_back(opt: "Optimizer") -> None:
    """Give the parameters the values that they had before the averages. May be repeated."""
    with opt._stepper.lock:
        for view, value in opt._own_values or ():
            opt._backend.assign(view, value)
        opt._own_values = None


def averaged_arrays(opt: "Optimizer") -> dict[str, Any]:
    """The averages by the parameters' keys; a parameter that took no step yet has none."""
    steps = opt.param_steps
    return {p.key: p.state["average"] for p in opt._params if steps[p.key]}


def require_averages(opt: "Optimizer") -> None:
    if opt.average is None:
        raise RuntimeError(
            "this optimizer keeps no averages; make it with average=0.999, or another decay"
        )
