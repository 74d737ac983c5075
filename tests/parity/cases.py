"""One table of cases for all rules: made from each rule's fields, so a new rule joins by itself."""

import dataclasses
import itertools
from typing import Any

from gpuopt import rules
from gpuopt.backends.numba import UNIT
from gpuopt.backends.numpy import BLOCK

STEPS = 10
SIZES = [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 255, 256, 257]
CHUNKS = sorted({UNIT, BLOCK, 1024})
SIZES += [n for c in CHUNKS for n in (c - 1, c, c + 1, 3 * c + 1)] + [0]

# Fields that switch a term on: the values to try. Others keep their default.
SWITCHES: dict[str, tuple[Any, ...]] = {
    "momentum": (0.0, 0.8),
    "dampening": (0.0, 0.3),
    "lr_decay": (0.0, 0.1),
    "initial_accumulator_value": (0.0, 0.3),
    "lambd": (0.0, 50.0),  # beside a small learning rate
    "t0": (1e6, 3.0),
}
COMMON = {"weight_decay": 0.01}


def switches(cls: type) -> dict[str, tuple[Any, ...]]:
    """What a rule can be told: each flag, and each number that switches a term on."""
    flags = {f.name: (f.default, not f.default) for f in fields(cls) if isinstance(f.default, bool)}
    return flags | {f.name: SWITCHES[f.name] for f in fields(cls) if f.name in SWITCHES}


def fields(cls: type) -> tuple[dataclasses.Field, ...]:
    return dataclasses.fields(cls)


def build(cls: type, options: dict[str, Any]) -> rules.Rule | None:
    """A rule, or None where its flags exclude each other."""
    common = {f.name: COMMON[f.name] for f in fields(cls) if f.name in COMMON}
    try:
        return cls(**{**common, **options})
    except ValueError:
        return None


def every(cls: type) -> list[rules.Rule]:
    """Every combination of a rule's switches."""
    tried = switches(cls)
    made = [
        build(cls, dict(zip(tried, x, strict=True))) for x in itertools.product(*tried.values())
    ]
    return [rule for rule in made if rule is not None]


def chosen(cls: type) -> list[rules.Rule]:
    """Few combinations, since each may be compiled: none, as many as go together, and what is
    missing then. `tests/rules/test_golden.py` runs each switch alone."""
    tried, everything = switches(cls), every(cls)

    def on(rule: rules.Rule) -> int:
        return sum(getattr(rule, name) != values[0] for name, values in tried.items())

    picked = [min(everything, key=on), fullest(cls)]
    for name, (_, value) in tried.items():
        if all(getattr(rule, name) != value for rule in picked):
            picked.append(min((r for r in everything if getattr(r, name) == value), key=on))
    return picked


def fullest(cls: type) -> rules.Rule:
    """The combination with the most switches on."""
    return max(every(cls), key=lambda rule: len(name(rule).split("-")))


def name(rule: rules.Rule) -> str:
    """A short name for a test's id: the switches that are on."""
    tried = switches(type(rule))
    on = [key for key, values in tried.items() if getattr(rule, key) != values[0]]
    return "-".join([type(rule).__name__, *on])
