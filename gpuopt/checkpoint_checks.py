"""Checks of a state to load: each returns what the optimizer goes on with, and changes nothing."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuopt.backends.base import state_dtype
from gpuopt.checks import real
from gpuopt.errors import listed
from gpuopt.groups import Group, Schedule, fields, kept, learning_rate, with_fields
from gpuopt.rules.base import Rule, check_rule

if TYPE_CHECKING:
    from gpuopt.optimizer import Optimizer
    from gpuopt.parameters import Param


def check_version(version: Any, known: int) -> None:
    if whole(version, "version") > known:
        raise ValueError(
            f"the state to load has version {version}, of a newer gpuopt; this one knows versions "
            f"up to {known}, so upgrade it"
        )


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
    rate = learning_rate(saved)
    if callable(group.lr):
        raise schedule_lost(what, str(rate), str(rate))
    return rate


def schedule_lost(what: str, was: str, number: str) -> ValueError:
    return ValueError(
        f"{what} was {was} when the state was saved, and is a schedule here; set it to {number} "
        "before loading, and then, to go on with the schedule, to that again after loading"
    )


def checked_groups(
    opt: "Optimizer", saved: Mapping[str, Any]
) -> list[tuple[Rule, float | Schedule | None]]:
    """The rule and learning rate (None: the optimizer's) that each group goes on with."""
    name, groups = type(opt.rule).__name__, saved["groups"]
    if saved["rule"] != name:
        raise ValueError(f"the state to load is of the rule {saved['rule']!r}, not {name!r}")
    if not isinstance(groups, (list, tuple)):
        raise TypeError(f"the groups to load are {groups!r}, expected a list of mappings")
    if len(groups) != len(opt.param_groups):
        raise ValueError(f"the state to load has {len(groups)} groups, not {len(opt.param_groups)}")
    changes = []
    for k, (group, given) in enumerate(zip(opt.param_groups, groups, strict=True)):
        options = {x: as_tuple(value) for x, value in mapping(given, f"group {k}").items()}
        lr = options.pop("lr")
        rule = with_fields(group.rule, {x: options.pop(x) for x in fields(group.rule)})
        if options:
            raise ValueError(
                f"the state to load has {listed(sorted(options))}, which {name} has not"
            )
        if kept(rule) != kept(group.rule):
            raise ValueError(
                f"the state to load is of {rule}, with buffers {kept(rule)}; this optimizer has "
                f"{group.rule}, with {kept(group.rule)}. Make it with the same flags"
            )
        check_rule(rule)
        what = f"group {k}'s lr"
        if lr == "common" and callable(group.lr) and group.lr is not opt._common.lr:
            raise schedule_lost(what, "the optimizer's", "a number")
        changes.append((rule, None if lr == "common" else checked_rate(group, lr, what)))
    return changes


def as_tuple(value: Any) -> Any:
    """Lists as tuples, which JSON does not tell apart."""
    return tuple(map(as_tuple, value)) if isinstance(value, list) else value


def checked_state(
    opt: "Optimizer", param: "Param", saved: Mapping[str, Any]
) -> tuple[int, dict[str, float], dict[str, Any]]:
    """A parameter's step count, what its rule carries, and buffers, as saved; raises if they do not
    fit the parameter."""
    buffers = dict(mapping(saved[param.key], f"the state of {param.label}"))
    step = whole(buffers.pop("step"), f"the step of {param.label}")
    memory = opt._backend.memory(param.view)
    carried = param.group.rule.carried
    names = param.buffers if step else ()
    expected = (*carried, *names) if step else ()
    if set(buffers) != set(expected):
        raise ValueError(
            f"the state to load for {param.label} at step {step} has buffers {tuple(buffers)}, "
            f"expected {expected}"
        )
    if step:
        carried = {name: real(f"{name} of {param.label}", buffers.pop(name)) for name in carried}
    for name, values in buffers.items():
        what = f"{name} of {param.label}"
        check_array(what, values, memory.shape, state_dtype(memory.dtype))
    return step, carried, {name: buffers[name] for name in names}


def checked_params(opt: "Optimizer", saved: Any) -> list[tuple["Param", Any]]:
    """The parameters, each with its value as saved; none where none were saved."""
    if saved is None:
        return []
    values = mapping(saved, "the parameters")
    for param in opt._params:
        memory = opt._backend.memory(param.view)
        check_array(param.label, values[param.key], memory.shape, memory.dtype)
    return [(param, values[param.key]) for param in opt._params]


def check_array(what: str, values: Any, shape: tuple[int, ...], dtype: np.dtype) -> None:
    if not hasattr(values, "dtype"):
        raise TypeError(f"{what} to load is {values!r}, expected an array")
    if (tuple(values.shape), values.dtype) != (shape, dtype):
        raise ValueError(
            f"{what} to load has shape {tuple(values.shape)} and dtype {values.dtype}, expected "
            f"{shape} and {dtype}"
        )


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{what} is {value!r}, expected a mapping")
    return value


def whole(value: Any, what: str) -> int:
    """`value` as a step count."""
    is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if is_whole and 0 <= value < 2**63:
        return int(value)
    raise ValueError(f"{what} to load is {value!r}, expected a whole number >= 0, below 2^63")
