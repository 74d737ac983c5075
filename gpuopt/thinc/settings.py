"""What a call does, from the numbers that Thinc's optimizer is given."""

import functools
from typing import Any, NamedTuple

from gpuopt.checks import non_negative
from gpuopt.groups import learning_rate
from gpuopt.options import Options
from gpuopt.rules.adam import Adam
from gpuopt.rules.base import Rule
from gpuopt.rules.radam import RAdam
from gpuopt.rules.sgd import SGD
from gpuopt.rules.thinc import EarlyEps, ThincStep


class Settings(NamedTuple):
    """l2: of the weights, is added to the gradient before its norm is taken."""

    rule: Rule
    lr: float
    options: Options
    l2: float


@functools.lru_cache(maxsize=256)
def settings(
    lr: Any,
    l2: Any,
    clip: Any,
    b1: Any,
    b2: Any,
    eps: Any,
    lr_scale: Any,
    decoupled: bool,
    radam: bool,
    averaged: bool,
) -> Settings:
    """The settings for Thinc's numbers. Raises TypeError or ValueError for what they cannot be."""
    lr, l2 = learning_rate(lr * lr_scale), non_negative("L2", l2)
    clip = non_negative("grad_clip", clip)  # 0 clips nothing
    inside = 0.0 if decoupled else l2
    before = inside if clip else 0.0
    rule = ThincStep(rule_of(b1, b2, eps, inside - before, radam), l2 - inside, averaged)
    options = Options(max_norm=clip or None, norm_eps=0.0, zero_grads=True)
    return Settings(one(rule), lr, one(options), before)


@functools.lru_cache(maxsize=256)
def one(value: Any) -> Any:
    """The same object for all that are equal: a step that gets it again looks no closer."""
    return value


def rule_of(b1: Any, b2: Any, eps: Any, l2: Any, radam: bool) -> Rule:
    """Adam, RAdam or gradient descent, with L2 in the gradient."""
    if radam:
        return RAdam(betas=(b1, b2), eps=eps, weight_decay=l2)
    if b2 > 0:
        return EarlyEps(Adam(betas=(b1, b2), eps=eps, weight_decay=l2))
    if b1 > 0:
        raise ValueError(
            f"beta1={b1} with beta2=0 is neither Adam nor gradient descent; give a beta2 > 0, or "
            "both 0 for plain gradient descent"
        )
    return SGD(weight_decay=l2)
