"""Printing a traced formula as scalar Python, in place of the one in kernels/sweep_numba.py."""

import functools
import math
import re
from collections.abc import Iterable
from importlib import resources

from gpuopt.lowering.program import Program, Statement

BEGIN, END = "# --- formula ---\n", "# --- end of formula ---\n"
HALVES = ("float16", "bfloat16")  # stored as uint16, and converted on load and on store

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
    return print_into(kernel, formula(program, real, storage))


def print_into(kernel: str, printed: str) -> str:
    """The text of kernels/<kernel>.py and of the files it imports from kernels/, with `printed`
    between its marks. The result imports nothing of gpuopt: a hash of it tells all of its code."""
    before, rest = whole_text(kernel).split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + printed + END + after


def whole_text(kernel: str) -> str:
    """The text of kernels/<kernel>.py, with that of the files it imports from kernels/ in it."""
    names = r"^from gpuopt\.kernels\.(\w+) import (?:\([^)]*\)|.*)\n"
    return re.sub(names, _included, kernel_text(kernel), flags=re.M)


@functools.cache  # a file of the package, which changes with its version only
def kernel_text(kernel: str) -> str:
    """The text of kernels/<kernel>.py."""
    return resources.files("gpuopt.kernels").joinpath(f"{kernel}.py").read_text()


def _included(line: re.Match[str]) -> str:
    """The code of a file that the kernel imports from, without its docstring."""
    return without_docstring(line.group(1))


def without_docstring(kernel: str) -> str:
    return kernel_text(kernel).split('"""\n', 1)[1]


def conversions(storage: Iterable[str]) -> list[str]:
    """The functions between 16-bit floats and float32, if a type in `storage` needs them."""
    return [without_docstring("dtypes_numba")] if set(storage) & set(HALVES) else []


def stored_as(storage: str) -> str:
    """The type of an array's elements, as Numba names it."""
    return "uint16" if storage in HALVES else storage


def widened(storage: str, element: str) -> str:
    """An element that was loaded, as a number to calculate with."""
    return f"widen_{storage}({element})" if storage in HALVES else element


def narrowed(storage: str, value: str) -> str:
    """A number as the element to store."""
    return f"narrow_{storage}({value})" if storage in HALVES else value


def formula(program: Program, real: str, storage: tuple[str, ...]) -> str:
    """The functions that a sweep is made of; kernels/sweep_numba.py shows them for plain SGD."""
    count = range(len(program.arrays))
    mark = "@njit(inline='always')"
    lines = [
        *conversions(storage),
        f"real = {real}",
        *shared(program, storage, mark),
        mark,
        "def visit(a, i, s):",
        *visited(program, storage, ["i"] * len(count)),
        "",
        "",
        mark,
        "def visit_strided(a, origin, step, j, s):",
    ]
    lines += [
        *visited(program, storage, [f"origin[{k}] + j * step[{k}]" for k in count]),
        "",
        "",
        mark,
        "def each(f, layouts, at, i):",  # int64: Numba compiles a function anew for each literal
        f"    return {as_tuple(f'f(layouts, at, np.int64({k}), i)' for k in count)}",
        "",
        "",
    ]
    return "\n".join(lines)


def visited(program: Program, storage: tuple[str, ...], at: list[str]) -> list[str]:
    """Loading the element at a place of each array, updating, and storing."""
    loads = [widened(kind, f"load(a[{k}], {at[k]}, {k})") for k, kind in enumerate(storage)]
    stores = [k for k in range(len(storage)) if program.writes[k]]
    new = [narrowed(storage[k], f"new[{j}]") for j, k in enumerate(stores)]
    return [
        f"    new = update({', '.join(loads)}, s)",
        *[f"    store(a[{k}], {at[k]}, {x}, {k})" for k, x in zip(stores, new, strict=True)],
    ]


def norm(storage: str) -> str:
    """A whole Python module: the text of kernels/norm_numba.py for gradients of a type."""
    lines = [
        *conversions([storage]),
        f"storage, real = {stored_as(storage)}, {'float32' if storage in HALVES else storage}",
        "",
        "",
        "@njit(inline='always')",
        "def value(x):",
        f"    return {widened(storage, 'x')}",
        "",
        "",
    ]
    return print_into("norm_numba", "\n".join(lines))


def shared(
    program: Program, storage: tuple[str, ...], mark: str, templates: dict[str, str] = TEMPLATES
) -> list[str]:
    """The functions that every sweep has, each below `mark`, its decorator."""
    body = [f"    {x.name} = {expression(x, templates)}" for x in program.statements]
    results = (operand(value) for _, value in program.results)
    kinds = map(stored_as, storage)
    return [
        "",
        "",
        mark,
        f"def update({', '.join(program.arrays)}, s):",
        *[f"    s_{name} = s[{k}]" for k, name in enumerate(program.scalars)],
        *body,
        f"    return {as_tuple(results)}",
        "",
        "",
        mark,
        "def scalars(row):",
        f"    return {as_tuple(f'row[{k}]' for k in range(len(program.scalars)))}",
        "",
        "",
        mark,
        "def pointers(row):",
        f"    return {as_tuple(f'pointer(row[{k}], {x})' for k, x in enumerate(kinds))}",
        "",
        "",
    ]


def as_tuple(items: Iterable[str]) -> str:
    return "(" + "".join(f"{x}, " for x in items).rstrip() + ")"


def operand(value: str | float, real: str = "real") -> str:
    """A value's name, or a literal of the type called `real`."""
    if isinstance(value, str):
        return value
    if math.isfinite(value):
        return f"{real}({value!r})"
    return f"{real}(np.nan)" if math.isnan(value) else f"{real}({'-' * (value < 0)}np.inf)"


def expression(
    statement: Statement, templates: dict[str, str] = TEMPLATES, real: str = "real"
) -> str:
    """The right-hand side of a statement."""
    template = templates.get(statement.op, f"{{0}} {statement.op} {{1}}")
    return template.format(*(operand(x, real) for x in statement.args))
