"""All parameters of a torch optimizer, bound to plans for as long as nothing has moved."""

import itertools
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from operator import attrgetter, is_
from typing import TYPE_CHECKING, Any

import torch

from gpuopt.backends.base import Backend
from gpuopt.options import Options
from gpuopt.parameters import labelled
from gpuopt.torch.bound import Bound, Given, Member
from gpuopt.torch.hyper import Settings
from gpuopt.torch.layout import Watch
from gpuopt.torch.shown import ShownState, entry_of, values_of
from gpuopt.torch.state import check_numbers, completed, steps_taken
from gpuopt.torch.streams import on_torchs_streams
from gpuopt.torch.tensors import (
    check_parameter,
    is_fit,
    is_sharded,
    is_strided,
    local,
    only_gpu,
)
from gpuopt.torch.turn import again
from gpuopt.torch.words import Words

if TYPE_CHECKING:
    from gpuopt.torch.fused import Fused


TAKEN = attrgetter("taken")
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
        self.unfit: list[torch.Tensor] = []  # which cannot be stepped, and have no gradient
        self.threads = torch.get_num_threads()
        self.settings: list[Settings] = []
        kinds: dict[str, list[Member]] = {}
        for group, keys in zip(opt.param_groups, keys_of(opt.param_groups), strict=True):
            of_kind: dict[str, Settings] = {}
            for key, p in zip(keys, group["params"], strict=True):
                if p.grad is None and not is_fit(p):
                    self.unfit.append(p)
                    continue
                check_parameter(p, labelled(key))
                kind = kind_of(p)
                if kind not in of_kind:
                    of_kind[kind] = Settings(opt.rule_of(group), group)
                kinds.setdefault(kind, []).append(self.member(p, key, of_kind[kind]))
            self.settings += of_kind.values()
        self.members = list(itertools.chain.from_iterable(kinds.values()))
        self.gpu = only_gpu([member.param for member in self.members])
        self.sharded = any(is_sharded(member.param) for member in self.members)
        self.check_clipping(kinds)
        self.bounds = [Bound(members, opt.keys, opt.sparse_advice) for members in kinds.values()]
        self.counts = [bound.stepper.counts for bound in self.bounds]
        self.plain = Options(max_norm=opt.max_norm)
        self.plains = [self.plain] * len(self.bounds)
        self.on_gpus = [bound for bound in self.bounds if bound.devices]
        self.untold = self.members  # whose state torch does not show yet

    def member(self, p: torch.Tensor, key: str, settings: Settings) -> Member:
        state = entry_of(self.opt.state, p, new=False)
        check_numbers(state, self.opt.keys, labelled(key))
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

    def first(self, scale: torch.Tensor | None, found: torch.Tensor | None) -> None:
        """The step for which it was made. What torch shows as state appears when it has run."""
        with self.streams():
            grads = [bound.take() for bound in self.bounds]
            self.run(grads, scale, found)
        self.watch = Watch(self.parts(self.tensors()))
        self.saying = Words(dicts=self.groups)  # whether they say what they did
        self.lying = Words()  # whether all lies where it did

    def step(self, scale: torch.Tensor | None, found: torch.Tensor | None) -> bool:
        """A later step, with what GradScaler has left for it; False, and nothing done, if another
        binding is needed."""
        with self.streams():
            if not self.holds():
                return False
            grads = [bound.follow() for bound in self.bounds]
            if None in grads:
                return False
            self.run(grads, scale, found)
        return True

    def run(self, grads: list[Any], scale: torch.Tensor | None, found: torch.Tensor | None) -> None:
        """Step on all kinds of device. An interrupt that comes before the first has changed
        anything ends it; one that comes later is raised when all have been stepped and counted."""
        taken = list(map(TAKEN, self.counts))
        options = self.plains
        if scale is not None or found is not None:
            options = [self.options(bound.backend, scale, found) for bound in self.bounds]
        unscaling = None if scale is None else Unscaling(grads, self.scale_of(scale))
        try:
            for bound, given, option in zip(self.bounds, grads, options):  # noqa: B905  slower
                bound.run(given, option)
            self.tell(grads, unscaling)
        except BaseException:
            again(self.complete, grads, options, taken, unscaling)
            raise

    def complete(
        self,
        grads: list[Given],
        options: list[Options],
        taken: list[int],
        unscaling: "Unscaling | None",
    ) -> None:
        """Do what is left of a step that has begun; it had been done `taken` times before."""
        begun = [now.taken != before for now, before in zip(self.counts, taken, strict=True)]
        for bound in self.bounds:  # a GPU may have told its count, and the step be refused then
            bound.publish()
        if not any(begun):
            return
        for bound, given, option, done in zip(self.bounds, grads, options, begun, strict=True):
            if not done:
                bound.run(given, option)
        self.tell(grads, unscaling)

    def tell(self, grads: list[Given], unscaling: "Unscaling | None") -> None:
        """Have torch know of a step that was taken. Can be begun anew."""
        for bound, given in zip(self.bounds, grads):  # noqa: B905
            bound.tell(given)
        if self.untold:
            for member in self.untold:
                if member.state:
                    entry_of(self.opt.state, member.param).update(member.state)
            self.untold = []
        if unscaling is not None:
            unscaling.run()
        if self.on_gpus and not isinstance(self.opt.state, ShownState):
            self.settle()  # nobody will, before the user looks

    def scale_of(self, scale: torch.Tensor) -> Any:
        """The loss scale: a number, or a tensor on the GPU of all parameters."""
        return scale.item() if self.gpu is None else scale.to(self.gpu)

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
        if not (opt.state is self.seen and self.lying.stand()) and not self.tensors_hold():
            return False
        if self.unfit and any(p.grad is not None for p in self.unfit):
            return False
        for bound in self.bounds:  # noqa: SIM110
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
        self.seen, state, tensors = None, self.opt.state, self.tensors()
        entries = [x for x in values_of(state) if isinstance(x, dict)]
        lying = Words(self.lists, [state, *entries], () if self.sharded else tensors)  # first, too
        params = list(itertools.chain.from_iterable(self.lists))
        if list(map(len, self.lists)) != self.lengths or not same(params, self.params):
            return False
        if not self.watch.stay(self.parts(tensors)):
            return False
        if not self.sharded:  # of sharded ones, the parts may move
            self.seen, self.lying = state, lying
        return True

    def tensors(self) -> tuple[torch.Tensor, ...]:
        """All parameters that can be stepped, and all tensors in torch's state, in which loads may
        leave what belongs to no parameter, and users what is no tensor."""
        entries = [x for x in values_of(self.opt.state) if isinstance(x, dict)]
        values = itertools.chain.from_iterable(map(dict.values, entries))
        return (*(member.param for member in self.members), *filter(is_strided, values))

    def parts(self, tensors: tuple[Any, ...]) -> tuple[Any, ...]:
        """What of these lies in this process."""
        if not self.sharded:
            return tensors
        with torch.no_grad():
            return tuple(map(local, tensors))

    def options(self, backend: Backend, scale: Any, found: Any) -> Options:
        """What a step does besides the rule, as torch's GradScaler leaves it with us."""
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

    @property
    def settled(self) -> bool:
        """Whether torch's state shows how many steps were taken."""
        return not any(bound.on_device_only for bound in self.on_gpus)

    def settle(self) -> None:
        """Have torch's state show the step counts, whoever knows them."""
        with self.streams():
            for bound in self.on_gpus:
                if bound.on_device_only and not bound.stepper.capturing:
                    bound.settle()


class Unscaling:
    """Takes the loss scale, a number or a tensor on the device, out of `p.grad`, as torch's
    optimizers do: whoever looks at gradients after a step, or adds to them, expects it."""

    def __init__(self, grads: list[Given], scale: Any) -> None:
        self.scale = scale
        self.grads = [local(p.grad) for x in grads for p in x.active.params if p.grad is not None]
        self.versions = [g._version for g in self.grads[:1]]

    def run(self) -> None:
        """Do it once: the version of a gradient tells whether it was done."""
        if [g._version for g in self.grads[:1]] == self.versions:
            with torch.no_grad():
                torch._foreach_div_(self.grads, self.scale)  # pyright: ignore[reportPrivateImportUsage]


def same(now: list[Any], before: list[Any]) -> bool:
    """Whether two lists hold the same objects."""
    return len(now) == len(before) and all(map(is_, now, before))


def kind_of(p: torch.Tensor) -> str:
    """What parameters of one plan have in common."""
    return p.device.type


def all_params(opt: "Fused") -> Iterator[torch.Tensor]:
    return itertools.chain.from_iterable([group["params"] for group in opt.param_groups])


def keys_of(groups: list[dict[str, Any]]) -> list[list[str]]:
    """For each group the names of its parameters; their numbers, where torch was given no names."""
    count = itertools.count()
    numbers = [[str(next(count)) for _ in group["params"]] for group in groups]
    return [group.get("param_names") or n for group, n in zip(groups, numbers, strict=True)]
