"""What all printed CUDA texts have in common: files, marks, types and operations."""

import functools
import math
import re
from importlib import resources

BEGIN, END = "// --- formula ---\n", "// --- end of formula ---\n"

TYPES = {"float16": "float16", "bfloat16": "bfloat16", "float32": "float", "float64": "double"}
SIZES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}  # bytes

TEMPLATES = {
    "negative": "-{0}",
    "sqrt": "op::sqrt({0})",
    "abs": "op::abs({0})",
    "sign": "op::sign({0})",
    "maximum": "op::maximum({0}, {1})",
    "minimum": "op::minimum({0}, {1})",
    "where": "{0} ? {1} : {2}",
    "power": "::pow({0}, {1})",
    "exp": "::exp({0})",
    "log": "::log({0})",
    "floor": "::floor({0})",
    "and": "{0} && {1}",
    "or": "{0} || {1}",
    "not": "!{0}",
}


def print_into(kernel: str, title: str, printed: str) -> str:
    """kernels/<kernel>.cuh with `printed` between its marks; compiler errors call that `title`."""
    file = f"{kernel}.cuh"
    before, rest = _read(file).split(BEGIN)
    shown, after = rest.split(END)
    after_line = (before + BEGIN + shown + END).count("\n") + 1
    return "".join(
        [
            f'#line 1 "{file}"\n',
            re.sub(r'#include "(.*)"\n', functools.partial(_included, file), before),
            f'#line 1 "{title}"\n',
            printed,
            f'#line {after_line} "{file}"\n{after}',
        ]
    )


def _read(file: str) -> str:
    return resources.files("gpuopt.kernels").joinpath(file).read_text("utf-8")


def _included(file: str, include: re.Match[str]) -> str:
    """The text of an included file, in place of a line of `file`."""
    next_line = include.string[: include.end()].count("\n") + 1
    name = include.group(1)
    return f'#line 1 "{name}"\n{_read(name)}#line {next_line} "{file}"\n'


def operand(value: str | float, real: str = "real") -> str:
    """An argument of a statement; literals are of the type `real`."""
    if isinstance(value, str):
        return value
    if math.isfinite(value):
        return f"{real}({value!r})"
    value = "op::nan()" if math.isnan(value) else "-" * (value < 0) + "op::infinity()"
    return f"{real}({value})"


def expression(op: str, args: tuple[str | float, ...], real: str = "real") -> str:
    """A statement's operation in C++."""
    return TEMPLATES.get(op, f"{{0}} {op} {{1}}").format(*(operand(a, real) for a in args))
