"""Whatever a formula reads decides what is run: helpers, class attributes, globals, edited code."""

import types
from dataclasses import dataclass, field

import numpy as np
import pytest

import gpuopt

GAIN = 1.0


@dataclass(frozen=True)
class Descent(gpuopt.Rule):
    """p <- shrink p - lr direction(g)"""

    strength = 1.0

    def scalars(self, lr, t):
        return {"lr": lr, "shrink": 0.5}

    def direction(self, g):
        return g

    def update(self, p, g, s):
        return s.shrink * p - s.lr * self.strength * GAIN * self.direction(g)


@dataclass(frozen=True)
class Signed(Descent):
    def direction(self, g):
        return np.sign(g)


@dataclass(frozen=True)
class Stronger(Descent):
    strength = 3.0


@dataclass(frozen=True)
class Reordered(Descent):
    def scalars(self, lr, t):
        return {"shrink": 0.25, "lr": lr}


@dataclass(frozen=True)
class Hidden(Descent):
    """Rules that differ in `gain` are equal to Python."""

    gain: float = field(default=1.0, compare=False)

    def direction(self, g):
        return self.gain * g


def step(backend, rule, g=4.0, **options):
    p = backend.asarray(np.ones(3, np.float32))
    opt = gpuopt.Optimizer(p, rule, lr=0.125, backend=backend.name)
    opt.step(backend.asarray(np.full(3, g, np.float32)), **options)
    return float(backend.to_numpy(p)[0])


@pytest.mark.parametrize("options", [{}, {"max_norm": np.inf}], ids=["plain", "with a norm"])
def test_a_subclass_runs_its_own_formula(backend, options):
    for rule, expected in (
        (Descent(), 0.5 - 0.5),
        (Signed(), 0.5 - 0.125),
        (Stronger(), 0.5 - 1.5),
        (Reordered(), 0.25 - 0.5),
        (Hidden(), 0.5 - 0.5),
        (Hidden(gain=2.0), 0.5 - 1.0),
        (Descent(), 0.5 - 0.5),
    ):
        assert step(backend, rule, **options) == expected, rule


def test_an_edited_global_is_seen(backend, monkeypatch):
    assert step(backend, Descent()) == 0.0
    monkeypatch.setattr(f"{__name__}.GAIN", 2.0)
    assert step(backend, Descent()) == -0.5


def test_code_that_was_swapped_in_place_is_seen(backend, monkeypatch):
    """As autoreload does it: the function object stays, and has another code."""

    def direction(self, g):
        return 2 * g

    rule = Descent()
    assert step(backend, rule) == 0.0
    monkeypatch.setattr(Descent.direction, "__code__", direction.__code__)
    assert step(backend, rule) == -0.5


def test_groups_with_rules_that_python_takes_for_equal(backend):
    p, q = (backend.asarray(np.ones(3, np.float32)) for _ in range(2))
    groups = [{"params": [p], "gain": 1.0}, {"params": [q], "gain": 2.0}]
    opt = gpuopt.Optimizer(groups, Hidden(), lr=0.125, backend=backend.name)
    g = backend.asarray(np.full(3, 4, np.float32))
    opt.step([[g], [g]])
    assert backend.to_numpy(p)[0] == 0.0
    assert backend.to_numpy(q)[0] == -0.5


def test_a_field_that_is_changed_between_steps_changes_the_formula(backend):
    p = backend.asarray(np.ones(3, np.float32))
    opt = gpuopt.Optimizer(p, Hidden(), lr=0.125, backend=backend.name)
    g = backend.asarray(np.full(3, 4, np.float32))
    opt.step(g)
    opt.param_groups[0]["gain"] = 2.0
    opt.step(g)
    assert backend.to_numpy(p)[0] == -1.0


def test_constants_that_python_takes_for_equal(backend):
    """0.0 and -0.0: of the larger, one is divided by."""

    def rule_with(zero):
        @dataclass(frozen=True)
        class Constant(gpuopt.Rule):
            def scalars(self, lr, t):
                return {"lr": lr}

            def update(self, p, g, s):
                return s.lr / (g * zero)

        return Constant()

    assert step(backend, rule_with(0.0)) == np.inf
    assert step(backend, rule_with(-0.0)) == -np.inf


def test_a_function_of_a_module_that_was_edited_is_seen(backend):
    helpers = types.ModuleType("helpers")
    helpers.direction = lambda g: g

    @dataclass(frozen=True)
    class Helped(gpuopt.Rule):
        def scalars(self, lr, t):
            return {"lr": lr}

        def update(self, p, g, s):
            return p - s.lr * helpers.direction(g)

    assert step(backend, Helped()) == 0.5
    helpers.direction = lambda g: -g
    assert step(backend, Helped()) == 1.5
