"""The weights of one key, and their steps by a plan of gpuopt."""

from collections.abc import Mapping
from typing import Any

from gpuopt import backends
from gpuopt.backends.base import state_dtype
from gpuopt.groups import Group
from gpuopt.options import BARE, PLAIN, Options
from gpuopt.parameters import make_params
from gpuopt.planning import check_gradient
from gpuopt.rules.base import Rule
from gpuopt.rules.sgd import SGD
from gpuopt.stepping import Stepper

Key = tuple[int, str]  # a node's id and its parameter's name
ASCENT = SGD(maximize=True)  # with the weights for a gradient and L2 for lr: g <- g + L2 w


class Bound:
    """Weights and their state, where they lie; `homes` has Thinc's dict for every buffer's name."""

    def __init__(
        self, key: Key, weights: Any, rule: Rule, homes: Mapping[str, dict[Key, Any]]
    ) -> None:
        self.key, self.weights = key, weights
        self.backend = backends.pick([weights], None)
        self.group = Group(rule, 0.0, None)
        [self.param] = make_params(self.backend, [str(key)], [(weights, self.group)], BARE)
        self.memory = self.backend.memory(self.param.view)
        self.stepper = Stepper(self.backend, [self.param], None)
        self.group.before_change = self.stepper.rule_changes
        state = {name: self.buffer(homes[name], name) for name in rule.state}
        self.param.state = state
        self.watch = self.backend.watch([("the weights", weights), *state.items()])
        self.l2: Bound | None = None  # of the gradient

    def buffer(self, home: dict[Key, Any], name: str) -> Any:
        """The buffer that is there, in the shape of the weights (Thinc's are flat), or zeros."""
        if self.key not in home:
            return self.backend.zeros_like(self.param.view, state_dtype(self.memory.dtype))
        view = self.backend.view(home[self.key], f"{name} of {self.param.label}", written=True)
        shape = self.memory.shape
        if self.backend.memory(view).size != self.memory.size:
            raise ValueError(
                f"{name} of {self.param.label} has shape {view.shape}, and the weights have "
                f"{shape}; if these were resized, delete it from the optimizer's dicts"
            )
        return home[self.key] if view.shape == shape else view.reshape(shape)

    def holds(self, weights: Any) -> bool:
        """Whether these weights lie where those did that were bound, and nobody has assigned to the
        shape or the like of an array that was, resized it, or made it read-only."""
        try:
            self.watch.check(None)
        except ValueError:  # binding them anew says what is wrong, if anything is
            return False
        return weights is self.weights or self.lies_at(weights)

    def lies_at(self, weights: Any) -> bool:
        """Whether the weights are where they were."""
        try:
            view = self.backend.view(weights, "weights", written=True)
            return self.backend.memory(view) == self.memory
        except (TypeError, ValueError):  # binding them anew says what is wrong
            return False

    @property
    def taken(self) -> int:
        """How many steps were taken since the weights were bound."""
        return self.stepper.counts.taken

    def step(self, gradient: Any, t: int, rule: Rule, lr: float, options: Options) -> None:
        """Step number t + 1. It is taken, or nothing has changed."""
        if rule is not self.group.rule or lr != self.group.lr:
            self.group.change(rule, lr)
        if self.stepper.counts.steps_of(0) != t:
            self.stepper.counts.put(0, t)
        self.stepper.step((gradient,), options)

    def of_gradient(self, gradient: Any) -> "Bound":
        """A gradient of these weights, bound so that `add_l2` can be called."""
        if self.l2 is None or not self.l2.lies_at(gradient):
            what = f"the gradient of {self.param.label}"
            view = self.backend.view(gradient, what, written=True)
            check_gradient(self.param, self.backend.memory(view))
            self.l2 = Bound(self.key, gradient, ASCENT, {})
        return self.l2

    def add_l2(self, weights: Any, l2: float) -> None:
        """Of a gradient that was bound: gradient <- gradient + l2 weights, in place."""
        self.step(weights, 0, ASCENT, l2, PLAIN)


class NotCopied(dict[Key, Any]):
    """Copies and pickles of it are empty: for what is about addresses and threads."""

    def __reduce__(self) -> Any:
        return NotCopied, ()
