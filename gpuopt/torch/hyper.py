"""The hyper-parameters of torch's param_groups, as rules and learning rates of gpuopt."""

import dataclasses
from typing import Any

import torch

from gpuopt.checks import finite
from gpuopt.groups import Group
from gpuopt.rules.base import Rule


class Settings:
    """gpuopt's group for one of torch's, which stays a plain dict that anybody may write to.

    As in torch, lr is checked for its sign at construction only: LinearLR can end at -2e-18.
    """

    def __init__(self, rule: type[Rule], source: dict[str, Any]) -> None:
        self.rule, self.source = rule, source
        self.given = read(rule, source)
        self.names = ("differentiable", *self.given)
        self.see(self.as_they_stand())
        self.group = Group(made(rule, self.given), finite("lr", self.given["lr"]), None)

    def follow(self, rule: type[Rule]) -> bool:
        """Take over what has changed; False, and nothing done, where that needs other state."""
        raw = self.as_they_stand()
        if rule is self.rule and self.lasting and raw == self.raw:
            return True
        given = read(rule, self.source)
        if rule is self.rule and given == self.given:
            self.see(raw)
            return True
        new, lr = made(rule, given), finite("lr", given["lr"])
        if new.state != self.group.rule.state:
            return False
        self.group.change(new, lr)
        self.rule, self.given = rule, given
        self.see(raw)
        return True

    def see(self, raw: list[Any]) -> None:
        """Remember the values, and whether none of them can change in place."""
        self.raw, self.lasting = raw, is_plain(tuple(raw))

    def as_they_stand(self) -> list[Any]:
        return [self.source.get(name) for name in self.names]


def read(rule: type[Rule], source: dict[str, Any]) -> dict[str, Any]:
    """The fields of a rule that a param_group has, and lr, without tensors."""
    if source.get("differentiable"):
        raise ValueError(
            "differentiable=True: a fused step is not part of autograd's graph; use torch.optim's "
            "own optimizer to differentiate through steps"
        )
    names = (field.name for field in dataclasses.fields(rule) if field.name in source)
    return {name: plain(name, source[name]) for name in ("lr", *names)}


def is_plain(value: Any) -> bool:
    """Whether a value cannot change in place, as tensors and lists can."""
    if type(value) is tuple:
        return all(map(is_plain, value))
    return value is None or type(value) in (int, float, bool)


def plain(name: str, value: Any) -> Any:
    """Tensors of one element as numbers (which waits for a GPU), in tuples as well."""
    if isinstance(value, torch.Tensor):
        if value.numel() != 1:
            raise ValueError(f"{name} must be one number, got a tensor of {tuple(value.shape)}")
        if value.is_cuda and torch.cuda.is_current_stream_capturing():
            raise ValueError(
                f"{name} is a tensor on a GPU, which cannot be read while a step is captured; give "
                "a number (a new one takes effect in the next replay)"
            )
        return value.item()
    if isinstance(value, (tuple, list)):
        return tuple(plain(name, x) for x in value)
    return value


def made(rule: type[Rule], given: dict[str, Any]) -> Rule:
    """The rule with these fields; 0 and 1 are flags where a flag is expected, as in torch."""
    flags = {f.name for f in dataclasses.fields(rule) if isinstance(f.default, bool)}
    fields = {k: bool(v) if k in flags else v for k, v in given.items() if k != "lr"}
    return rule(**fields)
