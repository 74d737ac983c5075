"""Formulas printed as C++: what stands in the source, and what it computes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import gpuopt
from gpuopt import rules
from gpuopt.lowering import cuda, cuda_text
from gpuopt.lowering.trace import trace

SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -2.5, 1e-40, 0.5], np.float32)


@dataclass(frozen=True)
class Plain(gpuopt.Rule):
    """The formula that stands in kernels/sweep.cuh."""

    def scalars(self, lr: Any, t: Any) -> dict[str, Any]:
        return {"lr": lr}

    def update(self, p: Any, g: Any, s: Any) -> Any:
        return p - s.lr * g


def test_the_file_shows_what_is_printed():
    text = cuda_text._read("sweep.cuh")
    shown = text[text.index(cuda_text.BEGIN) + len(cuda_text.BEGIN) : text.index(cuda_text.END)]
    assert cuda.formula(trace(Plain()), "float32", ("float32", "float32"), 256) == shown


def test_the_file_of_the_norm_shows_what_is_printed():
    text = cuda_text._read("norm.cuh")
    shown = text[text.index(cuda_text.BEGIN) + len(cuda_text.BEGIN) : text.index(cuda_text.END)]
    assert cuda.norm_formula("float32", 256) == shown
    assert "#include" not in cuda.norm_module("float64", 256)
    assert "using Storage = double;" in cuda.norm_module("float64", 256)


def test_packs_in_flight_go_by_the_bytes_of_all_arrays():
    few, many = trace(Plain()), trace(rules.Adam())
    for real in ("float32", "float64"):
        assert "FLIGHT = 2;" in cuda.formula(few, real, (real,) * 2, 256)
        assert "FLIGHT = 1;" in cuda.formula(many, real, (real,) * 4, 256)
        assert "FLIGHT = 4;" in cuda.norm_formula(real, 256)
    assert "FLIGHT = 1;" in cuda.formula(few, "float32", ("float64",) * 2, 256)


def test_the_source_includes_no_file():
    program = trace(rules.Adam())
    source = cuda.module(program, "float64", ("float64",) * 4, 256, "sweep")
    assert "#include" not in source
    assert "struct Pack" in source
    assert "using real = double;" in source


def test_literals_are_typed():
    program = trace(rules.Adam())
    printed = cuda.formula(program, "float32", ("float32",) * 4, 256)
    assert "const bool t0 = s_weight_decay == real(0.0);" in printed


FUNCTIONS = {
    "maximum": lambda p, g: np.maximum(p, g),
    "minimum": lambda p, g: np.minimum(p, g),
    "sign": lambda p, g: np.sign(g),
    "abs": lambda p, g: np.abs(g),
    "sqrt": lambda p, g: np.sqrt(g),
    "negative": lambda p, g: -g,
    "where": lambda p, g: np.where(p > g, p, g),
    "logic": lambda p, g: np.where(
        np.logical_and(p > 0, np.logical_not(np.logical_or(g > 1, g < -1))), p + 1, g
    ),
    "power": lambda p, g: p**3 / (g * g),
    "infinity": lambda p, g: np.where(g < np.inf, p, -np.inf),
    "nan": lambda p, g: np.where(g == 0, np.nan, p),
    "a number": lambda p, g: 0.1,
    "the gradient": lambda p, g: g,
}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_answer_as_numpy_does(function, cupy_stand_in):
    @dataclass(frozen=True)
    class Tried(gpuopt.Rule):
        def scalars(self, lr: Any, t: Any) -> dict[str, Any]:
            return {"lr": lr}

        def update(self, p: Any, g: Any, s: Any) -> Any:
            return FUNCTIONS[function](p, g)

    p, g = (np.ascontiguousarray(x).reshape(-1) for x in np.meshgrid(SPECIAL, SPECIAL))
    with np.errstate(all="ignore"):
        expected = np.broadcast_to(np.float32(FUNCTIONS[function](p, g)), p.shape).copy()
    array = cupy_stand_in.ndarray
    gpuopt.Optimizer(array(p), Tried(), lr=0.1, backend="cupy").step(array(g))
    np.testing.assert_array_equal(p, expected)
    zero = expected == 0
    if function not in ("maximum", "minimum"):  # NumPy leaves open which zero those give
        assert (np.signbit(p[zero]) == np.signbit(expected[zero])).all()


def test_results_may_swap_arrays(cupy_stand_in):
    @dataclass(frozen=True)
    class Swap(gpuopt.Rule):
        @property
        def state(self) -> tuple[str, ...]:
            return ("m", "v")

        def scalars(self, lr: Any, t: Any) -> dict[str, Any]:
            return {"lr": lr}

        def update(self, p: Any, g: Any, m: Any, v: Any, s: Any) -> Any:
            return v, p, g

    p, array = np.array([1, 2], np.float32), cupy_stand_in.ndarray
    opt = gpuopt.Optimizer(array(p), Swap(), lr=0.1, backend="cupy")
    opt.step(array(np.array([3, 4], np.float32)))
    assert p.tolist() == [0, 0]
    assert opt.state["0"]["m"].get().tolist() == [1, 2]
    assert opt.state["0"]["v"].get().tolist() == [3, 4]
