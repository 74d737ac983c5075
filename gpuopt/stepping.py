"""Stepping: the plan in use, and the counts that belong to it."""

from typing import Any

import numpy as np

from gpuopt.backends.base import Backend
from gpuopt.counts import Counts
from gpuopt.options import PLAIN, Options
from gpuopt.parameters import Param
from gpuopt.plan import Plan
from gpuopt.planning import make_plan
from gpuopt.rules.base import Rule


class Stepper:
    """Runs steps over some parameters, by a plan that is kept for as long as it fits."""

    def __init__(self, backend: Backend, params: list[Param], average: float | None) -> None:
        self.backend, self.params, self.average = backend, params, average
        self.counts = Counts(np.zeros(len(params), np.int64))
        self.plan: Plan | None = None
        self.plain = PLAIN.parts(average, backend.on_gpu)

    def step(self, grads: tuple[Any, ...], options: Options) -> None:
        """One step; `grads` has an array or None for each parameter."""
        parts = self.plain
        if options is not PLAIN:
            parts = options.parts(self.average, self.backend.on_gpu)
        plan = self.plan
        if plan is None or plan.parts != parts or not plan.follow(grads):
            self.drop_plan()
            plan = make_plan(self.backend, self.params, self.counts.steps, grads, parts)
            self.plan = plan
        plan.run(grads, self.counts, options)

    def settled_counts(self) -> Counts:
        """How many steps were taken. Waits for a GPU that alone knows."""
        if self.plan is not None:
            self.plan.settle(self.counts)
        return self.counts

    def drop_plan(self) -> None:
        """The next step makes another plan. RuntimeError if a graph holds addresses of this one."""
        if self.backend.capturing() is not None:
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

    def rule_changes(self, old: Rule, new: Rule) -> None:
        """A group is about to use another rule; it may need another kernel."""
        if self.backend.key(old) != self.backend.key(new):
            self.drop_plan()

    def push(self) -> None:
        """Hyper-parameters have changed: replays of captured steps shall use them."""
        if self.plan is not None:
            self.plan.push(self.counts)

    def grad_norm(self) -> float:
        """The norm that the last step found. Waits for a GPU."""
        norm = self.plan.grad_norm() if self.plan else None
        if norm is None:
            raise RuntimeError(
                "the last step measured no norm; pass it max_norm (infinity clips nothing)"
            )
        return norm

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles make a plan of their own: a plan holds addresses."""
        self.settled_counts()
        return {**self.__dict__, "plan": None}
