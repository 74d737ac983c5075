"""Stepping: the plan in use, and the counts that belong to it."""

import operator
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from gpuopt.backends.base import Backend
from gpuopt.counts import Counts
from gpuopt.options import PLAIN, Options, Parts, step_options
from gpuopt.parameters import Param
from gpuopt.plan import Plan
from gpuopt.planning import make_plan
from gpuopt.rules.base import Rule

ASIDE = 8  # plans that are kept beside the one in use
LASTING = (type(None), int, float)  # what stays as it was checked; a LossScaler can move to a GPU


class Stepper:
    """Runs steps over some parameters, by a plan that is kept for as long as it fits."""

    def __init__(self, backend: Backend, params: list[Param], average: float | None) -> None:
        self.backend, self.params, self.average = backend, params, average
        self.counts = Counts([p.group.rule.carried for p in params])
        self.plan: Plan | None = None
        self.aside: dict[Hashable, Plan] = {}  # by parts and by which parameters have gradients
        self.options, self.parts = PLAIN, PLAIN.parts(average, backend.on_gpu)
        self.asked: tuple[Any, ...] | None = None
        self.last = PLAIN
        self.norm: float | Callable[[], float] | None = None  # of the last step

    def options_for(self, asked: tuple[Any, ...]) -> Options:
        """The options that a step was asked for: those of the last such step, if they are the same
        objects and cannot have changed."""
        if self.asked is None or not all(map(operator.is_, asked, self.asked)):
            self.last = step_options(self.backend, *asked)
            self.asked = asked if all(isinstance(x, LASTING) for x in asked) else None
        return self.last

    def step(
        self, grads: tuple[Any, ...], options: Options, addresses: np.ndarray | None = None
    ) -> None:
        """One step; `grads` has an array or None for each parameter. `addresses`: where they are,
        from a caller who knows that they lie otherwise as in the step before."""
        if options is not self.options:
            self.options, self.parts = options, options.parts(self.average, self.backend.on_gpu)
        plan, parts = self.plan, self.parts
        same = plan is not None and (plan.parts is parts or plan.parts == parts)
        if plan is None or not same or not follows(plan, grads, addresses):
            self.plan = plan = self.other_plan(grads, parts)
        plan.run(grads, self.counts, options)
        self.norm = plan.norm

    def settled_counts(self) -> Counts:
        """How many steps were taken. Waits for a GPU that alone knows."""
        if self.plan is not None:
            self.plan.settle(self.counts)
        return self.counts

    def other_plan(self, grads: tuple[Any, ...], parts: Parts) -> Plan:
        """A plan for what the one in use is not for: one that was in use before, or a new one."""
        last = self.plan
        self.put_aside()
        if last is not None and not last.fresh:
            self.aside[last.parts, tuple(last.idle)] = last
            last.rest()
        key = parts, tuple(k for k, g in enumerate(grads) if g is None)
        plan = self.aside.pop(key, None)
        if plan is None or not (plan.fits(self.counts) and plan.follow(grads)):
            plan = make_plan(self.backend, self.params, self.counts, grads, parts)
        if any(state for _, state in plan.fresh):  # memory that the others do not know of
            self.aside.clear()
        if len(self.aside) > ASIDE:
            del self.aside[next(iter(self.aside))]
        return plan

    def drop_plan(self) -> None:
        """The next step makes another plan. RuntimeError if a graph holds addresses of this one."""
        self.put_aside()
        self.aside.clear()

    def put_aside(self) -> None:
        """Have no plan in use. RuntimeError if a graph holds addresses of it."""
        if self.capturing:
            raise RuntimeError(
                "before a step is captured, take one with the same gradient arrays and options"
            )
        if self.plan is not None and self.plan.captured:
            raise RuntimeError(
                "a step of this optimizer was captured in a graph, which works on its present "
                "gradients, options and state; to change these, make another optimizer"
            )
        self.settled_counts()
        self.plan = None

    @property
    def capturing(self) -> bool:
        """Whether a stream is being captured in a graph, on a device of the parameters."""
        if not self.backend.on_gpu:
            return False
        devices = {self.backend.memory(p.view).device for p in self.params}
        return self.backend.capturing_on(devices) is not None

    def rule_changes(self, old: Rule, new: Rule) -> None:
        """A group is about to use another rule, which may need another kernel, or another lr."""
        if self.plan is not None and self.plan.captured and self.capturing:
            raise RuntimeError(
                "hyper-parameters cannot be changed while a step is being captured; "
                "change them before or after the capture"
            )
        if self.backend.key(old) != self.backend.key(new):
            self.drop_plan()

    def push(self) -> None:
        """Hyper-parameters have changed: replays of captured steps shall use them."""
        if self.plan is not None:
            self.plan.push(self.counts)

    def grad_norm(self) -> float:
        """The norm that the last step found. Waits for a GPU."""
        if self.norm is None:
            raise RuntimeError(
                "the last step, if there was one, measured no norm; pass it max_norm (infinity "
                "clips nothing)"
            )
        return self.norm() if callable(self.norm) else self.norm

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles make a plan of their own: a plan holds addresses."""
        self.settled_counts()
        norm = self.norm() if callable(self.norm) else self.norm
        return {**self.__dict__, "plan": None, "aside": {}, "norm": norm}


def follows(plan: Plan, grads: tuple[Any, ...], addresses: np.ndarray | None) -> bool:
    return plan.follow(grads) if addresses is None else plan.relocate(addresses)
