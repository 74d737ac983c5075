"""Printing what is printed into the Numba CUDA kernels: formulas, and the scalars of a step."""

import numpy as np

from gpuopt.lowering.program import Program
from gpuopt.lowering.python import TEMPLATES, as_tuple, expression, operand, print_into, shared
from gpuopt.lowering.scalars import INPUTS, ScalarsProgram

PACK = 16  # bytes that one instruction moves
ON_GPU = TEMPLATES | {
    "sqrt": "sqrt({0})",
    "exp": "exp({0})",
    "floor": "floor({0})",
    "log": "log({0})",
    "power": "{0} ** {1}",
}


def sweep(program: Program, real: str, storage: tuple[str, ...]) -> str:
    """A module with the kernel `sweep` of a formula, as kernels/sweep_numba_cuda.py shows it."""
    arrays = range(len(program.arrays))
    stores = [k for k in arrays if program.writes[k]]
    size = np.dtype(storage[0]).itemsize
    lanes = range(PACK // size)
    at = [f"at{k}" for k in arrays]
    constants = f"{np.dtype(real).itemsize}, {len(arrays)}, {len(program.scalars)}"
    lines = [
        f"real = {real}",
        f"SIZE, ARRAYS, SCALARS = {constants}",
        *shared(program, storage, "@device", ON_GPU),
        "@device",
        "def visit(a, at, s):",
        f"    new = update({', '.join(f'load(a[{k}], at[{k}], {k})' for k in arrays)}, s)",
        *[f"    store(a[{k}], at[{k}], new[{j}], {k})" for j, k in enumerate(stores)],
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
        *[
            f"    n{lane} = update({', '.join(f'x[{k}][{lane}]' for k in arrays)}, s)"
            for lane in lanes
        ],
        *[
            f"    put_pack(a[{k}], i, {as_tuple(f'n{lane}[{j}]' for lane in lanes)})"
            for j, k in enumerate(stores)
        ],
        "",
        "",
    ]
    return print_into("sweep_numba_cuda", "\n".join(lines))


def norm(storage: str) -> str:
    """A module with the kernel `norm` for gradients of a type."""
    size = np.dtype(storage).itemsize
    lanes = range(PACK // size)
    lines = [
        f"storage = {storage}",
        f"SIZE = {size}",
        "",
        "",
        "@device",
        "def singles(p, i):",
        f"    return {as_tuple(f'p[i + {k}]' for k in lanes)}",
        "",
        "",
        "@device",
        "def squares(x):",
        f"    return {' + '.join(f'x[{k}] * x[{k}]' for k in lanes)}",
        "",
        "",
    ]
    return print_into("norm_numba_cuda", "\n".join(lines))


def control(program: ScalarsProgram, real: str) -> str:
    """A module with the kernel `control` that computes the scalars of a rule."""
    size = np.dtype(real).itemsize
    results = [operand(value, "float64") for _, value in program.results]
    lines = [
        f"real = {real}",
        f"SIZE, KNOBS, SCALARS = {size}, {len(program.knobs)}, {len(program.results)}",
        "",
        "",
        "@device",
        f"def scalars(knobs, {', '.join(INPUTS)}, row):",
        *[f"    {name} = knobs[{k}]" for k, name in enumerate(program.knobs)],
        *[f"    {x.name} = {expression(x, ON_GPU, 'float64')}" for x in program.statements],
        *[f"    row[{k}] = real({value})" for k, value in enumerate(results)],
        "",
        "",
    ]
    return print_into("control_numba_cuda", "\n".join(lines))
