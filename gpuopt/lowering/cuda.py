"""Printing a traced formula as C++ for CUDA, in place of the one in kernels/sweep.cuh."""

from gpuopt.kernels.launch import flight
from gpuopt.lowering.cuda_text import SIZES, TYPES, expression, operand, print_into
from gpuopt.lowering.program import Program


def module(program: Program, real: str, storage: tuple[str, ...], threads: int, kernel: str) -> str:
    """A whole CUDA source: the text of kernels/<kernel>.cuh with `program` as its formula.

    `real` is the type of element arithmetic and `storage` the type of each array, as NumPy names;
    `threads` is the size of a block. The result includes no file, and `#line` makes compiler errors
    name the file and line that a person would edit.
    """
    printed = formula(program, real, storage, threads)
    return print_into(kernel, f"formula of {program.rule}", printed)


def norm_module(storage: str, threads: int) -> str:
    """The CUDA source of kernels/norm.cuh for gradients of type `storage`, as NumPy names it."""
    return print_into("norm", f"norm of {storage}", norm_formula(storage, threads))


def formula(program: Program, real: str, storage: tuple[str, ...], threads: int) -> str:
    """The part that a sweep is made for; kernels/sweep.cuh shows it for plain gradient descent."""
    width = 16 // SIZES[real]  # as in the sweep
    packs = flight(width * sum(SIZES[s] for s in storage))
    lines = [
        f"using real = {TYPES[real]};",
        f"constexpr int THREADS = {threads}, FLIGHT = {packs};",
        f"constexpr int ARRAYS = {len(program.arrays)}, SCALARS = {len(program.scalars)};",
        "",
        *_formula(program),
        "",
        *_arrays(program, tuple(TYPES[s] for s in storage)),
        "",
        *_lanes(program),
    ]
    return "\n".join(lines) + "\n"


def norm_formula(storage: str, threads: int) -> str:
    """The part that a norm is made for; kernels/norm.cuh shows it for float32."""
    return (
        f"using Storage = {TYPES[storage]};\n"
        f"using Real = {'double' if storage == 'float64' else 'float'};\n"
        f"constexpr int THREADS = {threads}, FLIGHT = {flight(16)};\n"
    )


def _formula(program: Program) -> list[str]:
    """One element: the scalars of a step, and the statements."""
    fields = [f"s_{name}" for name in program.scalars]
    values = [f"{field}(row[{k}])" for k, field in enumerate(fields)]
    separator = ",\n          "
    elements = [
        f"real {'&' * written}{name}"
        for name, written in zip(program.arrays, program.writes, strict=True)
    ]
    body = [
        f"const {'bool' if x.is_truth else 'real'} {x.name} = {expression(x.op, x.args)};"
        for x in program.statements
    ]
    return [
        "struct Formula {",
        *[f"    real {field};" for field in fields],
        "",
        "    explicit __device__ Formula(const real *row)",
        *([f"        : {separator.join(values)}"] if values else []),
        "    {",
        "    }",
        "",
        f"    __device__ void operator()({', '.join(elements)}) const",
        "    {",
        *[f"        {line}" for line in [*body, *_results(program)]],
        "    }",
        "};",
    ]


def _results(program: Program) -> list[str]:
    """Store the results. One that is another array's old value is read before any is stored."""
    reads, stores = [], []
    for target, value in program.results:
        if value in program.arrays and value != target:
            saved = f"t{len(program.statements) + len(reads)}"
            reads.append(f"const real {saved} = {value};")
            value = saved
        if value != target:
            stores.append(f"{target} = {operand(value)};")
    return reads + stores


def _arrays(program: Program, storage: tuple[str, ...]) -> list[str]:
    """Where the arrays of a tensor begin."""
    kinds = [
        f"{'' if written else 'const '}{kind}"
        for kind, written in zip(storage, program.writes, strict=True)
    ]
    named = list(zip(kinds, program.arrays, strict=True))
    both = " &&\n               "
    values = [f"{a}(reinterpret_cast<{kind} *>(row[{k}]))" for k, (kind, a) in enumerate(named)]
    return [
        "struct Arrays {",
        *[f"    {kind} *{a};" for kind, a in named],
        "",
        "    explicit __device__ Arrays(const int64 *row)",
        "        : " + ",\n          ".join(values),
        "    {",
        "    }",
        "",
        "    template <int N> __device__ bool all_aligned(int64 start) const",
        "    {",
        "        return " + both.join(f"aligned<N>({a} + start)" for a in program.arrays) + ";",
        "    }",
        "};",
    ]


def _lanes(program: Program) -> list[str]:
    """N elements of every array: how they are loaded, updated and stored."""
    arrays = list(enumerate(program.arrays))
    stored = [(k, a) for k, a in arrays if program.writes[k]]
    moving = "(const Arrays &arrays, const Place &place)"
    elements = ", ".join(f"{a}.x[lane]" for a in program.arrays)
    return [
        "template <int N> struct Lanes {",
        f"    Pack<real, N> {', '.join(program.arrays)};",
        "",
        f"    template <class Place> __device__ void load{moving}",
        "    {",
        *[f"        {a}.load(arrays.{a} + place({k}));" for k, a in arrays],
        "    }",
        "",
        "    __device__ void update(const Formula &formula)",
        "    {",
        "#pragma unroll",
        "        for (int lane = 0; lane < N; ++lane)",
        f"            formula({elements});",
        "    }",
        "",
        f"    template <class Place> __device__ void store{moving} const",
        "    {",
        *[f"        {a}.store(arrays.{a} + place({k}));" for k, a in stored],
        "    }",
        "};",
    ]
