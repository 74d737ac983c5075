"""The optimizer: parameters, groups, state, `step` and `state_dict`."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpuopt import backends, checkpoint, files
from gpuopt.backends.memory import first_overlap, overlaps_itself
from gpuopt.groups import Group, Schedule, collect, learning_rate
from gpuopt.plan import Plan, make_plan
from gpuopt.rules.base import Rule, check_rule


@dataclass
class Param:
    """One parameter: its key in checkpoints, its array as the backend sees it, its state."""

    key: str
    view: Any
    group: Group
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The parameter's name in error messages."""
        return f"params[{int(self.key)}]" if self.key.isdigit() else f"params[{self.key!r}]"


class Optimizer:
    """Updates arrays in place by one rule, in one fused pass over memory.

    params: one array, a sequence, a mapping of names, or a list of groups
    (`{"params": ..., "lr": ..., <the rule's fields>}`). NumPy or CuPy arrays, torch tensors, or
    anything with DLPack or `__cuda_array_interface__`; float32, float64 or complex (float16 on the
    numpy backend), of any shape and strides. Nothing is copied: the caller's memory is updated.

    rule: a `gpuopt.Rule`. lr: a number, or a schedule: a function of the step count, from 1.
    backend: None picks by the arrays; or "numpy", "numba", "cupy".

    Raises TypeError or ValueError, naming the parameter, for arrays that cannot be updated in place
    (read-only, integer, overlapping, given twice), and BackendError with the reason when a backend
    that was asked for cannot run.
    """

    def __init__(
        self, params: Any, rule: Rule, *, lr: float | Schedule, backend: str | None = None
    ) -> None:
        check_rule(rule)
        self._common = Group(rule, learning_rate(lr), None)
        self._structure, self.param_groups, members = collect(params, self._common)
        keys = self._structure.keys
        if len(set(keys)) != len(keys):
            raise ValueError(f"two parameters have the same name, as text: {sorted(keys)}")
        self._backend = backends.pick([array for array, _ in members], backend)
        self._params = [
            Param(key, array, group) for key, (array, group) in zip(keys, members, strict=True)
        ]
        for param in self._params:
            param.view = self._backend.view(param.view, param.label, written=True)
        self._check_overlap()
        for group in {id(g): g for g in [self._common, *self.param_groups]}.values():
            group.on_change = self._rule_changed
        self._steps = np.zeros(len(keys), np.int64)
        self._count = 0
        self._plan: Plan | None = None

    def step(self, grads: Any) -> None:
        """Update every parameter that has a gradient, in place.

        grads: the structure of `params`, holding arrays of each parameter's shape and dtype on its
        device, or None. Gradients are read, never written. Whatever raises, raises before a
        parameter, state buffer or step count has changed; but for a rule that only the numpy
        backend can run, when its own code raises in the middle of a step.
        """
        flat = self._structure.flatten(grads)
        plan = self._plan
        if plan is None or not plan.follow(flat):
            plan = self._plan = make_plan(self._backend, self._params, self._steps, flat)
        plan.run(self._count + 1, self._steps)
        self._count += 1

    @property
    def lr(self) -> float | Schedule:
        """The learning rate, a number or a schedule; groups that name their own keep it."""
        return self._common.lr

    @lr.setter
    def lr(self, value: float | Schedule) -> None:
        self._common["lr"] = value

    @property
    def rule(self) -> Rule:
        """The rule as given; `param_groups` holds what each group uses."""
        return self._common.rule

    @property
    def backend(self) -> str:
        """The name of the backend that runs the step."""
        return self._backend.name

    @property
    def step_count(self) -> int:
        """How many steps this optimizer has taken."""
        return self._count

    @property
    def param_steps(self) -> dict[str, int]:
        """How many steps each parameter has taken: those in which it had a gradient."""
        return {p.key: int(t) for p, t in zip(self._params, self._steps, strict=True)}

    @property
    def state(self) -> dict[str, dict[str, Any]]:
        """Each parameter's state buffers by name: the arrays themselves, empty at first."""
        return {p.key: dict(p.state) for p in self._params}

    def state_dict(self) -> dict[str, Any]:
        """Everything that a later run needs to go on bit for bit, as copies on the same device.

        Keys: "rule", "step_count", "lr", "groups" (hyper-parameters) and "state": for each
        parameter its "step" and its buffers. An lr that is a schedule is saved as "schedule" and
        must be set again before loading; a group that follows the optimizer's has "common".
        """
        return checkpoint.state_dict(self)

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave. Rule, parameters, shapes and dtypes are checked first;
        a load that raises changes nothing."""
        checkpoint.load_state_dict(self, saved)

    def save(self, path: Any) -> None:
        """Write `state_dict()` to a safetensors file (needs the `checkpoint` extra)."""
        files.save(self, path)

    def load(self, path: Any) -> None:
        """Read a file that `save` wrote."""
        files.load(self, path)

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles make a plan of their own: a plan holds addresses."""
        return {**self.__dict__, "_plan": None}

    def __repr__(self) -> str:
        count = len(self._params)
        return f"Optimizer({self.rule!r}, lr={self.lr!r}, {count} parameters, {self.backend})"

    def _rule_changed(self, old: Rule, new: Rule) -> None:
        if self._backend.key(old) != self._backend.key(new):
            self._plan = None

    def _check_overlap(self) -> None:
        memories = [(p.label, self._backend.memory(p.view)) for p in self._params]
        for label, memory in memories:
            if overlaps_itself(memory):
                raise ValueError(
                    f"{label} has elements that share memory (broadcast or expanded); "
                    "pass a copy of it"
                )
        pair = first_overlap(memories)
        if pair:
            raise ValueError(
                f"{pair[0]} and {pair[1]} share memory; a step would update it twice. "
                "Pass each parameter once"
            )
