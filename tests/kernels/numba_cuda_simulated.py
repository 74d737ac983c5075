"""The Numba CUDA kernels in Numba's simulator: run by test_numba_cuda.py, in a process of its own.

Numba decides when it is imported whether it simulates, and the simulator replaces `numba.cuda`.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import pytest

from gpuopt import rules
from gpuopt.backends.memory import Memory
from gpuopt.backends.tables import chunks_of, tables
from gpuopt.lowering import numba_cuda as printer
from gpuopt.lowering.program import Program, Statement
from gpuopt.lowering.trace import trace
from tests.kernels.numba_cuda_launch import REALS, THREADS, address, kernel


def memory(a: np.ndarray) -> Memory:
    return Memory(address(a), a.shape, a.strides, a.dtype, "cpu")


def at_offset(values: np.ndarray, offset: int) -> np.ndarray:
    """`values` in memory that begins `offset` elements after a multiple of 16 bytes."""
    raw = np.empty(values.nbytes + 64, np.uint8)
    start = -address(raw) % 16 + offset * values.itemsize
    placed = raw[start : start + values.nbytes].view(values.dtype)
    placed[:] = values
    return placed


class Swept(NamedTuple):
    """A launch's tensors and what they are expected to hold after it."""

    arrays: list[list[np.ndarray]]
    tensors: np.ndarray
    layouts: np.ndarray
    chunks: np.ndarray


def prepared(arrays: list[list[np.ndarray]], rows: list[int], length: int) -> Swept:
    table, layouts, sizes = tables([[memory(a) for a in xs] for xs in arrays], rows)
    return Swept(arrays, table, layouts, chunks_of(sizes, length).astype(np.int64))


def random_arrays(count: int, real: str, seed: int) -> list[list[np.ndarray]]:
    """Tensors of all layouts: dense, unaligned, transposed against the gradient, strided, empty."""
    rng = np.random.default_rng(seed)

    def new(*shape: int) -> np.ndarray:
        return rng.uniform(0.1, 2, shape).astype(real)

    return [
        [at_offset(new(37), 0) for _ in range(count)],
        [at_offset(new(300), k % 3) for k in range(count)],
        [new(5, 7) if k == 1 else new(7, 5).T for k in range(count)],
        [new(2, 9, 3)[:, ::2] for k in range(count)],
        [new(0) for _ in range(count)],
        [at_offset(new(513), 0) for _ in range(count)],
    ]


def run_sweep(program: Program, swept: Swept, table: np.ndarray, grid: int, folder: Any) -> None:
    real = str(table.dtype)
    text = printer.sweep(program, real, (real,) * len(program.arrays))
    kernel(text, "sweep", folder)[grid, THREADS](
        address(swept.tensors),
        address(swept.chunks),
        len(swept.chunks),
        address(swept.layouts),
        address(table),
    )


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("cls", rules.ALL)
def test_a_sweep_is_the_rule(cls: Any, real: str, tmp_path: Any) -> None:
    options = {"weight_decay": 0.1} if "weight_decay" in cls.__dataclass_fields__ else {}
    rule = cls(**options)
    program = trace(rule)
    arrays = random_arrays(len(program.arrays), real, 0)
    rows = [k % 2 for k in range(len(arrays))]
    table = np.array([list(rule.scalars(lr, 3).values()) for lr in (0.1, 0.02)], real)
    expected = []
    for xs, row in zip(arrays, rows, strict=True):
        s = type("S", (), dict(zip(program.scalars, table[row], strict=True)))()
        new = rule.update(*(x.copy() for x in xs), s)
        stored = dict(zip(rule.outputs, new if isinstance(new, tuple) else (new,), strict=True))
        expected.append(
            [stored.get(name, x.copy()) for name, x in zip(program.arrays, xs, strict=True)]
        )
    run_sweep(program, prepared(arrays, rows, 128), table, 2, tmp_path)
    for xs, ys in zip(arrays, expected, strict=True):
        for x, y in zip(xs, ys, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-6 if real == "float32" else 1e-14)


def test_a_sweep_stores_the_gradient_where_the_program_says(tmp_path: Any) -> None:
    results = (("p", "t0"), ("g", 0.0))
    program = Program("R", ("p", "g"), ("lr",), (Statement("t0", "-", ("p", "g")),), results)
    arrays = random_arrays(2, "float32", 1)
    before = [[x.copy() for x in xs] for xs in arrays]
    swept = prepared(arrays, [0] * len(arrays), 2048)
    run_sweep(program, swept, np.zeros((1, 1), np.float32), 3, tmp_path)
    for (p, g), (old_p, old_g) in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(p, old_p - old_g)
        assert not g.any()


def run_norm(swept: Swept, folder: Any, grid: int = 2) -> np.ndarray:
    partials = np.full((len(swept.chunks), 2), 7.0)
    kernel(printer.norm(str(swept.arrays[0][1].dtype)), "norm", folder)[grid, THREADS](
        address(swept.tensors),
        address(swept.chunks),
        len(swept.chunks),
        address(swept.layouts),
        swept.tensors.shape[1],
        address(partials),
    )
    return partials


@pytest.mark.parametrize("real", REALS)
def test_norm(real: str, tmp_path: Any) -> None:
    arrays = random_arrays(3, real, 2)
    swept = prepared(arrays, [0] * len(arrays), 128)
    partials = run_norm(swept, tmp_path)
    exact = sum(float((xs[1].astype("float64") ** 2).sum()) for xs in arrays)
    assert partials[:, 0].sum() == pytest.approx(exact, rel=1e-6 if real == "float32" else 1e-14)
    assert not partials[:, 1].any()
    assert run_norm(swept, tmp_path, grid=1).tobytes() == partials.tobytes()


def test_norm_has_the_same_bits_wherever_a_gradient_begins(tmp_path: Any) -> None:
    g = np.random.default_rng(3).standard_normal(301).astype(np.float32)
    results = set()
    for offset in range(4):
        arrays = [[g.copy(), at_offset(g, offset)]]
        results.add(run_norm(prepared(arrays, [0], 256), tmp_path).tobytes())
    assert len(results) == 1


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("at", [0, 70, 200])
@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("value", [3e38, math.nan, -math.inf])
def test_norm_of_large_and_not_finite(value: float, strided: bool, at: int, tmp_path: Any) -> None:
    g = np.ones((2, 201), np.float32)
    g[:, at] = value
    g = g[::2, ::2] if strided else g
    arrays = [[np.zeros_like(g), g]]
    partials = run_norm(prepared(arrays, [0], 128), tmp_path)
    assert partials[:, 1].any() == (not math.isfinite(value))
    if math.isfinite(value):
        exact = float((g.astype("float64") ** 2).sum())
        assert partials[:, 0].sum() == pytest.approx(exact, rel=1e-6)


def test_a_launch_without_work_changes_nothing(tmp_path: Any) -> None:
    """It is how a backend compiles a kernel before a step changes anything."""
    nothing = prepared([[np.zeros(0, np.float32)] * 2], [0], 128)
    run_sweep(trace(rules.SGD()), nothing, np.zeros((1, 2), np.float32), 1, tmp_path)
    run_norm(nothing, tmp_path, grid=1)
