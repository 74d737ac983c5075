"""The same kernels in other shapes: threads in a block, packs in flight, chunk length, blocks.

What is tried differs from kernels/launch.py in these numbers only; its own choice is named "own".
"""

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cupy
import numpy as np

from gpuopt import backends, rules
from gpuopt.backends.tables import chunks_of, tables
from gpuopt.bench import cases
from gpuopt.bench.clock import nothing, summary
from gpuopt.bench.clock_gpu import EACH, by_events, by_the_wall
from gpuopt.bench.limits_gpu import limits
from gpuopt.bench.traffic import traffic
from gpuopt.kernels import launch
from gpuopt.lowering import cuda
from gpuopt.lowering.trace import trace
from gpuopt.rules.base import Rule

ONE = cases.one(100_000_000)
SMALL = 100_003  # elements on which all shapes must give the same bits
KINDS: dict[str, tuple[Rule, cases.Shapes]] = {
    "Adam, one tensor of 1e8": (rules.Adam(), ONE),
    "Adam, ResNet-50": (rules.Adam(), cases.resnet50()),
    "SGD, one tensor of 1e8": (rules.SGD(), ONE),
    "AMSGrad, one tensor of 1e8": (rules.Adam(amsgrad=True), ONE),
}


class Shape(NamedTuple):
    threads: int
    flight: int
    chunk: int
    rounds: float  # blocks over those that are resident at once; infinity for one block a chunk


def shapes(quick: bool) -> list[Shape]:
    threads, flights = (128, 256, 512), (1, 2, 4)
    chunks = (8192, 32_768, 131_072) if quick else (2048, 8192, 16_384, 32_768, 65_536, 262_144)
    rounds = (1.0, np.inf) if quick else (1.0, 2.0, np.inf)
    return [Shape(*x) for x in itertools.product(threads, flights, chunks, rounds)]


class Sweep:
    """A rule's kernel over tensors, launched in any shape."""

    def __init__(self, rule: Rule, sizes: Sequence[int]) -> None:
        self.program = trace(rule)
        names = self.program.arrays
        rng = np.random.default_rng(0)
        some = cupy.asarray(rng.random(max(sizes), np.float32) + np.float32(0.1))
        self.tensors = [[some[:n].copy() for _ in names] for n in sizes]
        memory = backends.load("cupy").memory
        table = tables([[memory(a) for a in arrays] for arrays in self.tensors], [0] * len(sizes))
        self.addresses, self.sizes = cupy.asarray(table.tensors), table.sizes
        self.layouts = cupy.asarray(table.layouts)
        scalars = rule.scalars(lr=1e-3, t=10)
        self.row = cupy.asarray(np.array([[scalars[n] for n in self.program.scalars]], np.float32))
        self.elements = int(table.sizes.sum())
        self.traffic = traffic(rule)
        self.bytes = self.elements * self.traffic.bytes

    def kernel(self, threads: int, flight: int) -> Any:
        storage = ("float32",) * len(self.program.arrays)
        text = cuda.module(self.program, "float32", storage, threads, "sweep")
        text, found = re.subn(r"FLIGHT = \d+", f"FLIGHT = {flight}", text, count=1)
        assert found, "kernels/sweep.cuh has no FLIGHT any more"
        return cupy.RawModule(code=text, options=("--std=c++17",)).get_function("sweep")

    def launcher(self, kernel: Any, shape: Shape) -> Callable[[], None]:
        chunks = chunks_of(self.sizes, shape.chunk)
        on_gpu, count = cupy.asarray(chunks), np.int64(len(chunks))
        grid = len(chunks)
        if shape.rounds < np.inf:
            at_once = processors() * resident(kernel, shape.threads)
            grid = min(grid, int(shape.rounds * at_once))
        args = (self.addresses, on_gpu, count, self.layouts, self.row)
        return lambda: kernel((grid,), (shape.threads,), args)


def attributes() -> dict[str, int]:
    return cupy.cuda.Device().attributes


def processors() -> int:
    return attributes()["MultiProcessorCount"]


def resident(kernel: Any, threads: int) -> int:
    """Blocks on a multiprocessor at once."""
    given = -(-kernel.num_regs // launch.REGISTER_UNIT) * launch.REGISTER_UNIT
    by_registers = attributes()["MaxRegistersPerMultiprocessor"] // (given * threads)
    by_threads = attributes()["MaxThreadsPerMultiProcessor"] // threads
    return max(min(by_registers, by_threads), 1)


def own(sweep: Sweep) -> Shape:
    """What gpuopt itself would take."""
    flight = launch.flight(16 * len(sweep.program.arrays))
    chunk = launch.chunk_length(sweep.elements, processors())
    return Shape(launch.BLOCK, flight, chunk, 1.0)


def seconds(run: Callable[[], object], rounds: int = 3) -> dict[str, float]:
    by_the_wall(run, EACH)
    return summary([x for _ in range(rounds) for x in by_events(run, nothing, 2e-4)[0]])


def tried(rule: Rule, tensors: cases.Shapes, quick: bool) -> dict[str, Any]:
    sweep = Sweep(rule, [int(np.prod(shape)) for shape in tensors])
    small = Sweep(rule, [SMALL])
    kernels = {}
    best_copy = {name: seconds(run)["median"] for name, run in limit_of(sweep).items()}
    limit = sweep.bytes / min(best_copy.values()) / 1e9
    rows, bits = [], set()
    todo = [own(sweep), *shapes(quick)]
    for k, shape in enumerate(todo):
        key = shape.threads, shape.flight
        if key not in kernels:
            kernels[key] = sweep.kernel(*key)
            for array in small.tensors[0]:
                array[...] = array * np.float32(0) + np.float32(0.5)
            small.launcher(kernels[key], shape)()
            bits.add(cupy.asnumpy(small.tensors[0][0]).tobytes())
        times = seconds(sweep.launcher(kernels[key], shape))
        speed = sweep.bytes / times["median"] / 1e9
        about = {**shape._asdict(), "registers": kernels[key].num_regs, "own": k == 0}
        about["rounds"] = None if shape.rounds == np.inf else shape.rounds
        rows.append({**about, **times, "gb_per_s": speed, "share": speed / limit})
    again = {name: seconds(run)["median"] for name, run in limit_of(sweep).items()}
    best = sorted(rows, key=lambda row: row["median"])
    print("  own:", brief(rows[0]))
    for row in best[:8]:
        print("     ", brief(row), flush=True)
    assert len(bits) == 1, "two shapes of launch gave different bits"
    return {"limit_gb_per_s": limit, "limits": best_copy, "limits_again": again, "rows": rows}


def limit_of(sweep: Sweep) -> dict[str, Callable[[], object]]:
    """What moves as many bytes as the sweep."""
    arrays = [cupy.empty(sweep.elements, np.float32) for _ in sweep.traffic.reads]
    for array in arrays:
        array[...] = np.float32(0.5)
    return limits(sweep.traffic, arrays)


def brief(row: dict[str, Any]) -> str:
    rounds = "a block a chunk" if row["rounds"] is None else f"{row['rounds']:g} rounds of blocks"
    return (
        f"{row['share']:.1%} of the limit, {row['gb_per_s']:.0f} GB/s: {row['threads']} threads, "
        f"{row['flight']} in flight, chunks of {row['chunk']}, {rounds}, "
        f"{row['registers']} registers"
    )


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    return {
        name: lambda rule=rule, tensors=tensors: tried(rule, tensors, quick)
        for name, (rule, tensors) in KINDS.items()
    }
