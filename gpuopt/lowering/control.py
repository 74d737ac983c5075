"""Printing a traced `scalars` as C++ for CUDA, in place of the one in kernels/control.cuh."""

from gpuopt.lowering.cuda_text import TYPES, expression, operand, print_into
from gpuopt.lowering.scalars import ScalarsProgram


def module(program: ScalarsProgram, real: str, threads: int) -> str:
    """A whole CUDA source that decides a step and works out its scalars, with `program` as theirs.

    `real` is the type of the table of scalars, as NumPy names it.
    """
    used = {x for s in program.statements for x in s.args} | {x for _, x in program.results}
    knobs = [(k, name) for k, name in enumerate(program.knobs) if name in used]
    carried = [f"c{k}" for k in range(len(program.carried))]
    counts = f"SCALARS = {len(program.results)}, KNOBS = {len(program.knobs)}"
    lines = [
        f"using real = {TYPES[real]};",
        f"constexpr int THREADS = {threads}, {counts}, CARRIED = {len(carried)};",
        "",
        "__device__ void scalars(const double *knobs, double *carried, double t, double factor,",
        "                        double limit, double skip, real *row)",
        "{",
        "    using number = double;",
        *[f"    const number {name} = knobs[{k}];" for k, name in knobs],
        *[f"    const number {name} = carried[{k}];" for k, name in enumerate(carried)],
        *[
            f"    const {'bool' if x.is_truth else 'number'} {x.name} = "
            f"{expression(x.op, x.args, 'number')};"
            for x in program.statements
        ],
        *[
            f"    row[{k}] = real({operand(value, 'number')});"
            for k, (_, value) in enumerate(program.results)
        ],
        *[
            f"    if (skip == 0) carried[{k}] = {operand(value, 'number')};"
            for k, value in enumerate(program.carried)
        ],
        "}",
    ]
    return print_into("control", f"scalars of {program.rule}", "\n".join(lines) + "\n")
