"""What `step` is asked to do beside the rule: unscale, clip, skip, zero; checked."""

import functools
import math
from dataclasses import dataclass
from typing import Any

from gpuopt.backends.base import Backend
from gpuopt.checks import flag, real
from gpuopt.loss_scaler import LossScaler, in_float32
from gpuopt.rules.base import Rule
from gpuopt.rules.whole import WholeStep


@dataclass(frozen=True)
class Parts:
    """Which parts a step has: what decides its formula, and so its kernel."""

    scaled: bool = False
    limited: bool = False
    skippable: bool = False
    zeroed: bool = False
    average: float | None = None

    def around(self, rule: Rule) -> Rule:
        """The rule with these parts around it; itself if there are none."""
        return rule if self == BARE else WholeStep(rule, **vars(self))


BARE = Parts()


@dataclass(frozen=True)
class Options:
    """The arguments of a `step`, checked.

    norm_eps: added to the norm before max_norm is divided by it.
    scale: the loss scale, a number. scale_array: the same as an array of one element on a GPU, as
    the backend sees it, in place of the number.
    found_inf_array: an array of one float element on the one GPU of all parameters, as the backend
    sees it; where it is not 0, the step is skipped.
    """

    max_norm: float | None = None
    norm_eps: float = 1e-6
    max_value: float = math.inf
    scale: float | None = None
    scale_array: Any = None
    found_inf_array: Any = None
    scaler: LossScaler | None = None
    skip_nonfinite: bool = False
    zero_grads: bool = False

    @functools.cached_property
    def measures(self) -> bool:
        """Whether all gradients are read before the sweep: for their norm, or for NaN."""
        return self.max_norm is not None or self.skip_nonfinite

    @functools.cached_property
    def on_device(self) -> bool:
        """Whether a step on a GPU depends on numbers that only the GPU has."""
        return self.measures or self.scale_array is not None or self.may_skip

    @functools.cached_property
    def may_skip(self) -> bool:
        """Whether something can make a step change nothing."""
        return self.skip_nonfinite or self.found_inf_array is not None

    def parts(self, average: float | None, on_gpu: bool) -> Parts:
        scales = (self.max_norm, self.scale, self.scale_array, self.scaler)
        return Parts(
            scaled=any(x is not None for x in scales),
            limited=self.max_value < math.inf,
            skippable=self.may_skip and on_gpu,  # on the CPU the sweep is not run at all
            zeroed=self.zero_grads,
            average=average,
        )


PLAIN = Options()


def step_options(
    backend: Backend,
    max_norm: Any,
    max_value: Any,
    loss_scale: Any,
    skip_nonfinite: Any,
    zero_grads: Any,
) -> Options:
    """Options from what `step` was given; raises for what they cannot be."""
    skips, zeroes = flag("skip_nonfinite", skip_nonfinite), flag("zero_grads", zero_grads)
    scale, scale_array, scaler = None, None, None
    if isinstance(loss_scale, LossScaler):
        scaler, skips = loss_scale, True
        if scaler.devices and not backend.on_gpu:
            raise ValueError(
                "this LossScaler has been used on a GPU, where its scale lies now; make another "
                "one for parameters on the CPU"
            )
    elif loss_scale is not None:
        scale_array = backend.scalar(loss_scale, "loss_scale")
        scale = None if scale_array is not None else in_float32("loss_scale", loss_scale)
    return Options(
        max_norm=None if max_norm is None else bound("max_norm", max_norm),
        max_value=math.inf if max_value is None else bound("max_value", max_value),
        scale=scale,
        scale_array=scale_array,
        scaler=scaler,
        skip_nonfinite=skips,
        zero_grads=zeroes,
    )


def bound(name: str, value: Any) -> float:
    """`value` as a float >= 0, or infinity for no bound."""
    number = real(name, value)
    if number < 0:
        raise ValueError(f"{name} must be >= 0, got {number!r}")
    return number


def clip_coefficient(norm: float, max_norm: float | None, norm_eps: float = 1e-6) -> float:
    """What gradients of this norm are multiplied by, so that it is at most `max_norm`.

    As torch.nn.utils.clip_grad_norm_ computes it: max_norm / (norm + 1e-6), at most 1. A norm that
    is NaN gives NaN. With norm_eps=0 as Thinc's NumpyOps: no 1e-6, and a NaN clips nothing.
    """
    if max_norm is None or max_norm == math.inf:
        return 1.0
    if norm_eps == 0:
        return max_norm / norm if norm >= max_norm > 0 else 1.0
    coefficient = max_norm / (norm + norm_eps)
    return coefficient if not coefficient > 1 else 1.0
