"""What turns an optimizer of torch.optim into one that steps through gpuopt."""

import functools
import inspect
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from gpuopt.options import bound
from gpuopt.rules.base import Rule
from gpuopt.torch.binding import Binding, all_params
from gpuopt.torch.hyper import Settings
from gpuopt.torch.shown import ShownState
from gpuopt.torch.state import Keys, number_dtype, numbers_of, restored
from gpuopt.torch.tensors import only_gpu
from gpuopt.torch.turn import alone

MAX_NORM = inspect.Parameter(
    "max_norm", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=float | None
)


# by the class of torch.optim's: what takes the sparse gradients of its users
SPARSE = {
    torch.optim.SGD: ", or use torch.optim.SGD for it, which has the same formula",
    torch.optim.Adagrad: ", or use torch.optim.Adagrad for it, which has the same formula",
    torch.optim.Adam: (
        ", or use torch.optim.SparseAdam for it, which leaves the state of rows without a gradient"
    ),
}

OURS = object()  # marks a step whose hooks we call


class Held:
    """What gpuopt keeps for an optimizer, in one object: wrappers that forward an optimizer's
    attributes, or have copied them, come to the same one."""

    def __init__(self) -> None:
        self.binding: Binding | None = None
        self.loading: dict[str, Any] | None = None  # the state that is about to be loaded
        self.turn: dict[str, Any] = {}  # of who is at work, see `alone`

    def release(self) -> None:
        """Give up the plans. RuntimeError if a graph holds one of their steps."""
        if self.binding is not None:
            self.binding.release()
            self.binding = None

    def settle(self) -> None:
        """Have torch's state show what a GPU has counted; waits for it."""
        if self.binding is not None and not self.binding.settled:
            alone(self.turn, self.binding.settle)


def step(opt: "Fused", closure: Callable[[], Any] | None = None) -> Any:
    """Update every parameter that has a gradient, in place. `closure` is called first, with
    gradients enabled, and what it returns is returned. RuntimeError if another thread is at it."""
    loss = None
    if closure is not None:
        with torch.enable_grad():
            loss = closure()
    scale, found = opt.scaling
    if found is not None and opt.skips(found):
        return loss
    alone(opt._held.turn, advance, opt, scale, found)
    return loss


def advance(opt: "Fused", scale: torch.Tensor | None, found: torch.Tensor | None) -> None:
    held = opt._held
    if held.binding is None or not held.binding.step(scale, found):
        with torch.no_grad():
            held.release()
            binding = Binding(opt)
            binding.first(scale, found)
            held.binding = binding


step_with_hooks = torch.optim.Optimizer.profile_hook_step(step)


@torch._disable_dynamo  # type: ignore[attr-defined]
def untraced_step(opt: "Fused", *args: Any, **kwargs: Any) -> Any:
    return (step_with_hooks if opt.watched else step)(opt, *args, **kwargs)


# gives None where torch.compile traces nothing in this thread: soon told, and then nothing need be
# kept from being traced, which takes 5 us
eval_frame = torch._C._dynamo.eval_frame  # pyright: ignore
tracer = getattr(eval_frame, "get_eval_frame_callback", lambda: True)


@functools.cache
def leave_untraced(function: Callable[..., Any]) -> None:
    """Have torch.compile pass over a function. Imports what torch.optim's constructors import."""
    from torch._dynamo.decorators import skip

    skip(function)


class Fused:
    """Mixed into an optimizer of torch.optim: takes its step as one fused pass over memory.

    Parameters, param_groups, state, hooks and checkpoints stay torch's; see `gpuopt.torch`.
    """

    rule: type[Rule]
    keys: Keys
    param_groups: list[dict[str, Any]]
    state: defaultdict[torch.Tensor, Any]
    max_norm: float | None
    _held: Held

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Show torch's arguments, and max_norm, where the constructor takes just these."""
        super().__init_subclass__(**kwargs)
        cls.__signature__ = None  # none but Python's own
        ours = cls.__mro__[: cls.__mro__.index(Fused)]
        if not any("__init__" in vars(c) for c in ours):
            torchs = inspect.signature(super().__init__)
            arguments = list(torchs.parameters.values())[1:]
            cls.__signature__ = torchs.replace(parameters=[*arguments, MAX_NORM])

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Also what has copied an optimizer, or read it from a file, has all attributes."""
        new = super().__new__(cls)
        new._held, new.max_norm = Held(), None
        return new

    @torch._disable_dynamo  # type: ignore[attr-defined]
    def __init__(self, *args: Any, max_norm: float | None = None, **kwargs: Any) -> None:
        self.max_norm = None if max_norm is None else bound("max_norm", max_norm)
        super().__init__(*args, **kwargs)
        self.state = ShownState(self._held.settle, self.state)
        counted = [entries for entries in self.state.values() if "step" in entries]  # Adagrad's
        for entries, zero in zip(
            counted, numbers_of([0] * len(counted), number_dtype()), strict=True
        ):
            entries["step"] = zero  # on the CPU, whatever the default device, and side by side
        leave_untraced(Fused.step)

    def rule_of(self, group: dict[str, Any]) -> type[Rule]:
        """The rule of a param_group."""
        return self.rule

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)  # pyright: ignore
        try:
            group = self.param_groups[-1]
            Settings(self.rule_of(group), group)
        except Exception:
            del self.param_groups[-1]
            raise

    @functools.wraps(step)
    def step(self, *args: Any, **kwargs: Any) -> Any:
        if tracer() is not None or self.watched:
            return untraced_step(self, *args, **kwargs)
        return step(self, *args, **kwargs)

    # torch wraps no step that is: it would take 10 us, also where there is nothing to call
    step.hooked = OURS  # pyright: ignore

    @property
    def watched(self) -> bool:
        """Whether hooks or a profiler are to see the step, and it is we who show it to them: a
        step that a subclass has of its own, torch has wrapped."""
        hooks = (
            self._optimizer_step_pre_hooks  # pyright: ignore
            or self._optimizer_step_post_hooks  # pyright: ignore
            or _global_optimizer_pre_hooks
            or _global_optimizer_post_hooks
            or torch.autograd.profiler._is_profiler_enabled
        )
        return bool(hooks) and getattr(type(self).step, "hooked", None) is OURS

    @property
    def _binding(self) -> Binding | None:
        return self._held.binding

    def release(self) -> None:
        """Give up the plans. RuntimeError if a graph holds one of their steps."""
        alone(self._held.turn, self._held.release)

    @property
    def scaling(self) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """The loss scale, and whether a gradient is not finite, as GradScaler leaves them here."""
        own = self.__dict__
        return own.get("grad_scale"), own.get("found_inf")

    def skips(self, found: torch.Tensor) -> bool:
        """Whether the host is to skip the step. Where all is on one GPU, that decides by itself."""
        return only_gpu(all_params(self)) is None and bool(found.item())

    @property
    def sparse_advice(self) -> str:
        """What an error says of sparse gradients, for which torch.optim has something."""
        for kind, advice in SPARSE.items():
            if isinstance(self, kind):
                return advice
        return ""

    @property
    def grad_norm(self) -> float:
        """The L2 norm of the last step's gradients before clipping, without loss scale. Reading it
        waits for a GPU. RuntimeError if no step has measured it, as those with `max_norm` do."""
        binding = self._held.binding
        if binding is None or not binding.bounds:
            raise RuntimeError("no step was taken yet, so no norm was measured")
        return binding.bounds[0].stepper.grad_norm()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint of this optimizer or of torch.optim's of the same name. State of
        16-bit parameters stays float32. Whatever raises changes nothing."""
        keep = self.register_load_state_dict_pre_hook(  # pyright: ignore
            lambda opt, given: setattr(self._held, "loading", given)  # as other hooks have left it
        )
        try:
            super().load_state_dict(state_dict)  # pyright: ignore
        finally:
            keep.remove()
            self._held.loading = None

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "max_norm": self.max_norm}  # pyright: ignore

    def __setstate__(self, state: dict[str, Any]) -> None:
        alone(self._held.turn, self._take_over, state)

    def _take_over(self, state: dict[str, Any]) -> None:
        if self._held.loading is not None:
            restored(state, self._held.loading, self.keys)
        self._held.release()
        if "state" in state:
            state = {**state, "state": ShownState(self._held.settle, state["state"])}
        super().__setstate__(state)  # pyright: ignore
