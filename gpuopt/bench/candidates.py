"""Who takes part in a measurement: gpuopt's backends and the peers, over the same memory."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gpuopt import backends as available
from gpuopt.bench import peers as table
from gpuopt.bench.place import Place
from gpuopt.bench.problem import Problem
from gpuopt.optimizer import Optimizer

# Of the way that the gate's steps go, relative: how far another order of the same operations leads.
TOLERANCES = {"float32": 2e-6, "float64": 2e-15, "float16": 1e-3, "bfloat16": 1e-3}
# Adam corrects a bias: who computes 1 - beta in float32 is 1e-5 off (Thinc and optax, measured).
CORRECTED = {"Adam": {"float32": 3e-5}, "AdamW": {"float32": 3e-5}}


def tolerance(problem: Problem) -> float:
    """How far a candidate may be from gpuopt, as a share of the way it went."""
    return CORRECTED.get(problem.rule, {}).get(problem.dtype, TOLERANCES[problem.dtype])


@dataclass(frozen=True)
class Skipped:
    """Who does not take part, and why."""

    what: str
    why: str


@dataclass(frozen=True)
class Candidate:
    """One that steps.

    step: one step; on a GPU it returns when the work is queued. params: copies of its parameters on
    the host. tolerance: how far it may be from gpuopt, as a share of the way it went; None where no
    parity is to be asked, and `remark` says why. arrays: flat p, state and g of gpuopt's own step.

    place: the memory that it shares. take: for one with memory of its own, takes gradients over
    from there, and parameters if True. share: after the gate, puts its state there.
    """

    name: str
    step: Callable[[], object]
    params: Callable[[], list[np.ndarray]]
    tolerance: float | None = None
    remark: str = ""
    arrays: list[Any] | None = None
    place: Place = field(repr=False, kw_only=True)
    take: Callable[[bool], object] | None = field(default=None, repr=False, kw_only=True)
    share: Callable[[], object] | None = field(default=None, repr=False, kw_only=True)


def candidates(
    problem: Problem, backends: Sequence[str], peers: Sequence[str]
) -> tuple[list[Candidate], list[Skipped]]:
    """Those who can run the problem, gpuopt's backends first, and those who cannot, and why.

    backends: names in `gpuopt.backends.CLASSES`; those of another device are left out. peers: names
    in `gpuopt.bench.peers.PEERS`. Call `gate` with all of them before any is timed.
    """
    place = Place(problem)
    found: list[Candidate | Skipped] = list(own(place, backends))
    for name in peers:
        found += table.of(name, place)
    made = [x for x in found if isinstance(x, Candidate)]
    skipped = [x for x in found if isinstance(x, Skipped)]
    if place.copies:
        around = place.copies.around
        made = [replace(x, step=functools.partial(around, x.step)) for x in made]
    return made, skipped


def own(place: Place, backends: Sequence[str]) -> Iterator[Candidate | Skipped]:
    """gpuopt itself, once for each backend of the problem's device."""
    names = available.GPU if place.problem.on_gpu else available.CPU
    for backend in (x for x in backends if x in names):
        reason = available.unavailable(backend)
        if reason:
            yield Skipped(f"gpuopt {backend}", reason)
            continue
        lr = place.problem.settings["lr"]
        opt = Optimizer(list(place.params), place.rule, lr=lr, backend=backend)
        adopt(opt, place)
        yield candidate(
            f"gpuopt {backend}",
            place,
            lambda opt=opt, grads=tuple(place.grads): opt.step(grads),
            arrays=list(place.flat.values()),
        )


def adopt(opt: Optimizer, place: Place) -> None:
    """Have the optimizer keep its state in the place's arrays."""
    for k, param in enumerate(opt._params):
        buffers = {name: views[k] for name, views in place.state.items()}
        param.state = {
            name: opt._backend.view(array, f"{name} of {param.label}", written=True)
            for name, array in buffers.items()
        }


def candidate(name: str, place: Place, step: Callable[[], object], **more: Any) -> Candidate:
    """One that steps the place's own parameters, held to the dtype's tolerance unless told."""
    usual = {"tolerance": tolerance(place.problem), "params": place.host, "place": place}
    return Candidate(name=name, step=step, **(usual | more))
