"""Tracing a formula, and the errors for what no kernel can do."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

import gpuopt
from gpuopt.lowering.trace import trace


def rule_of(formula, names=()):
    """A rule with the state buffers `names` whose update is `formula(p, g, *state, s)`."""

    @dataclass(frozen=True)
    class Made(gpuopt.Rule):
        @property
        def state(self):
            return tuple(names)

        def scalars(self, lr, t):
            return {"lr": lr, "t": t}

        def update(self, *args):
            return formula(*args)

    return Made()


def statements(formula, names=()):
    return [
        str(x.name) + " = " + f"{x.op} {x.args}" for x in trace(rule_of(formula, names)).statements
    ]


def test_statements_and_results():
    program = trace(rule_of(lambda p, g, m, s: (p - s.lr * g, 0.5 * m), ["m"]))
    assert [(x.name, x.op, x.args) for x in program.statements] == [
        ("t0", "*", ("s_lr", "g")),
        ("t1", "-", ("p", "t0")),
        ("t2", "*", (0.5, "m")),
    ]
    assert program.results == (("p", "t1"), ("m", "t2"))
    assert program.arrays == ("p", "g", "m")
    assert program.scalars == ("lr", "t")
    assert program.writes == (True, False, True)


def test_an_operation_is_recorded_once():
    assert len(statements(lambda p, g, s: g * g + g * g)) == 2


@pytest.mark.parametrize(
    ("formula", "op"),
    [
        (lambda g: -g, "negative"),
        (lambda g: abs(g), "abs"),
        (lambda g: np.absolute(g), "abs"),
        (lambda g: np.sqrt(g), "sqrt"),
        (lambda g: np.sign(g), "sign"),
        (lambda g: np.maximum(0.0, g), "maximum"),
        (lambda g: np.minimum(g, np.float32(1)), "minimum"),
        (lambda g: 1 - g, "-"),
        (lambda g: 1 / g, "/"),
        (lambda g: np.float64(2) * g, "*"),
        (lambda g: np.array(2.0) + g, "+"),
        (lambda g: np.where(g > 1, g, 0), "where"),
        (lambda g: np.where(np.logical_not(g <= 1), g, 0), "where"),
        (lambda g: np.where(np.logical_and(g < 1, g != 0), g, 0), "where"),
        (lambda g: g**2, "*"),
        (lambda g: np.square(g), "*"),
        (lambda g: np.power(g, 3), "*"),
    ],
)
def test_what_a_formula_may_use(formula, op):
    assert trace(rule_of(lambda p, g, s: formula(g))).statements[-1].op == op


@pytest.mark.parametrize(
    ("formula", "named"),
    [
        (np.exp, "numpy.exp"),
        (np.cbrt, "numpy.cbrt"),
        (lambda g: np.clip(g, -1, 1), "numpy.clip"),
        (np.zeros_like, "numpy.zeros_like"),
        (np.add.reduce, "numpy.add.reduce"),
        (lambda g: np.add(g, 1, out=np.zeros(1)), "numpy.add with out="),
        (np.sum, "numpy.sum"),
        (lambda g: g if g > 0 else -g, "if"),
        (lambda g: max(g, 0.0), "if"),
        (lambda g: (g > 0) and g, "if"),
        (math.sqrt, "math module"),
        (float, "math module"),
        (int, "int"),
        (lambda g: g**0.5, "the power"),
        (lambda g: 2.0**g, r"\*\*"),
        (lambda g: g // 2, "//"),
        (lambda g: g % 2, "%"),
        (lambda g: g @ g, "@"),
        (lambda g: g[0], "subscriptable"),
        (lambda g: g.mean(), "mean"),
        (lambda g: (g > 0) & (g < 1), "&"),
        (lambda g: g + np.ones(3), "ones|array"),
        (lambda g: g + "1", "'1'"),
        (lambda g: g + 1j, "1j"),
        (lambda g: (g > 0) * g, "true or false value as a number"),
        (lambda g: -(g > 0), "true or false value as a number"),
        (lambda g: np.where(g > 0, g > 1, g), "true or false value as a number"),
        (lambda g: g > 0, "true or false value as a number"),
        (lambda g: np.logical_and(g, g > 0), "logical_and of a number"),
        (np.asarray, "array"),
    ],
)
def test_what_a_formula_may_not_use(formula, named):
    with pytest.raises(
        gpuopt.LoweringError, match=rf"rule Made: .*({named}).*numpy\.sqrt, numpy\.abs"
    ):
        trace(rule_of(lambda p, g, s: formula(g)))


def test_a_gradient_assigned_in_place():
    def formula(p, g, s):
        g += p
        return p - g

    with pytest.raises(gpuopt.LoweringError, match=r"in place .*write `g = g \+ x`"):
        trace(rule_of(formula))


@pytest.mark.parametrize("formula", [lambda p, g, m, s: p, lambda p, g, m, s: (p, m, g)])
def test_another_number_of_values(formula, backend):
    opt = gpuopt.Optimizer(
        backend.asarray(np.ones(3)), rule_of(formula, ["m"]), lr=1, backend=backend.name
    )
    with pytest.raises(gpuopt.LoweringError, match=r"update must return \(p, m\), got [13] value"):
        opt.step(backend.asarray(np.ones(3)))


@pytest.mark.parametrize(
    "names",
    [
        [x]
        for x in [
            "p",
            "g",
            "s",
            "t0",
            "float",
            "lambda",
            "1m",
            "s_lr",
            "real",
            "sign",
            "maximum",
            "np",
            "__m",
        ]
    ]
    + [["a b"], ["m", "m"]],
)
def test_names_of_state_that_printed_code_cannot_use(names):
    with pytest.raises(gpuopt.LoweringError, match="taken, reserved or no identifier"):
        trace(rule_of(lambda p, g, *rest: (p, *rest[:-1]), names))


def test_another_lr_or_hyperparameter_is_the_same_program():
    one, two = gpuopt.rules.Adam(eps=1e-3), gpuopt.rules.Adam((0.5, 0.6), 1.0, 0.1)
    assert trace(one) == trace(two)
    assert hash(trace(one)) == hash(trace(two))
    assert trace(one) != trace(gpuopt.rules.Adam(amsgrad=True))


@dataclass(frozen=True)
class Clipped(gpuopt.Rule):
    """Signs, branches, literals, and an argument returned in another's place."""

    @property
    def state(self):
        return ("old", "m")

    def scalars(self, lr, t):
        return {"lr": lr, "first": float(t == 1)}

    def update(self, p, g, old, m, s):
        g = np.where(np.logical_or(abs(g) > 2, g == -1), 1.5 * np.sign(g), g)
        m = np.maximum(0.5 * m, np.minimum(g**2, 3)) / 0.7
        return p - s.lr * g / (m + 1e-3) + 0.1 * np.where(s.first > 0, 0, old), p, m


def test_a_users_rule_is_the_same_everywhere(backend):
    rng = np.random.default_rng(1)
    p, g = rng.normal(size=5000).astype("f4"), 3 * rng.normal(size=5000).astype("f4")
    g[:5] = [0, np.nan, np.inf, -np.inf, -1]
    q, old, m = p.astype("f8"), np.zeros(5000), np.zeros(5000)
    opt = gpuopt.Optimizer(backend.asarray(p), Clipped(), lr=0.1, backend=backend.name)
    for t in range(3):
        opt.step(backend.asarray(g))
        x = g.astype("f8")
        x[np.abs(x) > 2] = 1.5 * np.sign(x[np.abs(x) > 2])
        x[4] = -1.5
        m = np.maximum(0.5 * m, np.minimum(x * x, 3)) / 0.7
        q, old = q - 0.1 * x / (m + 1e-3) + 0.1 * (old if t else 0), q
    np.testing.assert_allclose(p, q, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(backend.to_numpy(opt.state["0"]["old"]), old, rtol=1e-5, atol=1e-5)
    assert np.isnan(p[1])
    assert np.all(np.isfinite(np.delete(p, 1)))


def test_nan_and_signs_in_every_function(backend):
    """As numpy does: NaN if either is NaN, sign(NaN) is NaN, comparisons with NaN are false."""
    values = np.array([np.nan, -np.inf, -2, -0.0, 0.0, 0.5, np.inf], "f4")
    p, g = (x.ravel().copy() for x in np.meshgrid(values, values))
    formulas = [
        lambda a, b: np.maximum(a, b),
        lambda a, b: np.minimum(a, b),
        lambda a, b: np.sign(a) + 0.0 * np.sign(b),
        lambda a, b: np.abs(a) * np.sqrt(np.abs(b)),
        lambda a, b: np.where(np.logical_and(a < b, a != 0), 1.0, np.where(a >= b, 2.0, 3.0)),
        lambda a, b: np.where(np.logical_not(a == b), a / b, -a),
        lambda a, b: np.where(np.logical_or(a > b, b <= 0), a**3, 0.25),
    ]
    results = [f"result{k}" for k in range(len(formulas))]
    rule = rule_of(lambda p, g, *rest: (p, *(formula(p, g) for formula in formulas)), results)
    opt = gpuopt.Optimizer(backend.asarray(p), rule, lr=1, backend=backend.name)
    opt.step(backend.asarray(g))
    for name, formula in zip(results, formulas, strict=True):
        with np.errstate(all="ignore"):
            expected = formula(p, g)
        np.testing.assert_array_equal(backend.to_numpy(opt.state["0"][name]), expected)


def test_only_numpy_runs_a_formula_that_cannot_be_lowered():
    rule = rule_of(lambda p, g, s: p - s.lr * np.tanh(g))
    p = np.zeros(3)
    gpuopt.Optimizer(p, rule, lr=1, backend="numpy").step(np.ones(3))
    np.testing.assert_allclose(p, -np.tanh(1))
    opt = gpuopt.Optimizer(p, rule, lr=1, backend="numba")
    with pytest.raises(gpuopt.LoweringError, match="backend='numpy' runs any formula"):
        opt.step(np.ones(3))
