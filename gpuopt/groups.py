"""Parameter groups: a learning rate and a rule for some of the parameters."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, cast

from gpuopt.checks import non_negative
from gpuopt.rules.base import Rule
from gpuopt.structure import Grouped, OneGroup, Structure, structure_of

Schedule = Callable[[int], float]


def learning_rate(value: Any) -> float | Schedule:
    """A learning rate as given by a user: a finite number >= 0, or a function of the step count."""
    if callable(value):
        return cast(Schedule, value)
    return non_negative("lr", value)


class Group(MutableMapping[str, Any]):
    """Hyper-parameters of some parameters: `group["lr"]`, and every field of the rule.

    Assigning changes the next step; nothing is recompiled for a new number. An assignment that
    would need other state buffers (amsgrad) raises, and leaves the group as it was.
    """

    def __init__(self, rule: Rule, lr: float | Schedule | None, common: "Group | None") -> None:
        self.rule, self._lr, self._common = rule, lr, common
        self.before_change: Callable[[Rule, Rule], None] = lambda old, new: None
        self.after_change: Callable[[], None] = lambda: None

    @property
    def lr(self) -> float | Schedule:
        """The group's own learning rate, or the optimizer's where it names none."""
        if self._lr is None:
            assert self._common is not None
            return self._common.lr
        return self._lr

    @property
    def follows(self) -> bool:
        """Whether the learning rate is the optimizer's."""
        return self._lr is None or self._common is None

    def follow(self) -> None:
        """Take the optimizer's learning rate from now on."""
        if self._common is not None:
            self._lr = None

    def lr_at(self, step: int) -> float:
        """The learning rate of step number `step`, from 1. Raises if a schedule gives no number."""
        lr = self.lr
        if not callable(lr):
            return lr
        try:
            value = non_negative("lr", lr(step))
        except (TypeError, ValueError) as error:
            raise type(error)(f"the schedule's value at step {step}: {error}") from None
        return value

    def __getitem__(self, name: str) -> Any:
        if name == "lr":
            return self.lr
        if name not in fields(self.rule):
            raise unknown_field(self.rule, name)
        return getattr(self.rule, name)

    def __setitem__(self, name: str, value: Any) -> None:
        if name == "lr":
            self.change(self.rule, learning_rate(value))
            return
        new = with_fields(self.rule, {name: value})
        if kept(new) != kept(self.rule):
            raise ValueError(
                f"{name}={value!r} would change the state from {kept(self.rule)} to {kept(new)}; "
                "make a new optimizer"
            )
        self.change(new, self._lr)

    def change(self, rule: Rule, lr: float | Schedule | None) -> None:
        """Take a rule and a learning rate; if somebody who is told raises, neither."""
        before = self.rule, self._lr
        self.before_change(self.rule, rule)
        self.rule, self._lr = rule, lr
        try:
            self.after_change()
        except Exception:
            self.rule, self._lr = before
            raise

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"a hyper-parameter cannot be deleted: {name!r}")

    def __iter__(self) -> Iterator[str]:
        return iter(["lr", *fields(self.rule)])

    def __len__(self) -> int:
        return 1 + len(fields(self.rule))

    def __repr__(self) -> str:
        return f"Group(lr={self.lr!r}, {self.rule!r})"


def fields(rule: Rule) -> tuple[str, ...]:
    """Names of a rule's hyper-parameters."""
    return tuple(f.name for f in dataclasses.fields(rule) if f.init)


def kept(rule: Rule) -> tuple[str, ...]:
    """Names of all that a rule keeps for a parameter: numbers that it carries, and buffers."""
    return (*rule.carried, *rule.state)


def with_fields(rule: Rule, changes: Mapping[str, Any]) -> Rule:
    """The rule with other hyper-parameters. KeyError for one that it does not have."""
    for name in changes:
        if name not in fields(rule):
            raise unknown_field(rule, name)
    return dataclasses.replace(rule, **changes)


def unknown_field(rule: Rule, name: str) -> KeyError:
    known = ", ".join(["lr", *fields(rule)])
    return KeyError(f"{name!r} is no hyper-parameter; {type(rule).__name__} has {known}")


Member = tuple[Any, Group]  # an array and its group


def collect(params: Any, common: Group) -> tuple[Structure, list[Group], list[Member]]:
    """Read `params`: its structure, the groups, and each array with its group."""
    lone = isinstance(params, Mapping) and "params" in params
    structure, entries = structure_of([params] if lone else params)
    if not entries or not all(isinstance(x, Mapping) for x in entries):
        return structure, [common], [(array, common) for array in entries]
    structures, groups, members = [], [], []
    for k, options in enumerate(entries):
        try:
            member, group, arrays = read_group(options, common)
        except (TypeError, ValueError, KeyError) as error:
            raise type(error)(f"group {k}: {error.args[0]}") from None
        structures.append(OneGroup(member))
        groups.append(group)
        members += [(array, group) for array in arrays]
    return structures[0] if lone else Grouped(structures), groups, members


def read_group(options: Mapping[str, Any], common: Group) -> tuple[Structure, Group, list[Any]]:
    """One group `{"params": ..., "lr": ..., <fields of the rule>}`."""
    if "params" not in options:
        raise KeyError(f"it has no 'params', only {', '.join(map(repr, options))}")
    changes = {name: value for name, value in options.items() if name not in ("params", "lr")}
    lr = learning_rate(options["lr"]) if "lr" in options else None
    structure, arrays = structure_of(options["params"])
    return structure, Group(with_fields(common.rule, changes), lr, common), arrays
