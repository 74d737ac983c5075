"""Averaged parameters: reading them, and swapping them in for an evaluation."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpuopt.optimizer import Optimizer


def averaged_params(opt: "Optimizer") -> Any:
    """Copies of the averages, in the structure of `params`."""
    require_averages(opt)
    averaged = averaged_arrays(opt)
    values = [averaged.get(p.key, p.view) for p in opt._params]
    return opt._structure.unflatten([opt._backend.copy(value) for value in values])


@contextmanager
def averages(opt: "Optimizer") -> Iterator[None]:
    """The parameters hold their averages inside a `with` block, and their own values after it."""
    require_averages(opt)
    if opt._swapped:
        raise RuntimeError("the averages are swapped in already: `with opt.averages()` cannot nest")
    averaged = averaged_arrays(opt)
    views = [p.view for p in opt._params if p.key in averaged]
    kept = [opt._backend.copy(view) for view in views]
    opt._swapped = True
    try:
        for view, value in zip(views, averaged.values(), strict=True):
            opt._backend.assign(view, value)
        yield
    finally:
        for view, value in zip(views, kept, strict=True):
            opt._backend.assign(view, value)
        opt._swapped = False


def averaged_arrays(opt: "Optimizer") -> dict[str, Any]:
    """The averages by the parameters' keys; a parameter that took no step yet has none."""
    steps = opt.param_steps
    return {p.key: p.state["average"] for p in opt._params if steps[p.key]}


def require_averages(opt: "Optimizer") -> None:
    if opt.average is None:
        raise RuntimeError(
            "this optimizer keeps no averages; make it with average=0.999, or another decay"
        )
