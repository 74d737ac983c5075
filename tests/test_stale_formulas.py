"""Whatever a formula reads decides what runs: methods, class attributes, globals, all fields."""

import os
from dataclasses import dataclass, field

import numpy as np
import pytest

import gpuopt

STRENGTH = 1.0  # read by the formula
BOOST = 1.0  # read by the scalars
# With a norm, a GPU works out the scalars itself. Numba takes a second to compile each formula.
GPU = "numba-cuda" if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1" else "cupy"
QUICK = [("numpy", {}), (GPU, {}), (GPU, {"max_norm": 1e9})]
in_quick_ways = pytest.mark.parametrize(("backend", "options"), QUICK, indirect=["backend"])
in_all_ways = pytest.mark.parametrize(
    ("backend", "options"), [*QUICK, ("numba", {})], indirect=["backend"]
)


def bent(g):
    return g * STRENGTH


def boosted(lr):
    return lr * BOOST


@dataclass(frozen=True)
class Descent(gpuopt.Rule):
    """p - lr g, by way of all that a formula and its scalars may read."""

    mode: str = field(default="plain", compare=False)
    growth: str = field(default="none", compare=False)
    rate: float = field(default=1.0, compare=False)
    share = 1.0
    portion = 1.0

    def scalars(self, lr, t):
        size = boosted(lr) * self.rate * self.portion * self.stretch(t)
        return {"size": 2 * size if self.growth == "double" else size, "unused": 7.0}

    def stretch(self, t):
        return 1.0

    def direction(self, g):
        return bent(g)

    def update(self, p, g, s):
        step = s.size * self.share * self.direction(g)
        return p - (2 * step if self.mode == "double" else step)


@dataclass(frozen=True)
class OtherDirection(Descent):
    def direction(self, g):
        return 3 * g


@dataclass(frozen=True)
class OtherShare(Descent):
    share = 0.5


@dataclass(frozen=True)
class OtherStretch(Descent):
    def stretch(self, t):
        return 4 * t


@dataclass(frozen=True)
class OtherPortion(Descent):
    portion = 0.25


@dataclass(frozen=True)
class OtherOrder(Descent):
    def scalars(self, lr, t):
        return dict(reversed(super().scalars(lr, t).items()))


def moved(backend, rule, **options):
    """How far a first step takes a parameter, for lr = 0.5 and gradients of 4: 2, if plain."""
    p = np.zeros(3)
    opt = gpuopt.Optimizer(backend.asarray(p), rule, lr=0.5, backend=backend.name)
    opt.step(backend.asarray(np.full(3, 4.0)), **options)
    assert p[0] == p[1] == p[2]
    return -p[0]


CHANGES = {
    "a method of the formula": (OtherDirection(), 3),
    "a class attribute of the formula": (OtherShare(), 0.5),
    "a method of the scalars": (OtherStretch(), 4),
    "a class attribute of the scalars": (OtherPortion(), 0.25),
    "the order of the scalars": (OtherOrder(), 1),
    "a field of the formula that is not compared": (Descent(mode="double"), 2),
    "a field of the scalars that is not compared": (Descent(growth="double"), 2),
    "a number that is not compared": (Descent(rate=8.0), 8),
}


@in_all_ways
@pytest.mark.parametrize(("rule", "factor"), CHANGES.values(), ids=CHANGES)
def test_a_rule_that_differs_in_what_it_reads(rule, factor, options, backend):
    assert moved(backend, Descent(), **options) == 2
    assert moved(backend, rule, **options) == 2 * factor
    assert moved(backend, Descent(), **options) == 2


@in_quick_ways
@pytest.mark.parametrize("name", ["STRENGTH", "BOOST", "bent", "boosted"])
def test_a_global_that_was_edited(name, options, backend, monkeypatch):
    assert moved(backend, Descent(), **options) == 2
    new = 5.0 if name.isupper() else lambda x: 5 * x
    monkeypatch.setitem(globals(), name, new)
    assert moved(backend, Descent(), **options) == 10


@in_quick_ways
def test_code_that_was_swapped_in_place(options, backend, monkeypatch):
    """As IPython's autoreload does it: the functions stay, their code is another's."""
    assert moved(backend, Descent(), **options) == 2
    for function in (Descent.direction, Descent.stretch):
        monkeypatch.setattr(function, "__code__", (lambda self, x: 3.0).__code__)
    assert moved(backend, Descent(), **options) == 0.5 * 3 * 3


def two_groups(backend, first, second):
    p = [np.zeros(3), np.zeros(3)]
    groups = [
        {"params": [backend.asarray(x)], **fields}
        for x, fields in zip(p, (first, second), strict=True)
    ]
    opt = gpuopt.Optimizer(groups, Descent(), lr=0.5, backend=backend.name)
    return p, opt, [[backend.asarray(np.full(3, 4.0))] for _ in p]


@in_quick_ways
@pytest.mark.parametrize(
    ("name", "value", "factor"), [("mode", "double", 2), ("growth", "double", 2), ("rate", 8.0, 8)]
)
def test_groups_whose_rules_compare_equal(name, value, factor, options, backend):
    """One of them has the field from the start, then the other one gets it."""
    p, opt, grads = two_groups(backend, {}, {name: value})
    opt.step(grads, **options)
    assert [-x[0] for x in p] == [2, 2 * factor]
    before = opt.param_groups[1][name]
    opt.param_groups[1][name] = opt.param_groups[0][name]
    opt.param_groups[0][name] = before
    opt.step(grads, **options)
    assert [-x[0] for x in p] == [2 + 2 * factor, 2 * factor + 2]


@dataclass(frozen=True)
class Signed(gpuopt.Rule):
    """Two rules, whose programs differ in the sign of a zero alone."""

    zero: str = "0.0"
    of_scalars: bool = False

    def scalars(self, lr, t):
        return {"zero": float(self.zero) if self.of_scalars else 1.0}

    def update(self, p, g, s):
        zero = s.zero if self.of_scalars else float(self.zero)
        return np.minimum(np.maximum(g / zero, -1.0), 1.0)


@in_quick_ways
@pytest.mark.parametrize("of_scalars", [False, True])
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")  # of Numba's simulator
def test_the_sign_of_a_zero_counts(of_scalars, options, backend):
    p = [np.zeros(2), np.zeros(2)]
    groups = [
        {"params": [backend.asarray(x)], "zero": zero}
        for x, zero in zip(p, ("0.0", "-0.0"), strict=True)
    ]
    rule = Signed(of_scalars=of_scalars)
    opt = gpuopt.Optimizer(groups, rule, lr=0.5, backend=backend.name)
    opt.step([[backend.asarray(np.full(2, 4.0))] for _ in p], **options)
    assert [x.tolist() for x in p] == [[1, 1], [-1, -1]]
