"""Tracing `scalars`: what a GPU works out from its own step counts."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import gpuopt
from gpuopt import rules
from gpuopt.lowering.scalars import FUNCTIONS, trace_scalars
from gpuopt.rules.knobs import knob_values, replace_floats
from gpuopt.rules.whole import WholeStep
from tests.parity.cases import chosen, name

ARITHMETIC = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
    # Python's own power, as rules take it: NumPy's differs from it in the last place on processors
    # with AVX-512, and 1 - beta^t would show that a thousand times larger.
    "power": lambda x, y: np.float64(float(x) ** float(y)),
}


def evaluate(rule, lr, t, **inputs):
    """The traced program by hand, in float64."""
    program = trace_scalars(rule)
    values: dict[Any, Any] = dict(
        zip(program.knobs, [lr, *knob_values(rule)], strict=True), t=t, **inputs
    )
    values |= {f"c{k}": value for k, value in enumerate(rule.carried.values())}
    for statement in program.statements:
        function = (FUNCTIONS | ARITHMETIC).get(statement.op)
        assert function is not None, statement.op
        with np.errstate(all="ignore"):
            values[statement.name] = function(*(values.get(a, a) for a in statement.args))
    return {key: values.get(value, value) for key, value in program.results}


@pytest.mark.parametrize("rule", [r for cls in rules.ALL for r in chosen(cls)], ids=name)
def test_programs_give_what_python_gives(rule):
    whole = WholeStep(rule, scaled=True, limited=True, skippable=True, average=0.999)
    for t in (1, 2, 1000, 2**31):
        given = {"factor": 0.5, "limit": 3.0, "skip": 1.0}
        assert evaluate(rule, 0.01, t) == rule.scalars(0.01, t)
        found = evaluate(whole, 0.01, t, **given)
        assert list(found.items()) == list(whole.scalars(0.01, t, **given).items())


def test_other_numbers_are_the_same_program():
    same = [rules.Adam(), rules.Adam(betas=(0.5, 0.6), eps=1.0, weight_decay=0.3)]
    assert trace_scalars(same[0]) == trace_scalars(same[1])
    assert knob_values(same[1]) == [0.5, 0.6, 1.0, 0.3]
    assert trace_scalars(WholeStep(same[0])).knobs == trace_scalars(WholeStep(same[1])).knobs


def test_knobs_are_the_floats_in_order():
    momentum = rules.Momentum(beta=0.25)

    @dataclass(frozen=True)
    class Fields(gpuopt.Rule):
        a: float = 1.5
        flag: bool = True
        count: int = 3
        pair: tuple[float, Any] = (2.5, ("x", 3.5))
        inner: Any = momentum
        hidden: float = field(default=4.5, compare=False)

        def scalars(self, lr, t):
            return {}

        def update(self, p, g, s):
            return p

    assert knob_values(Fields()) == [1.5, 2.5, 3.5, 0.25, 0.0, 4.5]
    doubled = replace_floats(Fields(), lambda x: 2 * x)
    assert (doubled.a, doubled.flag, doubled.count, doubled.pair) == (3, True, 3, (5, ("x", 7)))
    assert doubled.inner.beta == 0.5
    assert Fields().a == 1.5


def rule_with(scalars):
    @dataclass(frozen=True)
    class Mine(gpuopt.Rule):
        rate: float = 0.5

        def update(self, p, g, s):
            return p - s.x * g

    Mine.scalars = lambda self, lr, t: {"x": scalars(self, lr, t)}
    Mine.__abstractmethods__ = frozenset()
    return Mine()


CAN = {
    "powers": lambda self, lr, t: lr * self.rate**t + t**-0.5 + 2**t,
    "functions": lambda self, lr, t: np.exp(-t) + np.log(t) + np.floor(t / 3) + np.sqrt(lr),
    "where": lambda self, lr, t: np.where(t > 5, np.minimum(lr, 1 / t), np.maximum(lr, abs(-t))),
    "an if of a knob": lambda self, lr, t: lr if self.rate > 0.25 else t,
    "a constant": lambda self, lr, t: 7,
    "a knob itself": lambda self, lr, t: self.rate,
}


@pytest.mark.parametrize("scalars", CAN.values(), ids=CAN)
def test_what_can_be_worked_out_on_a_gpu(scalars, cupy_stand_in):
    """The program, and the kernel: a step with a norm is the NumPy backend's."""
    rule = rule_with(scalars)
    for t in (1, 7):
        assert evaluate(rule, 0.1, t)["x"] == pytest.approx(float(rule.scalars(0.1, t)["x"]))
    p, q = np.ones(5), np.ones(5)
    ours = gpuopt.Optimizer(cupy_stand_in.ndarray(p), rule, lr=0.1, backend="cupy")
    theirs = gpuopt.Optimizer(q, rule, lr=0.1, backend="numpy")
    for _ in range(7):
        ours.step(cupy_stand_in.ndarray(np.ones(5)), max_norm=1.0)
        theirs.step(np.ones(5), max_norm=1.0)
    np.testing.assert_allclose(p, q, rtol=1e-13)


CANNOT = {
    "an if of the step count": lambda self, lr, t: lr if t < 5 else 0.0,
    "int": lambda self, lr, t: lr / int(t),
    "math": lambda self, lr, t: __import__("math").exp(-t),
    "text": lambda self, lr, t: float(f"{t}"),
    "an index": lambda self, lr, t: (9 * (0.1, 0.2))[t],
    "numpy's other functions": lambda self, lr, t: np.cos(t),
}


@pytest.mark.parametrize("scalars", CANNOT.values(), ids=CANNOT)
def test_what_cannot_steps_plainly_and_says_so_otherwise(scalars, cupy_stand_in):
    rule = rule_with(scalars)
    p, q = np.ones(5), np.ones(5)
    ours = gpuopt.Optimizer(cupy_stand_in.ndarray(p), rule, lr=0.1, average=0.5, backend="cupy")
    theirs = gpuopt.Optimizer(q, rule, lr=0.1, average=0.5, backend="numpy")
    for options in ({}, {"loss_scale": 2.0, "max_value": 1.0, "zero_grads": True}):
        ours.step(cupy_stand_in.ndarray(np.ones(5)), **options)
        theirs.step(np.ones(5), **options)
    np.testing.assert_allclose(p, q, rtol=1e-14)
    before, scaler = p.tobytes(), gpuopt.LossScaler()
    for options in ({"max_norm": 1.0}, {"skip_nonfinite": True}, {"loss_scale": scaler}):
        with pytest.raises(gpuopt.LoweringError, match=r"rule Mine: .* in scalars\(\) cannot be"):
            ours.step(cupy_stand_in.ndarray(np.ones(5)), **options)
        theirs.step(np.ones(5), max_norm=1.0)  # the CPU's host knows it all
    assert p.tobytes() == before
    assert ours.step_count == 2
    assert scaler.state_dict() == {"scale": 65536, "streak": 0}
