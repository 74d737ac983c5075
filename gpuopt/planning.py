"""Making a plan: checking gradients, allocating state, one launch for each signature."""

import struct
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuopt.backends.base import Backend, Work, state_dtype
from gpuopt.backends.memory import Intervals, first_overlap, overlaps_itself
from gpuopt.counts import Counts
from gpuopt.options import Parts
from gpuopt.plan import Plan
from gpuopt.sweep import Row, Sweep

if TYPE_CHECKING:
    from gpuopt.parameters import Param


def make_plan(
    backend: Backend,
    params: Sequence["Param"],
    counts: Counts,
    grads: tuple[Any, ...],
    parts: Parts,
) -> Plan:
    """A plan for these gradients. Checks them, makes the state that is missing, builds launches.

    The state that it makes is handed to the parameters when the plan first runs.
    """
    views = [
        None if g is None else backend.view(g, called(p, parts), written=parts.zeroed)
        for p, g in zip(params, grads, strict=True)
    ]
    active = [k for k, view in enumerate(views) if view is not None]
    for k in active:
        check_gradient(backend, params[k], views[k])
    fresh = {k: new_state(backend, params[k], parts) for k in active if not params[k].state}
    states = [fresh.get(k, p.state) for k, p in enumerate(params)]
    written = check_gradient_memory(backend, params, states, [(k, views[k]) for k in active], parts)
    signatures: dict[Hashable, list[int]] = {}
    for k in active:
        memory = backend.memory(params[k].view)
        key = (backend.key(parts.around(params[k].group.rule)), memory.dtype, memory.device)
        signatures.setdefault(key, []).append(k)
    sweeps = []
    for members in signatures.values():
        rows: dict[Hashable, Row] = {}
        for k in members:
            rows.setdefault(row_key(params[k], counts, k), Row(params[k].group, k))
        order = {key: n for n, key in enumerate(rows)}
        work = Work(
            rule=parts.around(params[members[0]].group.rule),
            tensors=[[params[k].view, views[k], *states[k].values()] for k in members],
            rows=[order[row_key(params[k], counts, k)] for k in members],
            at=members,
            written=written,
            alone=len(active) == 1,
        )
        names = list(work.rule.scalars(1e-3, 1, **work.rule.carried))
        launch = backend.launch(work)
        for arrays in work.tensors:
            arrays[1] = None  # gradients are as large as the model: none is kept alive
        table = np.empty((len(rows), len(names)), launch.real)
        carried = {name: np.empty(len(rows)) for name in work.rule.carried}
        form = struct.Struct(f"={len(names)}{launch.real.char}")
        scalars = names, table, parts, carried, {}, form, table.data
        sweeps.append(Sweep(launch, list(rows.values()), *scalars))
    new = [(params[k], state) for k, state in fresh.items()]
    return Plan(backend, sweeps, active, len(params), new, parts)


def called(param: "Param", parts: Parts) -> str:
    """What errors call a gradient, and why it must be writeable if so."""
    return f"the gradient of {param.label}" + ", which zero_grads writes to," * parts.zeroed


def row_key(param: "Param", counts: Counts, k: int) -> Hashable:
    return id(param.group), counts.steps_of(k), *counts.carried_by(k).values()


def new_state(backend: Backend, param: "Param", parts: Parts) -> dict[str, Any]:
    dtype = state_dtype(backend.memory(param.view).dtype)
    rule = parts.around(param.group.rule)
    state = {name: backend.zeros_like(param.view, dtype) for name in rule.state}
    for name, value in rule.initial.items():
        if value:  # complex elements are two reals, each with this value
            backend.assign(state[name], complex(value, value) if dtype.kind == "c" else value)
    return state


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


def check_gradient_memory(
    backend: Backend,
    params: Sequence["Param"],
    states: list[dict[str, Any]],
    grads: list[tuple[int, Any]],
    parts: Parts,
) -> Intervals:
    """Raise if a gradient reaches into memory that a step writes; all that memory."""
    written = [(p.label, backend.memory(p.view)) for p in params]
    for param, state in zip(params, states, strict=True):
        written += [(f"{name} of {param.label}", backend.memory(a)) for name, a in state.items()]
    read = [(f"the gradient of {params[k].label}", backend.memory(view)) for k, view in grads]
    for label, memory in read if parts.zeroed else ():
        if overlaps_itself(memory):
            raise ValueError(
                f"{label} has elements that share memory (broadcast or expanded), so it cannot be "
                "zeroed in the pass that reads it; pass a copy of it"
            )
    pair = first_overlap(written + read) if parts.zeroed else first_overlap(written, read)
    if pair:
        raise ValueError(
            f"{pair[0]} and {pair[1]} share memory; a step would read what it has already changed. "
            "Pass a copy of the gradient"
        )
    return Intervals(memory for _, memory in written)
