"""Machine instructions an element in the compiled CPU sweeps, for a processor given by name.

    python bench/count_cpu.py x86-64-v3      prints JSON, {case: {figure: count}}

Runs in a process of its own, with NUMBA_CPU_NAME, NUMBA_CPU_FEATURES and an empty GPUOPT_CACHE_DIR:
code that comes out of a cache cannot be looked at.
"""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

AVX2, AVX512 = "x86-64-v3", "x86-64-v4"  # as LLVM names them
SIZES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
STRIDED = " sweep_strided(a, layouts, at, start, count, s)\n"  # left out: dense arrays count
Counts = dict[str, dict[str, float]]


def cases(target: str) -> dict[str, tuple[Any, str]]:
    """What is compiled: by name, a rule and the type of its parameters."""
    from gpuopt import rules
    from tests.without_gpu.cases import RULES

    adam = rules.Adam()
    made: dict[str, tuple[Any, str]] = {
        f"Adam {kind}": (adam, kind) for kind in ("float32", "bfloat16")
    }
    if target == AVX2:
        first = {type(rule): rule for rule in reversed(RULES)}  # one of a kind
        made |= {f"{kind.__name__} float32": (rule, "float32") for kind, rule in first.items()}
        made["centered RMSprop float32"] = rules.RMSprop(centered=True, momentum=0.9), "float32"
        made |= {f"Adam {kind}": (adam, kind) for kind in ("float64", "float16")}
    return made


def count(target: str) -> Counts:
    """In this process, whose environment names the target."""
    from numba import types

    from bench.count_loops import Loop, loops
    from gpuopt.backends.cache import import_source
    from gpuopt.lowering import python as printer
    from gpuopt.lowering.trace import trace

    table, numbers = (types.Array(types.int64, n, "C") for n in (2, 1))

    def compiled(text: str, part: str, real: Any) -> list[Loop]:
        function = getattr(import_source("counted", text), part)
        last = types.Array(real, 2, "C")
        function.compile((types.int64, types.int64, table, table, numbers, last))
        (assembly,) = function.inspect_asm().values()
        return loops(assembly)

    found: Counts = {}
    for name, (rule, kind) in cases(target).items():
        real = "float64" if kind == "float64" else "float32"
        program = trace(rule)
        storage = (kind, kind, *[real] * (len(program.arrays) - 2))
        written = sum(SIZES[x] for x, w in zip(storage, program.writes, strict=True) if w)
        text = printer.module(program, real, storage, "sweep_numba")
        assert STRIDED in text
        turns = compiled(text.replace(STRIDED, " pass\n"), "sweep_chunks", getattr(types, real))
        found[f"{name}, {target}"] = figures([(x.stored / written, x) for x in turns], True)
    for kind in ("float32", "bfloat16", "float16") if target == AVX2 else ():
        turns = compiled(printer.norm(kind), "norm_chunks", types.float64)
        sums = [(x.loaded / SIZES[kind], x) for x in turns if not x.stored]
        found[f"norm of {kind}, {target}"] = figures(sums, False)
    return found


def figures(turns: list[tuple[float, Any]], heaviest: bool) -> dict[str, float]:
    """turns: elements in a turn of a loop, and the loop. LLVM prints a loop several times for cases
    that it tells apart, so what counts is how many kinds there are: another pass is another kind.

    heaviest: whether that loop is the formula's, beside cheaper ones, or the lightest is.
    """
    vectorised = [(loop.instructions / n, loop) for n, loop in turns if n >= 2]
    costs = [cost for cost, _ in vectorised]
    return {
        "machine instructions an element": round(max(costs) if heaviest else min(costs), 3),
        "kinds of vectorised loops": len({(x.loaded, x.stored) for _, x in vectorised}),
    }


if __name__ == "__main__":
    json.dump(count(sys.argv[1]), sys.stdout)
