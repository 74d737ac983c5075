"""A plan: what a step does, worked out once and used as long as the gradients lie as they did."""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gpuopt.backends.base import Backend, Launch, Work, state_dtype
from gpuopt.backends.memory import Intervals, first_overlap
from gpuopt.groups import Group

if TYPE_CHECKING:
    from gpuopt.optimizer import Param


class Row(NamedTuple):
    """Parameters that share a step's scalars: their group, and one of them for its step count."""

    group: Group
    param: int


class Sweep(NamedTuple):
    """One launch, and its table of scalars: a row of `rows` by a scalar of `names`."""

    launch: Launch
    rows: list[Row]
    names: list[str]
    table: np.ndarray

    def fill(self, step: int, steps: np.ndarray) -> None:
        """Work out the scalars of step number `step` of the optimizer."""
        for k, (group, param) in enumerate(self.rows):
            scalars = group.rule.scalars(group.lr_at(step), int(steps[param]) + 1)
            if list(scalars) != self.names:
                raise ValueError(
                    f"{type(group.rule).__name__}.scalars gave {list(scalars)} at this step, and "
                    f"{self.names} before; give the same names in the same order at every step"
                )
            self.table[k] = list(scalars.values())


class Plan:
    """The launches of a step."""

    def __init__(
        self, sweeps: list[Sweep], active: list[int], count: int, fresh: list[tuple["Param", dict]]
    ) -> None:
        self.sweeps = sweeps
        self.fresh = fresh  # state made for this plan, handed to its parameters at the first run
        everyone = len(active) == count
        self.active = slice(None) if everyone else np.array(active, np.intp)
        self.idle = sorted(set(range(count)) - set(active))

    def follow(self, grads: tuple[Any, ...]) -> bool:
        """Take this step's gradients; False if they need a new plan."""
        for k in self.idle:
            if grads[k] is not None:
                return False
        return all(sweep.launch.follow(grads) for sweep in self.sweeps)

    def run(self, step: int, steps: np.ndarray) -> None:
        """Run step number `step` of the optimizer, and count it in `steps`, parameter by parameter.

        Scalars are all worked out before the first launch: a schedule that raises changes nothing.
        """
        for sweep in self.sweeps:
            sweep.fill(step, steps)
        for sweep in self.sweeps:
            sweep.launch.run(sweep.table)
            sweep.launch.held = []
        while self.fresh:
            param, param.state = self.fresh.pop()
        steps[self.active] += 1


def make_plan(
    backend: Backend, params: Sequence["Param"], steps: np.ndarray, grads: tuple[Any, ...]
) -> Plan:
    """A plan for these gradients. Checks them, makes the state that is missing, builds launches.

    The state that it makes is handed to the parameters when the plan first runs.
    """
    views = [
        None if g is None else backend.view(g, f"the gradient of {p.label}")
        for p, g in zip(params, grads, strict=True)
    ]
    active = [k for k, view in enumerate(views) if view is not None]
    for k in active:
        check_gradient(backend, params[k], views[k])
    fresh = {k: new_state(backend, params[k]) for k in active if not params[k].state}
    states = [fresh.get(k, p.state) for k, p in enumerate(params)]
    written = check_overlap(backend, params, states, [(k, views[k]) for k in active])
    signatures: dict[Hashable, list[int]] = {}
    for k in active:
        memory = backend.memory(params[k].view)
        key = (backend.key(params[k].group.rule), memory.dtype, memory.device)
        signatures.setdefault(key, []).append(k)
    sweeps = []
    for members in signatures.values():
        rows: dict[Hashable, Row] = {}
        for k in members:
            rows.setdefault(row_key(params[k], steps[k]), Row(params[k].group, k))
        order = {key: n for n, key in enumerate(rows)}
        work = Work(
            rule=params[members[0]].group.rule,
            tensors=[[params[k].view, views[k], *states[k].values()] for k in members],
            rows=[order[row_key(params[k], steps[k])] for k in members],
            at=members,
            written=written,
        )
        names = list(work.rule.scalars(lr=1e-3, t=1))
        launch = backend.launch(work)
        for arrays in work.tensors:
            arrays[1] = None  # gradients are as large as the model: none is kept alive
        table = np.empty((len(rows), len(names)), launch.real)
        sweeps.append(Sweep(launch, list(rows.values()), names, table))
    return Plan(sweeps, active, len(params), [(params[k], state) for k, state in fresh.items()])


def row_key(param: "Param", step: Any) -> Hashable:
    return id(param.group), int(step)


def new_state(backend: Backend, param: "Param") -> dict[str, Any]:
    dtype = state_dtype(backend.memory(param.view).dtype)
    return {name: backend.zeros_like(param.view, dtype) for name in param.group.rule.state}


def check_gradient(backend: Backend, param: "Param", view: Any) -> None:
    p, g = backend.memory(param.view), backend.memory(view)
    for what, given, expected in (
        ("shape", g.shape, p.shape),
        ("dtype", g.dtype, p.dtype),
        ("device", g.device, p.device),
    ):
        if given != expected:
            raise ValueError(
                f"the gradient of {param.label} has {what} {given}, but the parameter has "
                f"{expected}; gradients must match their parameters exactly"
            )


def check_overlap(
    backend: Backend,
    params: Sequence["Param"],
    states: list[dict[str, Any]],
    grads: list[tuple[int, Any]],
) -> Intervals:
    """Raise if a gradient reaches into memory that a step writes; all that memory."""
    written = [(p.label, backend.memory(p.view)) for p in params]
    for param, state in zip(params, states, strict=True):
        written += [(f"{name} of {param.label}", backend.memory(a)) for name, a in state.items()]
    read = [(f"the gradient of {params[k].label}", backend.memory(view)) for k, view in grads]
    pair = first_overlap(written, read)
    if pair:
        raise ValueError(
            f"{pair[0]} and {pair[1]} share memory; a step would read what it has already changed. "
            "Pass a copy of the gradient"
        )
    return Intervals(memory for _, memory in written)
