"""State dicts: everything from which an optimizer goes on, bit for bit."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuopt.checkpoint_checks import (
    check_average,
    check_version,
    checked_groups,
    checked_params,
    checked_rate,
    checked_state,
    mapping,
    whole,
)
from gpuopt.errors import brief_errors, listed
from gpuopt.groups import Group, fields
from gpuopt.interrupts import finish

if TYPE_CHECKING:
    from gpuopt.optimizer import Optimizer
    from gpuopt.parameters import Param

VERSION = 1  # of what a state dict holds; 0 had none, and could do without


def state_dict(opt: "Optimizer") -> dict[str, Any]:
    copy, carried = opt._backend.copy, carried_numbers(opt)
    return {
        **description(opt),
        "state": {
            p.key: {
                "step": step,
                **carried.get(p.key, {}),
                **{name: copy(a) for name, a in buffers(p, step)},
            }
            for p, step in zip(opt._params, opt.param_steps.values(), strict=True)
        },
    }


def buffers(param: "Param", step: int) -> list[tuple[str, Any]]:
    """The state to save: none before the first step, even where a skipped one has made it."""
    return list(param.state.items()) if step else []


def carried_numbers(opt: "Optimizer") -> dict[str, dict[str, float]]:
    """What the rule carries for every parameter that has taken a step, if it carries anything."""
    counts = opt._stepper.settled_counts()
    taken = [(k, p) for k, p in enumerate(opt._params) if counts.carried and counts.steps_of(k)]
    return {p.key: counts.carried_by(k) for k, p in taken}


def description(opt: "Optimizer") -> dict[str, Any]:
    """The part of a state dict that holds no arrays."""
    return {
        "version": VERSION,
        "rule": type(opt.rule).__name__,
        "step_count": opt.step_count,
        "lr": "schedule" if callable(opt._common.lr) else opt._common.lr,
        "average": opt.average,
        "groups": [hyperparameters(group) for group in opt.param_groups],
    }


def hyperparameters(group: Group) -> dict[str, Any]:
    """A group's fields and lr: a number, "schedule", or "common" for the optimizer's own."""
    lr = "common" if group.follows else "schedule" if callable(group.lr) else group.lr
    return {"lr": lr, **{name: getattr(group.rule, name) for name in fields(group.rule)}}


def load_state_dict(opt: "Optimizer", saved: Mapping[str, Any]) -> None:
    """Check everything, allocate everything, then change the optimizer.

    saved: what `state_dict` gave, and maybe "params": values of all parameters by their keys.
    """
    finish(checked_changes(opt, saved))


def checked_changes(opt: "Optimizer", saved: Mapping[str, Any]) -> Callable[[], None]:
    """Check and allocate everything that a load needs; returns the function that then changes the
    optimizer, which raises nothing, and can be called again after an interrupt."""
    if opt._swapped:
        raise RuntimeError("inside `with opt.averages()` no state can be loaded; do it outside")
    with brief_errors():
        try:
            check_version(mapping(saved, "the state to load").get("version", 0), VERSION)
            count = whole(saved["step_count"], "step_count")
            common = checked_rate(opt._common, saved["lr"], "lr")
            groups = checked_groups(opt, saved)
            check_average(opt, saved.get("average"))
            kept = mapping(saved["state"], "the state of the parameters")
            states = [checked_state(opt, param, kept) for param in opt._params]
            values = checked_params(opt, saved.get("params"))
        except KeyError as error:
            raise KeyError(f"the state to load lacks {error.args[0]!r}") from None
        unknown = {*kept, *(saved.get("params") or ())} - {p.key for p in opt._params}
        if unknown:
            raise ValueError(
                "the state to load has parameters that are not here: "
                f"{listed(sorted(unknown, key=str))}"
            )
    fresh = [
        {name: copied(opt, param, array) for name, array in state.items()}
        for param, (_, _, state) in zip(opt._params, states, strict=True)
    ]
    values = [(param, held(opt, param, value)) for param, value in values]
    opt._stepper.drop_plan()

    def change() -> None:
        for param, value in values:
            opt._backend.assign(param.view, value)
        opt._common["lr"] = common
        for group, (rule, lr) in zip(opt.param_groups, groups, strict=True):
            group.rule = rule
            if lr is None:
                group.follow()
            else:
                group["lr"] = lr
        counts = opt._stepper.counts
        for k, (param, (_, carried, _)) in enumerate(zip(opt._params, states, strict=True)):
            param.state = fresh[k]
            for name, value in carried.items():
                counts.carried[name][k] = value
        counts.put(slice(None), [step for step, _, _ in states])
        counts.taken = count
        counts.norm = None

    return change


def copied(opt: "Optimizer", param: "Param", values: Any) -> Any:
    """A copy of an array of a parameter's shape: on its device, in its order of memory."""
    array = opt._backend.zeros_like(param.view, values.dtype)
    opt._backend.assign(array, values)
    return array


def held(opt: "Optimizer", param: "Param", values: Any) -> Any:
    """A parameter's values in memory from which they can be assigned without any error: on its
    device, and in an array that reads no file."""
    in_memory = type(values) is np.ndarray and not opt._backend.on_gpu
    return values if in_memory else copied(opt, param, values)
