"""Stepping: the plan in use, and the counts that belong to it."""

import operator
import threading
from collections.abc import Hashable
from typing import Any

import numpy as np

from gpuopt.backends.base import Backend
from gpuopt.counts import Counts
from gpuopt.interrupts import finish, signals_wait
from gpuopt.options import PLAIN, Options, Parts, step_options
from gpuopt.parameters import Param
from gpuopt.plan import Plan
from gpuopt.planning import make_plan
from gpuopt.rules.base import Rule

ASIDE = 8  # plans that are kept beside the one in use
IMMUTABLE = (type(None), int, float)  # unlike a LossScaler, which can move to a GPU


class Stepper:
    """Runs steps over some parameters, by a plan that is kept for as long as it fits."""

    def __init__(self, backend: Backend, params: list[Param], average: float | None) -> None:
        self.backend, self.params, self.average = backend, params, average
        self.counts = Counts([p.group.rule.carried for p in params])
        self.plan: Plan | None = None
        self.aside: dict[Hashable, Plan] = {}  # by their parts and, on a GPU, idle parameters
        self.options, self.parts = PLAIN, PLAIN.parts(average, backend.on_gpu)
        self.asked: tuple[Any, ...] | None = None
        self.last = PLAIN
        self.lock = threading.Lock()

    def exclusive(self) -> threading.Lock:
        """The lock under which an optimizer is changed. RuntimeError if somebody holds it."""
        if self.lock.locked():
            raise RuntimeError(
                "another thread is stepping this optimizer (or loading, rebinding or averaging), "
                "or a schedule or signal handler does so inside a step; let one finish before the "
                "next, or give each thread an optimizer of its own"
            )
        return self.lock  # another thread may still be faster: then this one waits for it

    def options_for(self, asked: tuple[Any, ...]) -> Options:
        """The options that a step was asked for: those of the last such step, if they are the same
        objects and cannot have changed."""
        if self.asked is None or not all(map(operator.is_, asked, self.asked)):
            self.asked, self.last = None, step_options(self.backend, *asked)
            self.asked = asked if all(isinstance(x, IMMUTABLE) for x in asked) else None
        return self.last

    def step(
        self, grads: tuple[Any, ...], options: Options, addresses: np.ndarray | None = None
    ) -> None:
        """One step; `grads` has an array or None for each parameter. `addresses`: where they are,
        from a caller who knows that they lie otherwise as in the step before.

        It is taken and counted, or nothing has changed. RuntimeError while another thread is
        stepping."""
        with self.exclusive():
            self.take(grads, options, addresses)

    def take(
        self, grads: tuple[Any, ...], options: Options, addresses: np.ndarray | None = None
    ) -> None:
        """A `step`, for who holds the lock."""
        if options is not self.options:
            self.options, self.parts = options, options.parts(self.average, self.backend.on_gpu)
        plan, parts = self.plan, self.parts
        same = plan is not None and (plan.parts is parts or plan.parts == parts)
        if plan is None or not same or not follows(plan, grads, addresses):
            self.plan = plan = self.other_plan(grads, parts)
        if self.backend.on_gpu:
            with signals_wait():
                plan.prepare(grads, self.counts, options)
                plan.run()
            return
        plan.prepare(grads, self.counts, options)
        try:
            plan.run()
        except BaseException:  # of a signal handler: no half of a step is left
            finish(plan.run)
            raise

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
            self.aside[self.key_of(last.parts, last.idle)] = last
            last.rest()
        idle = [k for k, g in enumerate(grads) if g is None]
        plan = self.aside.pop(self.key_of(parts, idle), None)
        if plan is None or not plan.suits(grads, self.counts):
            plan = make_plan(self.backend, self.params, self.counts, grads, parts)
        if any(state for _, state in plan.fresh):  # memory that the others do not know of
            self.aside.clear()
        if len(self.aside) > ASIDE:
            del self.aside[next(iter(self.aside))]
        return plan

    def key_of(self, parts: Parts, idle: list[int]) -> Hashable:
        """What a plan is kept by: on the CPU one plan serves whichever parameters are idle."""
        return parts if self.backend.masks else (parts, tuple(idle))

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
        if new is not old and self.plan is not None and not self.plan.takes(old, new):
            self.drop_plan()

    def push(self) -> None:
        """Hyper-parameters have changed: replays of captured steps shall use them."""
        if self.plan is not None:
            self.plan.push(self.counts)

    def grad_norm(self) -> float:
        """The norm that the last step found. Waits for a GPU."""
        norm = self.counts.norm
        if norm is None:
            raise RuntimeError(
                "the last step, if there was one, measured no norm; pass it max_norm (infinity "
                "clips nothing)"
            )
        return norm() if callable(norm) else norm

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles make a plan of their own: a plan holds addresses."""
        counts = self.settled_counts()
        if callable(counts.norm):
            counts.norm = counts.norm()
        return {**self.__dict__, "plan": None, "aside": {}, "lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, lock=threading.Lock())


def follows(plan: Plan, grads: tuple[Any, ...], addresses: np.ndarray | None) -> bool:
    return plan.follow(grads) if addresses is None else plan.relocate(addresses)
