"""A rule's numbers: those of its fields that may change without another kernel."""

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

from gpuopt.rules.base import Rule


def knob_values(rule: Rule) -> list[float]:
    """Every float among the fields of a rule, of rules inside it and of tuples, in order.

    Flags, whole numbers and texts are no knobs: they may decide what the formula is.
    """
    values: list[float] = []
    replace_floats(rule, lambda value: values.append(value))
    return values


def replace_floats(value: Any, make: Callable[[float], Any]) -> Any:
    """`value` with `make(x)` in place of every float x; a rule comes out unchecked."""
    if isinstance(value, Rule):
        new = copy.copy(value)
        for field in dataclasses.fields(value):
            object.__setattr__(new, field.name, replace_floats(getattr(value, field.name), make))
        return new
    if isinstance(value, tuple):
        return tuple(replace_floats(x, make) for x in value)
    return make(float(value)) if isinstance(value, float) else value
