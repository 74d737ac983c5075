"""All parameters of a torch optimizer, bound to plans for as long as nothing has moved."""

import itertools
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from operator import is_
from typing import TYPE_CHECKING, Any

import torch

from gpuopt.backends.base import Backend
from gpuopt.options import Options
from gpuopt.parameters import labelled
from gpuopt.torch.bound import Bound, Member
from gpuopt.torch.containers import Dicts, Lists
from gpuopt.torch.hyper import Settings
from gpuopt.torch.layout import Watch
from gpuopt.torch.state import completed, steps_taken
from gpuopt.torch.streams import on_torchs_streams
from gpuopt.torch.tensors import is_sharded, local, only_gpu

if TYPE_CHECKING:
    from gpuopt.torch.fused import Fused


class Binding:
    """A plan for each kind of device. Every step looks whether parameters and state are where they
    were; if not, another binding finds everything again in the optimizer's param_groups and state.
    """

    def __init__(self, opt: "Fused") -> None:
        self.opt: Fused = weakref.proxy(opt)  # no cycle: tensors go when the optimizer goes
        self.groups = list(opt.param_groups)
        self.lists = Lists([group["params"] for group in self.groups])
        self.params = self.lists.items
        self.gpu = only_gpu(self.params)
        self.sharded = any(map(is_sharded, self.params))
        self.threads = torch.get_num_threads()
        self.settings: list[Settings] = []
        kinds: dict[str, list[Member]] = {}
        for group, keys in zip(opt.param_groups, keys_of(opt.param_groups), strict=True):
            of_kind: dict[str, Settings] = {}
            for key, p in zip(keys, group["params"], strict=True):
                if p.device.type not in of_kind:
                    of_kind[p.device.type] = Settings(opt.rule_of(group), group)
                member = self.member(p, key, of_kind[p.device.type])
                kinds.setdefault(p.device.type, []).append(member)
            self.settings += of_kind.values()
        self.check_clipping(kinds)
        self.members = list(itertools.chain.from_iterable(kinds.values()))
        self.bounds = [Bound(members, opt.keys) for members in kinds.values()]
        self.plain = Options(max_norm=opt.max_norm)

    def member(self, p: torch.Tensor, key: str, settings: Settings) -> Member:
        state = self.opt.kept.get(p, {})
        taken = steps_taken(state, self.opt.keys)
        if p.grad is not None:
            state = completed(state, p, settings.group.rule, self.opt.keys, labelled(key))
        return Member(p, key, settings, taken, dict(state))

    def check_clipping(self, kinds: dict[str, list[Member]]) -> None:
        if self.opt.max_norm is not None and (self.sharded or len(kinds) > 1):
            where = "several kinds of device" if len(kinds) > 1 else "several processes"
            raise ValueError(
                f"max_norm={self.opt.max_norm}: the parameters are spread over {where}, and this "
                "optimizer measures only one; call torch.nn.utils.clip_grad_norm_ before step"
            )

    def first(self) -> None:
        """The step for which it was made. What torch shows as state appears when it has run."""
        with self.streams():
            self.run()
        for member in self.members:
            if member.state:
                self.opt.kept[member.param].update(member.state)
        self.only_dicts = all(isinstance(x, dict) for x in self.opt.kept.values())
        self.only_tensors = all(isinstance(x, torch.Tensor) for x in self.state())
        self.look()
        self.watch = Watch(self.parts(self.tensors))

    def step(self) -> bool:
        """A later step; False, and nothing done, if another binding is needed."""
        with self.streams():
            if not self.holds():
                return False
            for bound in self.bounds:
                if not bound.follow():
                    return False
            self.run()
        return True

    def run(self) -> None:
        scale, found = self.opt.scaling
        for bound in self.bounds:
            bound.run(self.options(bound.backend, scale, found))
            if scale is not None:
                with torch.no_grad():
                    bound.unscale(scale.item() if self.gpu is None else scale.to(self.gpu))

    def streams(self) -> AbstractContextManager[Any]:
        """Whatever a GPU is given inside comes in order with torch's current streams."""
        on_gpus = [bound for bound in self.bounds if bound.devices]
        if not on_gpus:
            return nullcontext()
        stack = ExitStack()
        for bound in on_gpus:
            stack.enter_context(on_torchs_streams(bound.backend, bound.devices))
        return stack

    def holds(self) -> bool:
        """Whether parameters, groups and state are what and where they were."""
        opt = self.opt
        if torch.get_num_threads() != self.threads or opt.max_norm != self.plain.max_norm:
            return False
        if not same(opt.param_groups, self.groups):
            return False
        if not self.lists.same([group["params"] for group in self.groups]):
            return False
        if opt.kept is not self.dicts.dicts[0] or not self.dicts.untouched:
            self.look()
        if not self.watch.stay(self.parts(self.tensors)):
            return False
        for bound in self.bounds:  # no generators here: this is asked at every step
            if not bound.numbers.holds:
                return False
        for settings in self.settings:  # noqa: SIM110
            if not settings.follow(opt.rule_of(settings.source)):
                return False
        return True

    def look(self) -> None:
        """Find all parameters and all that torch keeps as their state; nothing, where something
        that is no dict has come: another binding minds it."""
        kept = self.opt.kept
        self.dicts = Dicts([kept, *(x for x in kept.values() if isinstance(x, dict))])
        try:
            tensors = (*self.params, *self.state())
        except TypeError:
            tensors = ()
        if not self.only_tensors:
            tensors = tuple(x for x in tensors if isinstance(x, torch.Tensor))
        self.tensors: tuple[Any, ...] = tensors

    def parts(self, tensors: tuple[Any, ...]) -> tuple[Any, ...]:
        """What of these lies in this process."""
        if not self.sharded:
            return tensors
        with torch.no_grad():
            return tuple(map(local, tensors))

    def state(self) -> Iterator[Any]:
        """All values in torch's state, in which loads may leave what belongs to no parameter."""
        states = self.opt.kept.values()
        if not self.only_dicts:
            states = [x for x in states if isinstance(x, dict)]
        return itertools.chain.from_iterable(map(dict.values, states))

    def options(self, backend: Backend, scale: Any, found: Any) -> Options:
        """What a step does besides the rule, as torch's GradScaler leaves it with us."""
        if scale is None and found is None:
            return self.plain
        if self.gpu is None:  # the host has decided about skipping
            return replace(self.plain, scale=None if scale is None else scale.item())
        there = [None if x is None else x.to(self.gpu, non_blocking=True) for x in (scale, found)]
        arrays = [None if x is None else backend.scalar(x, "the scaler's") for x in there]
        return replace(self.plain, scale_array=arrays[0], found_inf_array=arrays[1])

    def release(self) -> None:
        """Give up the plans; torch's state has all counts. RuntimeError if a graph holds one."""
        with self.streams():
            for bound in self.bounds:
                bound.stepper.drop_plan()
                bound.numbers.publish_around()

    def settle(self) -> None:
        """Have torch's state show the step counts, whoever knows them."""
        for bound in self.bounds:
            if bound.on_device_only:
                with self.streams():
                    bound.settle()


def same(now: list[Any], before: list[Any]) -> bool:
    """Whether two lists hold the same objects."""
    return len(now) == len(before) and all(map(is_, now, before))


def all_params(opt: "Fused") -> Iterator[torch.Tensor]:
    return itertools.chain.from_iterable([group["params"] for group in opt.param_groups])


def keys_of(groups: list[dict[str, Any]]) -> list[list[str]]:
    """For each group the names of its parameters; their numbers, where torch was given no names."""
    count = itertools.count()
    numbers = [[str(next(count)) for _ in group["params"]] for group in groups]
    return [group.get("param_names") or n for group, n in zip(groups, numbers, strict=True)]
