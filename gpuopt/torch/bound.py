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
from gpuopt.torch.layout import Versions, Watch
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
    """The parameters that have gradients: their positions, those of the others, the tensors, how
    their gradients lie, and all tensors that a step writes."""

    at: list[int]
    idle: list[int]
    params: list[torch.Tensor]
    watch: Watch
    written: Versions


class Given(NamedTuple):
    """What a step works on: the parameters that have gradients; a gradient or None for each
    parameter; where the gradients are, if they lie otherwise as in the step before."""

    active: Active
    grads: tuple[Any, ...]
    addresses: np.ndarray | None


class Bound:
    """Parameters, their state and plans, for as long as no tensor moves and no parameter without
    state gets a gradient."""

    def __init__(self, members: Sequence[Member], keys: Keys, sparse_advice: str) -> None:
        """sparse_advice: what errors say of a sparse gradient besides making it dense."""
        self.params = [m.param for m in members]
        self.sharded = any(map(is_sharded, self.params))
        self.sparse_advice = sparse_advice
        parts = [local(p) for p in self.params]
        self.backend = backend_for(parts)
        self.devices = sorted({p.get_device() for p in parts if p.is_cuda})
        groups = [m.settings.group for m in members]
        keys_of = [m.key for m in members]
        own = make_params(self.backend, keys_of, list(zip(parts, groups, strict=True)), BARE)
        self.ready = [is_whole(m.state, m.param, m.settings.group.rule, keys) for m in members]
        for param, member, ready in zip(own, members, self.ready, strict=True):
            if ready:
                buffers = {name: member.state[keys.buffers[name]] for name in param.buffers}
                param.state = {
                    name: self.backend.view(local(b), f"{name} of {param.label}", written=True)
                    for name, b in buffers.items()
                }
        self.numbers = Numbers(
            [m.taken for m in members], [m.state for m in members], [g.rule for g in groups], keys
        )
        self.written = [written(m, keys) for m in members]
        self.stepper = Stepper(self.backend, own, None)
        self.stepper.counts = self.numbers.counts
        for group in {id(g): g for g in groups}.values():
            group.before_change = weakly(self.stepper.rule_changes)
            group.after_change = weakly(self.stepper.push)
        self.labels = [param.label for param in own]
        self.by_address = self.backend.by_address and can_relocate()
        self.active: Active | None = None  # in the last step

    def follow(self) -> Given | None:
        """This step's gradients; None if they need state that is not there."""
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
        return Given(now, tuple(grads), addresses if self.by_address else None)

    def take(self) -> Given | None:
        """The same where other parameters have gradients than in the step before, or gradients that
        lie otherwise. Raises for one that cannot be taken."""
        at = [k for k, p in enumerate(self.params) if p.grad is not None]
        if not all(self.ready[k] for k in at):
            return None
        with torch.no_grad():
            clean = {k: gradient(self.params[k], self.labels[k], self.sparse_advice) for k in at}
        idle = sorted({*range(len(self.params))} - {*at})
        active = Active(
            at,
            idle,
            [self.params[k] for k in at],
            Watch(tuple(clean.values())),
            Versions([t for k in at for t in self.written[k]]),
        )
        return Given(active, tuple(clean.get(k) for k in range(len(self.params))), None)

    def run(self, given: Given, options: Options) -> None:
        """Step on these gradients."""
        self.active = None  # if this raises, the next step looks at everything
        self.stepper.step(given.grads, options, given.addresses)

    def tell(self, given: Given) -> None:
        """Have PyTorch know that a step was taken. Can be begun anew."""
        given.active.written.bump()
        self.publish()
        self.active = given.active

    def publish(self) -> None:
        """Have torch's tensors show the step counts, unless only a GPU knows them."""
        if not self.on_device_only:
            self.numbers.publish()

    @property
    def on_device_only(self) -> bool:
        """Whether only a GPU knows how many steps were taken."""
        plan = self.stepper.plan
        return plan is not None and plan.control is not None and plan.control.in_charge

    def settle(self) -> None:
        """Have torch's tensors show the step counts that a GPU knows; waits for it."""
        self.stepper.settled_counts()
        self.numbers.publish_around()


def written(member: Member, keys: Keys) -> list[torch.Tensor]:
    """The parameter, and those tensors of its state that a step writes to."""
    rule = member.settings.group.rule
    names = [keys.buffers[name] for name in rule.state]
    names += [keys.scalars[name] for name in rule.carried]
    names += ["step"] if keys.counted else []
    return [member.param, *(member.state[key] for key in names if key in member.state)]


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
