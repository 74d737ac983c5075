"""Parameter groups: a learning rate and a rule for some of the parameters."""

import dataclasses
import difflib
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, cast

from gpuopt.checks import non_negative
from gpuopt.given import params_of
from gpuopt.rules.base import Rule
from gpuopt.structure import SHOWN, Grouped, Structure, has_name, in_group

Schedule = Callable[[int], float]
RATES = ("learning_rate", "learn_rate", "eta", "alpha", "step_size", "LR")  # opt.lr elsewhere


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

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in ("rule", "_lr", "_common", "before_change", "after_change"):
            raise AttributeError(
                f"a group has no attribute {name!r} to assign; its hyper-parameters are entries: "
                f"group[{name!r}] = ..., of {', '.join(self)}"
            )
        super().__setattr__(name, value)

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


def common_rate(groups: Sequence[Group]) -> float | Schedule:
    """The learning rate of all groups. ValueError, naming groups and rates, where they differ."""
    if not agree(groups):
        raise ValueError(
            f"the groups have different learning rates: {rates(groups)}; read "
            "opt.param_groups[k]['lr'], or assign opt.lr, which sets all groups"
        )
    return groups[0].lr


def agree(groups: Sequence[Group]) -> bool:
    """Whether all groups have the same number or schedule for a learning rate."""
    first = groups[0].lr
    return all(group.lr is first or group.lr == first for group in groups)


def rates(groups: Sequence[Group]) -> str:
    """The learning rate of all groups in words; where they differ, that of each."""
    if agree(groups):
        return repr(groups[0].lr)
    each = [f"{group.lr!r} in group {k}" for k, group in enumerate(groups[:SHOWN])]
    return ", ".join(each) + (", ..." if len(groups) > SHOWN else "")


def set_common_rate(common: Group, groups: Sequence[Group], value: Any) -> None:
    """Give all groups the learning rate `value`, which they follow from now on; if that raises,
    all keep theirs."""
    lr = learning_rate(value)
    before = [group._lr for group in groups]
    try:
        for group in groups:
            group.follow()
        common["lr"] = lr
    except BaseException:
        for group, own in zip(groups, before, strict=True):
            group._lr = own
        raise


def unknown_setting(name: str, groups: Sequence[Group]) -> str:
    """What to say when an attribute is assigned that an optimizer does not have."""
    names = list(dict.fromkeys(field for group in groups for field in group))
    if name == "param_groups":
        return (
            "param_groups cannot be replaced; assign to the groups' entries, as in "
            "opt.param_groups[0]['lr'] = ..., or make a new optimizer"
        )
    if name in names:
        hint = f"it belongs to the groups: opt.param_groups[0][{name!r}] = ..."
    elif name in RATES or difflib.get_close_matches(name, ["lr"]):
        hint = "the learning rate is opt.lr"
    else:
        close = difflib.get_close_matches(name, names)
        hint = f"did you mean opt.param_groups[0][{close[0]!r}]? " if close else ""
        hint += f"The groups have {', '.join(names)}"
    return f"an optimizer has no attribute {name!r}: {hint}; only opt.lr can be assigned"


Member = tuple[Any, Group]  # an array and its group


def collect(params: Any, common: Group) -> tuple[Structure, tuple[Group, ...], list[Member]]:
    """Read `params`: its structure, the groups, and each array with its group."""
    structure, arrays, options = params_of(params)
    if not isinstance(structure, Grouped):
        return structure, (common,), [(array, common) for array in arrays]
    groups, members, rest = [], list[Member](), iter(arrays)
    for k, (given, member) in enumerate(zip(options, structure.members, strict=True)):
        with in_group(k):
            group = read_group(given, common)
        groups.append(group)
        members += [(next(rest), group) for _ in member.keys]
    return structure, tuple(groups), members


def read_group(options: Any, common: Group) -> Group:
    """The settings of one group `{"params": ..., "lr": ..., <fields of the rule>}`."""
    names = [name for name in [*options.keys()] if name not in ("params", "lr")]
    lr = learning_rate(options["lr"]) if has_name(options, "lr") else None
    return Group(with_fields(common.rule, {name: options[name] for name in names}), lr, common)
