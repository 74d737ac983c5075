"""Making a plan: checking gradients, allocating state, one launch for each signature."""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuopt.backends.base import Backend, Work, state_dtype
from gpuopt.backends.memory import Memory
from gpuopt.backends.overlaps import Intervals, first_overlap, overlaps_itself
from gpuopt.counts import Counts
from gpuopt.groups import Group
from gpuopt.options import Parts
from gpuopt.plan import Plan
from gpuopt.rules.base import Rule
from gpuopt.sweep import Sweep, shared_rows

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

    The state that it makes is handed to the parameters when the plan first runs. Where the backend
    can leave tensors out, parameters that had a gradient before are part of the plan as well.
    """
    views = [
        None if g is None else backend.view(g, called(p, parts), written=parts.zeroed)
        for p, g in zip(params, grads, strict=True)
    ]
    given = [k for k, view in enumerate(views) if view is not None]
    for k in given:
        params[k].grad = check_gradient(params[k], backend.memory(views[k]))
    members = [k for k, p in enumerate(params) if p.grad is not None] if backend.masks else given
    formulas = Formulas(backend, parts)
    fresh = {k: formulas.new_state(params[k]) for k in members if not params[k].state}
    states = [fresh.get(k, p.state) for k, p in enumerate(params)]
    lie = [{name: backend.memory(a) for name, a in state.items()} for state in states]
    check_state(params, lie)
    written = check_gradient_memory(params, lie, given, parts)
    signatures: dict[Hashable, list[int]] = {}
    for k in members:
        memory = params[k].memory
        key = (formulas.key(params[k].group), memory.dtype, memory.device)
        signatures.setdefault(key, []).append(k)
    sweeps = []
    for at in signatures.values():
        groups = [params[k].group for k in at]
        rows, row_of = shared_rows(groups, np.array(at, np.intp), counts)
        work = Work(
            rule=formulas.rule(groups[0]),
            key=formulas.key(groups[0]),
            tensors=[[params[k].view, views[k], *states[k].values()] for k in at],
            memories=[[params[k].memory, grad_of(params[k]), *lie[k].values()] for k in at],
            rows=row_of.tolist(),
            at=at,
            written=written,
            alone=len(given) == 1,
        )
        names = list(work.rule.scalars(1e-3, 1, **work.rule.carried))
        launch = backend.launch(work)
        for arrays in work.tensors:
            arrays[1] = None  # gradients are as large as the model: none is kept alive
        sweeps.append(Sweep(launch, groups, rows, row_of, names, parts))
    new = [(params[k], state) for k, state in fresh.items()]
    return Plan(backend, sweeps, len(params), new, parts)


class Formulas:
    """The rules of groups with a step's parts around them, each traced once for a plan."""

    def __init__(self, backend: Backend, parts: Parts) -> None:
        self.backend, self.parts = backend, parts
        self.found: dict[int, tuple[Rule, tuple[Any, ...]]] = {}

    def of(self, group: Group) -> tuple[Rule, tuple[Any, ...]]:
        number = id(group.rule)  # groups that name no fields of their own have the same rule
        if number not in self.found:
            rule = self.parts.around(group.rule)
            self.found[number] = rule, self.backend.key(rule)
        return self.found[number]

    def rule(self, group: Group) -> Rule:
        return self.of(group)[0]

    def key(self, group: Group) -> tuple[Any, ...]:
        return self.of(group)[1]

    def new_state(self, param: "Param") -> dict[str, Any]:
        backend, rule = self.backend, self.rule(param.group)
        dtype = state_dtype(param.memory.dtype)
        state = {name: backend.zeros_like(param.view, dtype) for name in rule.state}
        for name, value in rule.initial.items():
            if value:  # complex elements are two reals, each with this value
                backend.assign(state[name], complex(value, value) if dtype.kind == "c" else value)
        return state


def called(param: "Param", parts: Parts) -> str:
    """What errors call a gradient, and why it must be writeable if so."""
    name = f"the gradient of {param.label}"
    return f"{name}, which zero_grads writes to," if parts.zeroed else name


def grad_of(param: "Param") -> Memory:
    assert param.grad is not None
    return param.grad


def check_gradient(param: "Param", g: Memory) -> Memory:
    """`g`, where a gradient lies; ValueError if it is not one of this parameter's."""
    p = param.memory
    if g.shape != p.shape:
        raise wrong(param, "shape", g.shape, p.shape, mend_of_shape(g.shape, p.shape))
    if g.dtype != p.dtype:
        mend = f"convert it: grad.astype(numpy.{p.dtype})"
        if g.dtype.name == "float64" and p.dtype.name == "float32":
            mend += (
                ", or keep float64 out of the loss: a Python number is fine, a float64 array not"
            )
        raise wrong(param, "dtype", g.dtype, p.dtype, mend)
    if g.device != p.device:
        raise wrong(param, "device", g.device, p.device, "copy it there")
    return g


def wrong(param: "Param", what: str, given: Any, expected: Any, mend: str) -> ValueError:
    return ValueError(
        f"the gradient of {param.label} has {what} {given}, but the parameter has {expected}; "
        f"{mend}"
    )


def mend_of_shape(given: tuple[int, ...], expected: tuple[int, ...]) -> str:
    if int(np.prod(given)) == int(np.prod(expected)):
        return f"if its elements are in this order, pass grad.reshape({expected})"
    extra = len(given) - len(expected)
    if extra > 0 and given[extra:] == expected:
        return f"sum over the examples: grad.sum(axis={0 if extra == 1 else tuple(range(extra))})"
    return "gradients must match their parameters exactly"


def check_state(params: Sequence["Param"], states: Sequence[dict[str, Memory]]) -> None:
    """Raise for a state buffer that has come to be of another shape than its parameter."""
    for param, state in zip(params, states, strict=True):
        for name, memory in state.items():
            if memory.shape != param.memory.shape:
                raise ValueError(
                    f"{name} of {param.label} has shape {memory.shape}, and the parameter has "
                    f"{param.memory.shape}; state must have its parameter's shape"
                )


def check_gradient_memory(
    params: Sequence["Param"],
    states: Sequence[dict[str, Memory]],
    given: Sequence[int],
    parts: Parts,
) -> Intervals:
    """Raise if the gradient of a parameter in `given` reaches into memory that a step writes; all
    that memory."""
    written = [(p.label, p.memory) for p in params]
    for param, state in zip(params, states, strict=True):
        written += [(f"{name} of {param.label}", memory) for name, memory in state.items()]
    read = [(f"the gradient of {params[k].label}", grad_of(params[k])) for k in given]
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
