"""Printing a traced formula as scalar Python, in place of the one in kernels/sweep_numba.py."""

import math
from importlib import resources

from gpuopt.lowering.program import Program

BEGIN, END = "# --- formula ---\n", "# --- end of formula ---\n"

TEMPLATES = {
    "negative": "-{0}",
    "sqrt": "np.sqrt({0})",
    "abs": "abs({0})",
    "sign": "sign({0})",
    "maximum": "maximum({0}, {1})",
    "minimum": "minimum({0}, {1})",
    "where": "({1} if {0} else {2})",
    "not": "not {0}",
}


def module(program: Program, real: str, storage: tuple[str, ...], kernel: str) -> str:
    """A whole Python module: the text of kernels/<kernel>.py with `program` as its formula.

    `real` is the type of element arithmetic and `storage` the type of each array, as Numba names.
    """
    text = resources.files("gpuopt.kernels").joinpath(f"{kernel}.py").read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + formula(program, real, storage) + END + after


def formula(program: Program, real: str, storage: tuple[str, ...]) -> str:
    """The functions that a sweep is made of; kernels/sweep_numba.py shows them for plain SGD."""
    count = range(len(program.arrays))
    stores = [k for k in count if program.writes[k]]
    body = [f"    {x.name} = {_expression(x.op, x.args)}" for x in program.statements]
    results = ", ".join(_operand(value) for _, value in program.results)
    unpack = [f"    s_{name} = s[{k}]" for k, name in enumerate(program.scalars)]
    lines = [
        f"real = {real}",
        "",
        "",
        "@njit(inline='always')",
        f"def update({', '.join(program.arrays)}, s):",
        *unpack,
        *body,
        f"    return {_tuple([results])}",
        "",
        "",
        "@njit(inline='always')",
        "def scalars(row):",
        f"    return {_tuple(f'row[{k}]' for k in range(len(program.scalars)))}",
        "",
        "",
        "@njit(inline='always')",
        "def pointers(row):",
        f"    return {_tuple(f'pointer(row[{k}], {storage[k]})' for k in count)}",
        "",
        "",
        "@njit(inline='always')",
        "def visit(a, i, s):",
        f"    new = update({', '.join(f'load(a[{k}], i, {k})' for k in count)}, s)",
        *[f"    store(a[{k}], i, new[{j}], {k})" for j, k in enumerate(stores)],
        "",
        "",
        "@njit(inline='always')",
        "def visit_strided(a, origin, step, j, s):",
    ]
    at = [f"origin[{k}] + j * step[{k}]" for k in count]
    lines += [
        f"    new = update({', '.join(f'load(a[{k}], {at[k]}, {k})' for k in count)}, s)",
        *[f"    store(a[{k}], {at[k]}, new[{j}], {k})" for j, k in enumerate(stores)],
        "",
        "",
        "@njit(inline='always')",
        "def each(f, layouts, at, i):",
        f"    return {_tuple(f'f(layouts, at, {k}, i)' for k in count)}",
        "",
        "",
    ]
    return "\n".join(lines)


def _tuple(items) -> str:
    return "(" + "".join(f"{x}, " for x in items).rstrip() + ")"


def _operand(value: str | float) -> str:
    if isinstance(value, str):
        return value
    if math.isfinite(value):
        return f"real({value!r})"
    return "real(np.nan)" if math.isnan(value) else f"real({'-' * (value < 0)}np.inf)"


def _expression(op: str, args: tuple[str | float, ...]) -> str:
    operands = [_operand(a) for a in args]
    if op in TEMPLATES:
        return TEMPLATES[op].format(*operands)
    return f"{operands[0]} {op} {operands[1]}"
