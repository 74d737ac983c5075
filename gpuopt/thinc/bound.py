"""The weights of one key, and their steps by a plan of gpuopt."""

from collections.abc import Mapping
from typing import Any

from gpuopt import backends
from gpuopt.backends.base import state_dtype
from gpuopt.groups import Group
from gpuopt.options import BARE, PLAIN, Options
from gpuopt.parameters import make_params
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
        self.param.state = {name: self.buffer(homes[name], name) for name in rule.state}
        self.l2: Bound | None = None  # of the gradient, to which `add_l2` adds the weights

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

    def lies_at(self, weights: Any) -> bool:
        """Whether the weights are where they were."""
        try:
            view = self.backend.view(weights, "weights", written=True)
            return self.backend.memory(view) == self.memory
        except (TypeError, ValueError):  # binding them anew says what is wrong
            return False

    def step(self, gradient: Any, t: int, rule: Rule, lr: float, options: Options) -> None:
        """Step number t + 1. Nothing has changed if it raises."""
        if rule is not self.group.rule or lr != self.group.lr:
            self.group.change(rule, lr)
        if self.stepper.counts.steps_of(0) != t:
            self.stepper.counts.put(0, t)
        self.stepper.step((gradient,), options)

    def add_l2(self, gradient: Any, l2: float) -> None:
        """gradient <- gradient + l2 weights, in place."""
        if self.l2 is None or not self.l2.lies_at(gradient):
            self.l2 = Bound(self.key, gradient, ASCENT, {})
        self.l2.step(self.weights, 0, ASCENT, l2, PLAIN)


class Bindings(dict[Key, Bound]):
    """Copies and pickles of it are empty, and bind anew: it is about addresses."""

    def __reduce__(self) -> Any:
        return Bindings, ()
