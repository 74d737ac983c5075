"""`Optimizer` with Thinc's interface, and the functions that make one."""

import functools
import threading
from collections.abc import Callable
from typing import Any, ParamSpec

from thinc import optimizers as thincs

from gpuopt.interrupts import finish
from gpuopt.rules.base import Rule
from gpuopt.thinc.bound import Bound, Key, NotCopied
from gpuopt.thinc.settings import settings

CONSTANT = getattr(thincs.Optimizer(0.0).learn_rate, "_schedule", None)  # None before Thinc 9
P = ParamSpec("P")


class Optimizer(thincs.Optimizer):
    """Thinc's `Optimizer`: the same arguments, attributes and schedules; see `gpuopt.thinc`.

    mom1, mom2 and averages hold the state itself, in the shape of the weights.
    """

    __slots__ = ["_bound", "_given", "_locks", "_sources"]

    @functools.wraps(thincs.Optimizer.__init__)
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._forget()

    def _forget(self) -> None:
        """Know nothing yet of weights and schedules."""
        self._bound: dict[Key, Bound] = NotCopied()
        self._locks: dict[Key, threading.Lock] = NotCopied()
        self._given: tuple[Any, ...] = ()  # the schedules
        self._sources: list[Any] = []  # and how they are read

    def __call__(
        self, key: Key, weights: Any, gradient: Any, *, lr_scale: float = 1.0
    ) -> tuple[Any, Any]:
        """Update the weights in place, zero the gradient, and return them both.

        weights, gradient: NumPy or CuPy arrays of one shape and dtype, float32 or float64; an empty
        gradient changes nothing. Raises TypeError or ValueError, naming the key, for arrays that do
        not fit and for numbers that cannot be; nothing has changed then. RuntimeError while another
        thread is updating the weights of this key.
        """
        if getattr(gradient, "shape", ())[:1] == (0,):
            return weights, gradient
        lock = self._locks.get(key) or self._locks.setdefault(key, threading.Lock())
        if lock.locked():
            raise RuntimeError(
                f"another thread, or a schedule or signal handler inside a call, is updating the "
                f"weights of {key} with this optimizer; let one call finish before the next"
            )
        with lock:  # another thread may still be faster: then this one waits for it
            self._update(key, weights, gradient, lr_scale)
        return weights, gradient

    def _update(self, key: Key, weights: Any, gradient: Any, lr_scale: float) -> None:
        """A call, for who holds the key's lock."""
        averages = self.averages
        try:
            numbers = self._numbers(key)
            flags = self.L2_is_weight_decay, self.use_radam, averages is not None
            rule, lr, options, l2 = settings(*numbers, lr_scale, *flags)
        except Exception as error:
            raise ValueError(f"the numbers for {key}: {error}") from error
        bound = self._bound.get(key)
        if bound is None or not self._fits(bound, key, weights, rule):
            homes = {"m": self.mom1, "v": self.mom2, "a": averages or {}}
            bound = Bound(key, weights, rule, homes)
        t, taken = self.nr_update.get(key, 0), bound.taken
        summed = bound.of_gradient(gradient) if l2 else None
        summed_taken = summed.taken if summed else 0

        def change() -> None:
            """All that a call changes; called again, it goes on where it was stopped."""
            if summed and summed.taken == summed_taken:
                summed.add_l2(weights, l2)
            if bound.taken == taken:
                bound.step(gradient, t, rule, lr, options)
            self.nr_update[key] = t + 1
            if self._bound.get(key) is not bound:
                self._keep(key, bound)

        finish(change)

    def _numbers(self, key: Key) -> list[Any]:
        """What the schedules say. Before Thinc 9 they have said it: the attributes are numbers."""
        given = self.learn_rate, self.L2, self.grad_clip, self.b1, self.b2, self.eps
        if given != self._given:  # constants are most of them, and calling one takes a microsecond
            self._sources = [x.attrs if is_constant(x) else x for x in given]
            self._given = given
        return [
            x["rate"]
            if type(x) is dict
            else x(self.step, key=key, last_score=self.last_score)
            if callable(x)
            else x
            for x in self._sources
        ]

    def _fits(self, bound: Bound, key: Key, weights: Any, rule: Rule) -> bool:
        """Whether the weights and their state are where they were, and suit the rule."""
        state = bound.param.state
        if rule is not bound.group.rule and rule.state != tuple(state):
            return False
        if not bound.holds(weights):
            return False
        if "m" in state and not (
            self.mom1.get(key) is state["m"] and self.mom2.get(key) is state["v"]
        ):
            return False
        return self.averages is None or self.averages.get(key) is state["a"]

    def _keep(self, key: Key, bound: Bound) -> None:
        """Weights that were bound have taken their first step so."""
        homes = {"m": self.mom1, "v": self.mom2, "a": self.averages}
        for name, buffer in bound.param.state.items():
            homes[name][key] = buffer
        self._bound[key] = bound


def is_constant(schedule: Any) -> bool:
    """Whether it is Thinc's `constant`, of the rate in its `attrs`."""
    return CONSTANT is not None and getattr(schedule, "_schedule", None) is CONSTANT


def with_ours(make: Callable[P, thincs.Optimizer]) -> Callable[P, Optimizer]:
    """A function that makes an optimizer of Thinc's, making one of ours."""

    @functools.wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> Optimizer:
        theirs, ours = make(*args, **kwargs), Optimizer.__new__(Optimizer)
        for name in thincs.Optimizer.__slots__:
            if hasattr(theirs, name):
                setattr(ours, name, getattr(theirs, name))
        ours._forget()
        return ours

    return made


Adam, RAdam, SGD = map(with_ours, (thincs.Adam, thincs.RAdam, thincs.SGD))
