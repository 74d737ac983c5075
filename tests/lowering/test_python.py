"""Formulas printed as Python for Numba."""

import numpy as np
import pytest

from gpuopt import rules
from gpuopt.lowering.python import formula, module
from gpuopt.lowering.trace import trace


def test_a_formula_as_it_is_printed():
    text = formula(trace(rules.SGD(momentum=0.9)), "float32", ("float32",) * 3)
    assert text.startswith(
        """real = float32


@njit(inline='always')
def update(p, g, b, s):
    s_lr = s[0]
    s_weight_decay = s[1]
    s_momentum = s[2]
    s_undamped = s[3]
    t0 = s_weight_decay == real(0.0)
"""
    )
    assert "pointer(row[2], float32)" in text
    assert text.count("store(a[") == 4  # p and b, dense and strided


@pytest.mark.parametrize("cls", rules.ALL)
def test_every_literal_is_typed(cls):
    """A bare 0.5 would make Numba compute in float64."""
    program = trace(cls())
    text = formula(program, "float32", ("float32",) * len(program.arrays))
    body = text[text.index("def update") : text.index("    return")]
    assert "." not in body.replace("real(0.0)", "").replace("real(1.0)", "").replace("np.sqrt", "")


def test_literals_that_are_not_finite():
    from tests.lowering.test_trace import rule_of

    program = trace(rule_of(lambda p, g, s: np.minimum(p, np.inf) + np.where(g > 0, np.nan, -0.5)))
    text = formula(program, "float64", ("float64",) * 2)
    assert "real(np.inf)" in text
    assert "real(np.nan)" in text
    assert "real(-0.5)" in text


def test_the_module_is_the_kernels_file_with_another_formula():
    text = module(trace(rules.Adam()), "float32", ("float32",) * 4, "sweep_numba")
    assert text.count("def update") == 1
    assert "def update(p, g, m, v, s)" in text
    compile(text, "sweep", "exec")
