"""Printing what is printed into the Numba CUDA kernels: formulas, and the scalars of a step."""

from collections.abc import Iterable

import numpy as np

from gpuopt.lowering.cuda_text import SIZES
from gpuopt.lowering.program import Program
from gpuopt.lowering.python import (
    HALVES,
    TEMPLATES,
    as_tuple,
    expression,
    narrowed,
    operand,
    print_into,
    shared,
    stored_as,
    visited,
    widened,
    without_docstring,
)
from gpuopt.lowering.scalars import INPUTS, ScalarsProgram

PACK = 16  # bytes of a pack of the type of arithmetic
ON_GPU = TEMPLATES | {
    "sqrt": "sqrt({0})",
    "exp": "exp({0})",
    "floor": "floor({0})",
    "log": "log({0})",
    "power": "{0} ** {1}",
}


def conversions(storage: Iterable[str]) -> list[str]:
    """The functions between 16-bit floats and float32, if a type in `storage` needs them."""
    if not set(storage) & set(HALVES):
        return []
    bits = without_docstring("bits_numba_cuda").split("# --- bits ---\n")[1]
    rest = without_docstring("dtypes_numba").split("# --- conversions ---\n")[1]
    return [bits, rest.split("# --- end of conversions ---\n")[0]]


def sweep(program: Program, real: str, storage: tuple[str, ...]) -> str:
    """A module with the kernel `sweep` of a formula, as kernels/sweep_numba_cuda.py shows it."""
    arrays = range(len(program.arrays))
    kinds = list(enumerate(storage))
    stores = [k for k in arrays if program.writes[k]]
    lanes = range(PACK // SIZES[real])
    at = [f"at{k}" for k in arrays]
    constants = f"{SIZES[real]}, {len(arrays)}, {len(program.scalars)}"
    rests = [f"(row[{k}] + start * {SIZES[x]}) % {SIZES[x] * len(lanes)}" for k, x in kinds]
    fetched = [[widened(x, f"x[{k}][{lane}]") for k, x in kinds] for lane in lanes]
    finished = [
        as_tuple(narrowed(storage[k], f"n{lane}[{j}]") for lane in lanes)
        for j, k in enumerate(stores)
    ]
    lines = [
        *conversions(storage),
        f"real = {real}",
        f"SIZE, ARRAYS, SCALARS = {constants}",
        *shared(program, storage, "@device", ON_GPU),
        "@device",
        "def visit(a, at, s):",
        *visited(program, storage, [f"at[{k}]" for k in arrays]),
        "",
        "",
        "@device",
        "def aligned(row, start):",
        f"    return {' | '.join(rests)} == 0",
        "",
        "",
        "@device",
        "def dense(i):",
        f"    return {as_tuple('i' for _ in arrays)}",
        "",
        "",
        "@device",
        "def strided(layout, i):",
        f"    {' = '.join(at)} = int64(0)",
        "    axes, rest = layout[0], uint64(i)",
        "    for axis in range(axes, 0, -1):",
        "        length = uint64(layout[axis])",
        "        place = int64(rest % length)",
        "        rest //= length",
        *[f"        at{k} += place * layout[axis + axes * {k + 1}]" for k in arrays],
        f"    return {as_tuple(at)}",
        "",
        "",
        "@device",
        "def fetch(a, i):",
        f"    return {as_tuple(f'pack(a[{k}], i)' for k in arrays)}",
        "",
        "",
        "@device",
        "def finish(a, i, x, s):",
        *[f"    n{lane} = update({', '.join(fetched[lane])}, s)" for lane in lanes],
        *[f"    put_pack(a[{k}], i, {x})" for k, x in zip(stores, finished, strict=True)],
        "",
        "",
    ]
    return print_into("sweep_numba_cuda", "\n".join(lines))


def norm(storage: str) -> str:
    """A module with the kernel `norm` for gradients of a type."""
    size, real = SIZES[storage], "float32" if storage in HALVES else storage
    lanes = range(PACK // SIZES[real])
    lines = [
        *conversions([storage]),
        f"storage, real = {stored_as(storage)}, {real}",
        f"SIZE, WIDTH = {size}, {len(lanes)}",
        "",
        "",
        "@device",
        "def value(element):",
        f"    return {widened(storage, 'element')}",
        "",
        "",
        "@device",
        "def singles(p, i):",
        f"    return {as_tuple(f'p[i + {k}]' for k in lanes)}",
        "",
        "",
        "@device",
        "def squares(x):",
        f"    return {' + '.join(f'square(x[{k}])' for k in lanes)}",
        "",
        "",
    ]
    return print_into("norm_numba_cuda", "\n".join(lines))


def control(program: ScalarsProgram, real: str) -> str:
    """A module with the kernel `control` that computes the scalars of a rule."""
    size = np.dtype(real).itemsize
    results = [operand(value, "float64") for _, value in program.results]
    carried = [operand(value, "float64") for value in program.carried]
    counts = f"{size}, {len(program.knobs)}, {len(results)}, {len(carried)}"
    lines = [
        f"real = {real}",
        f"SIZE, KNOBS, SCALARS, CARRIED = {counts}",
        "",
        "",
        "@device",
        f"def scalars(knobs, carried, {', '.join(INPUTS)}, row):",
        *[f"    {name} = knobs[{k}]" for k, name in enumerate(program.knobs)],
        *[f"    c{k} = carried[{k}]" for k in range(len(carried))],
        *[f"    {x.name} = {expression(x, ON_GPU, 'float64')}" for x in program.statements],
        *[f"    row[{k}] = real({value})" for k, value in enumerate(results)],
        *["    if skip == 0:"] * bool(carried),
        *[f"        carried[{k}] = {value}" for k, value in enumerate(carried)],
        "",
        "",
    ]
    return print_into("control_numba_cuda", "\n".join(lines))
