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
from gpuopt.torch.hyper import Settings
from gpuopt.torch.layout import Watch
from gpuopt.torch.state import completed, steps_taken
from gpuopt.torch.streams import on_torchs_streams
from gpuopt.torch.tensors import is_sharded, is_strided, local, only_gpu
from gpuopt.torch.words import Words

if TYPE_CHECKING:
    from gpuopt.torch.fused import Fused


NOTHING = nullcontext()  # to be made at every step, it would take 0.3 us


class Binding:
    """A plan for each kind of device. Every step looks whether parameters and state are where they
    were; if not, another binding finds everything again in the optimizer's param_groups and state.
    """

    def __init__(self, opt: "Fused") -> None:
        self.opt: Fused = weakref.proxy(opt)  # no cycle: tensors go when the optimizer goes
        self.groups = list(opt.param_groups)
        self.lists = [group["params"] for group in self.groups]
        self.lengths = list(map(len, self.lists))
        self.params = list(itertools.chain.from_iterable(self.lists))
        self.seen: Any = None  # torch's state, if `lying` tells of it
        self.lasting = False  # whether what the groups say cannot change without them
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
        self.on_gpus = [bound for bound in self.bounds if bound.devices]
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
        scale, found = self.opt.scaling
        with self.streams():
            self.run(scale, found)
        for member in self.members:
            if member.state:
                self.opt.kept[member.param].update(member.state)
        self.watch = Watch(self.parts(self.tensors()))
        self.saying = Words(dicts=self.groups)  # whether they say what they did
        self.lying = Words()  # whether all lies where it did

    def step(self, scale: torch.Tensor | None, found: torch.Tensor | None) -> bool:
        """A later step, with what GradScaler has left for it; False, and nothing done, if another
        binding is needed."""
        with self.streams():
            if not self.holds():
                return False
            for bound in self.bounds:
                if not bound.follow():
                    return False
            self.run(scale, found)
        return True

    def run(self, scale: torch.Tensor | None, found: torch.Tensor | None) -> None:
        for bound in self.bounds:
            bound.run(self.options(bound.backend, scale, found))
            if scale is not None:
                with torch.no_grad():
                    bound.unscale(scale.item() if self.gpu is None else scale.to(self.gpu))

    def streams(self) -> AbstractContextManager[Any]:
        """Whatever a GPU is given inside comes in order with torch's current streams."""
        if not self.on_gpus:
            return NOTHING
        stack = ExitStack()
        for bound in self.on_gpus:
            stack.enter_context(on_torchs_streams(bound.backend, bound.devices))
        return stack

    def holds(self) -> bool:
        """Whether parameters, groups and state are what and where they were."""
        opt = self.opt
        if torch.get_num_threads() != self.threads or opt.max_norm != self.plain.max_norm:
            return False
        if not same(opt.param_groups, self.groups):
            return False
        if not self.groups_say_the_same() and not self.groups_hold():
            return False
        if not (opt.kept is self.seen and self.lying.stand()) and not self.tensors_hold():
            return False
        for bound in self.bounds:  # noqa: SIM110  no generators here: this is asked at every step
            if not bound.numbers.holds:
                return False
        return True

    def groups_say_the_same(self) -> bool:
        """Whether it is sure that nothing in the groups has changed."""
        if not (self.lasting and self.saying.stand()):
            return False
        for settings in self.settings:  # noqa: SIM110
            if self.opt.rule_of(settings.source) is not settings.rule:
                return False
        return True

    def groups_hold(self) -> bool:
        """Take over what the groups say; False if that needs other state."""
        self.lasting = False
        self.saying.note_dicts()  # first: what another thread writes meanwhile is seen next time
        lists = [group["params"] for group in self.groups]
        if not same(lists, self.lists):
            self.lists, self.seen = lists, None
        for settings in self.settings:
            if not settings.follow(self.opt.rule_of(settings.source)):
                return False
        self.lasting = all(settings.lasting for settings in self.settings)
        return True

    def tensors_hold(self) -> bool:
        """Whether the groups' parameters are the same, and they and their state where they were."""
        self.seen, kept, tensors = None, self.opt.kept, self.tensors()
        states = [x for x in kept.values() if isinstance(x, dict)]
        lying = Words(self.lists, [kept, *states], () if self.sharded else tensors)  # first, too
        params = list(itertools.chain.from_iterable(self.lists))
        if list(map(len, self.lists)) != self.lengths or not same(params, self.params):
            return False
        if not self.watch.stay(self.parts(tensors)):
            return False
        if not self.sharded:  # of sharded ones, the parts may move
            self.seen, self.lying = kept, lying
        return True

    def tensors(self) -> tuple[torch.Tensor, ...]:
        """All parameters, and all tensors in torch's state, in which loads may leave what belongs
        to no parameter, and users what is no tensor."""
        states = [x for x in self.opt.kept.values() if isinstance(x, dict)]
        values = itertools.chain.from_iterable(map(dict.values, states))
        return (*self.params, *filter(is_strided, values))

    def parts(self, tensors: tuple[Any, ...]) -> tuple[Any, ...]:
        """What of these lies in this process."""
        if not self.sharded:
            return tensors
        with torch.no_grad():
            return tuple(map(local, tensors))

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
