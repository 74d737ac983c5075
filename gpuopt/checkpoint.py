"""State dicts: everything from which an optimizer goes on, bit for bit."""

from typing import TYPE_CHECKING, Any

import numpy as np

from gpuopt.backends.base import state_dtype
from gpuopt.groups import Group, Schedule, fields, learning_rate, with_fields
from gpuopt.rules.base import Rule, check_rule

if TYPE_CHECKING:
    from gpuopt.optimizer import Optimizer
    from gpuopt.parameters import Param


def state_dict(opt: "Optimizer") -> dict[str, Any]:
    copy = opt._backend.copy
    return {
        **description(opt),
        "state": {
            p.key: {"step": step, **{name: copy(a) for name, a in buffers(p, step)}}
            for p, step in zip(opt._params, opt.param_steps.values(), strict=True)
        },
    }


def buffers(param: "Param", step: int) -> list[tuple[str, Any]]:
    """The state to save: none before the first step, even where a skipped one has made it."""
    return list(param.state.items()) if step else []


def description(opt: "Optimizer") -> dict[str, Any]:
    """The part of a state dict that holds no arrays."""
    return {
        "rule": type(opt.rule).__name__,
        "step_count": opt.step_count,
        "lr": "schedule" if callable(opt.lr) else opt.lr,
        "average": opt.average,
        "groups": [hyperparameters(group) for group in opt.param_groups],
    }


def hyperparameters(group: Group) -> dict[str, Any]:
    """A group's fields and lr: a number, "schedule", or "common" for the optimizer's own."""
    lr = "common" if group.follows else "schedule" if callable(group.lr) else group.lr
    return {"lr": lr, **{name: getattr(group.rule, name) for name in fields(group.rule)}}


def load_state_dict(opt: "Optimizer", saved: dict[str, Any]) -> None:
    """Check everything, allocate everything, then change the optimizer."""
    if opt._swapped:
        raise RuntimeError("inside `with opt.averages()` no state can be loaded; do it outside")
    try:
        count = whole(saved["step_count"], "step_count")
        common, changes = checked_rate(opt._common, saved["lr"], "lr"), checked_groups(opt, saved)
        check_average(opt, saved.get("average"))
        states = [checked_state(opt, param, saved["state"]) for param in opt._params]
    except KeyError as error:
        raise KeyError(f"the state to load lacks {error.args[0]!r}") from None
    unknown = set(saved["state"]) - {p.key for p in opt._params}
    if unknown:
        raise ValueError(f"the state to load has parameters that are not here: {sorted(unknown)}")
    fresh = [allocated(opt, p, state) for p, (_, state) in zip(opt._params, states, strict=True)]
    opt._stepper.drop_plan()
    opt._common["lr"] = common
    for group, (rule, lr) in zip(opt.param_groups, changes, strict=True):
        group.rule = rule
        if lr is None:
            group.follow()
        else:
            group["lr"] = lr
    for k, (param, (step, _)) in enumerate(zip(opt._params, states, strict=True)):
        param.state = fresh[k]
        opt._stepper.counts.steps[k] = step
    opt._stepper.counts.taken = count
    opt._stepper.norm = None


def check_average(opt: "Optimizer", saved: Any) -> None:
    if saved != opt.average:
        raise ValueError(
            f"the state to load was saved with average={saved!r}, and this optimizer has "
            f"average={opt.average!r}; make it with the same"
        )


def checked_rate(group: Group, saved: Any, what: str) -> float | Schedule:
    """The learning rate to go on with. A schedule is a function, which is not saved."""
    if saved == "schedule":
        if not callable(group.lr):
            raise ValueError(
                f"{what} was a schedule when the state was saved, and is {group.lr} here; "
                "set it to that schedule before loading"
            )
        return group.lr
    if callable(saved):
        raise TypeError(f"{what} to load must be a number, got {saved!r}")
    return learning_rate(saved)


def allocated(opt: "Optimizer", param: "Param", state: dict[str, Any]) -> dict[str, Any]:
    arrays = {}
    for name, values in state.items():
        arrays[name] = opt._backend.zeros_like(param.view, values.dtype)
        opt._backend.assign(arrays[name], values)
    return arrays


def checked_groups(
    opt: "Optimizer", saved: dict[str, Any]
) -> list[tuple[Rule, float | Schedule | None]]:
    """The rule and learning rate (None: the optimizer's) that each group goes on with."""
    name = type(opt.rule).__name__
    if saved["rule"] != name:
        raise ValueError(f"the state to load is of the rule {saved['rule']!r}, not {name!r}")
    if len(saved["groups"]) != len(opt.param_groups):
        raise ValueError(
            f"the state to load has {len(saved['groups'])} groups, not {len(opt.param_groups)}"
        )
    changes = []
    for k, (group, options) in enumerate(zip(opt.param_groups, saved["groups"], strict=True)):
        options = {name: as_tuple(value) for name, value in options.items()}
        lr = options.pop("lr")
        rule = with_fields(group.rule, {x: options.pop(x) for x in fields(group.rule)})
        if options:
            raise ValueError(f"the state to load has {sorted(options)}, which {name} has not")
        if rule.state != group.rule.state:
            raise ValueError(
                f"the state to load is of {rule}, with buffers {rule.state}; this optimizer has "
                f"{group.rule}, with {group.rule.state}. Make it with the same flags"
            )
        check_rule(rule)
        follows = lr == "common"
        changes.append((rule, None if follows else checked_rate(group, lr, f"group {k}'s lr")))
    return changes


def as_tuple(value: Any) -> Any:
    """Lists as tuples, which JSON does not tell apart."""
    return tuple(map(as_tuple, value)) if isinstance(value, list) else value


def checked_state(opt: "Optimizer", param: "Param", saved: dict[str, Any]) -> tuple[int, dict]:
    """A parameter's step count and buffers as saved; raises if they do not fit the parameter."""
    buffers = dict(saved[param.key])
    step = whole(buffers.pop("step"), f"the step of {param.label}")
    memory = opt._backend.memory(param.view)
    expected = (memory.shape, state_dtype(memory.dtype))
    names = param.buffers if step else ()
    if tuple(buffers) != tuple(names) and set(buffers) != set(names):
        raise ValueError(
            f"the state to load for {param.label} at step {step} has buffers {tuple(buffers)}, "
            f"expected {tuple(names)}"
        )
    for name, values in buffers.items():
        if not hasattr(values, "dtype"):
            raise TypeError(f"{name} of {param.label} to load is {values!r}, expected an array")
        if (tuple(values.shape), values.dtype) != expected:
            raise ValueError(
                f"{name} of {param.label} to load has shape {tuple(values.shape)} and dtype "
                f"{values.dtype}, expected {expected[0]} and {expected[1]}"
            )
    return step, {name: buffers[name] for name in names}


def whole(value: Any, what: str) -> int:
    """`value` as a step count."""
    is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if is_whole and 0 <= value < 2**63:
        return int(value)
    raise ValueError(f"{what} to load is {value!r}, expected a whole number >= 0, below 2^63")
