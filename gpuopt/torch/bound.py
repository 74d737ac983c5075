"""Parameters of a torch optimizer on one kind of device, bound to a plan of gpuopt."""

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from gpuopt import backends
from gpuopt.backends.base import Backend
from gpuopt.backends.headers import can_relocate
from gpuopt.options import BARE, Options
from gpuopt.parameters import make_params
from gpuopt.stepping import Stepper
from gpuopt.torch.hyper import Settings
from gpuopt.torch.layout import Watch
from gpuopt.torch.numbers import Numbers
from gpuopt.torch.state import Keys, is_whole
from gpuopt.torch.tensors import gradient, is_sharded, local


class Member(NamedTuple):
    """A parameter, its number or name, the settings of its group, the steps it took, and its state
    as torch keeps it: with every buffer that the rule needs, if it has a gradient."""

    param: torch.Tensor
    key: str
    settings: Settings
    taken: int
    state: dict[str, Any]


class Active(NamedTuple):
    """The parameters that have gradients: their positions, those of the others, the tensors, and
    how their gradients lie."""

    at: list[int]
    idle: list[int]
    params: list[torch.Tensor]
    watch: Watch


class Bound:
    """Parameters, their state and plans, for as long as no tensor moves and no parameter without
    state gets a gradient."""

    def __init__(self, members: Sequence[Member], keys: Keys) -> None:
        self.params = [m.param for m in members]
        self.sharded = any(map(is_sharded, self.params))
        parts = [local(p) for p in self.params]
        self.backend = backend_for(parts)
        self.devices = sorted({p.get_device() for p in parts if p.is_cuda})
        groups = [m.settings.group for m in members]
        keys_of = [m.key for m in members]
        own = make_params(self.backend, keys_of, list(zip(parts, groups, strict=True)), BARE)
        for param, member in zip(own, members, strict=True):
            buffers = {name: member.state.get(keys.buffers[name]) for name in param.buffers}
            param.state = {
                name: self.backend.view(local(b), f"{name} of {param.label}", written=True)
                for name, b in buffers.items()
                if b is not None
            }
        self.stepper = Stepper(self.backend, own, None)
        self.numbers = Numbers(
            [m.taken for m in members], [m.state for m in members], [g.rule for g in groups], keys
        )
        self.stepper.counts = self.numbers.counts
        for group in {id(g): g for g in groups}.values():
            group.before_change = weakly(self.stepper.rule_changes)
            group.after_change = weakly(self.stepper.push)
        self.labels = [param.label for param in own]
        self.ready = [is_whole(m.state, m.param, m.settings.group.rule, keys) for m in members]
        self.by_address = self.backend.by_address and can_relocate()
        self.active: Active | None = None  # in the last step
        self.given: tuple[Any, ...] = ()  # what the next run works on
        self.take()

    def follow(self) -> bool:
        """Take this step's gradients; False if that needs state that is not there."""
        grads = [p.grad for p in self.params]
        if self.sharded:
            with torch.no_grad():
                grads = [None if g is None else local(g) for g in grads]
        now = self.active
        if now is None or (now.idle and any(grads[k] is not None for k in now.idle)):
            return self.take()
        addresses = now.watch.follow(tuple([grads[k] for k in now.at] if now.idle else grads))
        if addresses is None:
            return self.take()
        if now.idle:
            addresses = scattered(addresses, now.at, len(grads))
        self.given = now, tuple(grads), addresses if self.by_address else None
        return True

    def take(self) -> bool:
        """The same where other parameters have gradients than in the step before, or gradients that
        lie otherwise. Raises for one that cannot be taken."""
        at = [k for k, p in enumerate(self.params) if p.grad is not None]
        if not all(self.ready[k] for k in at):
            return False
        with torch.no_grad():
            clean = {k: gradient(self.params[k], self.labels[k]) for k in at}
        idle = sorted({*range(len(self.params))} - {*at})
        active = Active(at, idle, [self.params[k] for k in at], Watch(tuple(clean.values())))
        self.given = active, tuple(clean.get(k) for k in range(len(self.params))), None
        return True

    def run(self, options: Options) -> None:
        """Step, on the gradients last taken."""
        (active, grads, addresses), self.given, self.active = self.given, (), None
        try:
            self.stepper.step(grads, options, addresses)
        finally:  # also what a GPU has counted, where another plan could not be made
            if not self.on_device_only:
                self.numbers.publish()
        self.active = active
        torch.autograd.graph.increment_version(active.params)

    def unscale(self, scale: Any) -> None:
        """Take the loss scale, a number or a tensor on the device, out of `p.grad`, as torch's
        optimizers do: whoever looks at gradients after a step, or adds to them, expects it."""
        assert self.active is not None
        grads = [local(p.grad) for p in self.active.params if p.grad is not None]
        torch._foreach_div_(grads, scale)  # pyright: ignore[reportPrivateImportUsage]

    @property
    def on_device_only(self) -> bool:
        """Whether only a GPU knows how many steps were taken."""
        plan = self.stepper.plan
        return plan is not None and plan.control is not None and plan.control.in_charge

    def settle(self) -> None:
        """Have torch's tensors show the step counts that a GPU knows; waits for it."""
        self.stepper.settled_counts()
        self.numbers.publish()


def backend_for(parts: Sequence[torch.Tensor]) -> Backend:
    """The backend for tensors of one kind of device; on the CPU with as many threads as torch."""
    backend = backends.pick(parts, None)
    return with_threads(torch.get_num_threads()) if backend.name == "numba" else backend


@functools.cache
def with_threads(count: int) -> Backend:
    from gpuopt.backends.numba import NumbaBackend  # so that this module needs no Numba

    return NumbaBackend(count)


def scattered(values: np.ndarray, at: list[int], count: int) -> np.ndarray:
    """`count` numbers with `values` at some positions, and 0 elsewhere."""
    spread = np.zeros(count, np.int64)
    spread[at] = values
    return spread


def weakly(method: Callable[..., None]) -> Callable[..., None]:
    """A method that does not keep its object alive."""
    there = weakref.WeakMethod(method)

    def call(*args: Any) -> None:
        now = there()
        if now is not None:
            now(*args)

    return call
