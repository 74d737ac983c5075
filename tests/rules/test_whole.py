"""A rule with the parts of a whole step around it: what its formula and scalars are."""

import copy
import math
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

import gpuopt
from gpuopt import rules
from gpuopt.lowering.trace import trace
from gpuopt.rules.whole import FACTOR, GAIN, LIMIT, SKIP, WholeStep

EVERYTHING = {
    "scaled": True,
    "limited": True,
    "skippable": True,
    "zeroed": True,
    "average": 0.9,
}


def update(rule, p, g, *state, **given):
    s = SimpleNamespace(**rule.scalars(0.1, given.pop("t", 1), **given))
    arrays = [np.array([x], np.float64) for x in (p, g, *state)]
    return [float(np.asarray(x).reshape(-1)[0]) for x in rule.update(*arrays, s)]


def test_names_of_state_outputs_and_scalars():
    bare = WholeStep(rules.Adam())
    assert (bare.state, bare.outputs) == (("m", "v"), ("p", "m", "v"))
    assert bare.scalars(0.1, 3) == rules.Adam().scalars(0.1, 3)
    whole = WholeStep(rules.Adam(), **EVERYTHING)
    assert whole.state == ("m", "v", "average")
    assert whole.outputs == ("p", "m", "v", "average", "g")
    names = [*rules.Adam().scalars(0.1, 3), FACTOR, LIMIT, SKIP, GAIN]
    assert list(whole.scalars(0.1, 3)) == names


def test_each_part_does_one_thing():
    sgd = rules.SGD()
    assert update(WholeStep(sgd, scaled=True), 1, 8, factor=0.25) == pytest.approx([1 - 0.2])
    assert update(WholeStep(sgd, limited=True), 1, -8, limit=3.0) == pytest.approx([1 + 0.3])
    assert update(WholeStep(sgd, zeroed=True), 1, 8) == pytest.approx([1 - 0.8, 0])
    for skip, p in ((0.0, 0.2), (1.0, 1.0)):
        assert update(WholeStep(sgd, skippable=True), 1, 8, skip=skip) == pytest.approx([p])
    averaged = WholeStep(sgd, average=0.75)
    assert update(averaged, 1, 8, 99.0) == pytest.approx([0.2, 0.2])  # whatever a was
    gain = 0.25 / (1 - 0.75**2)
    assert update(averaged, 1, 8, 3.0, t=2) == pytest.approx([0.2, 3 + gain * (0.2 - 3)])


def test_the_factor_comes_before_the_limit():
    whole = WholeStep(rules.SGD(), scaled=True, limited=True)
    assert update(whole, 0, 100, factor=0.01, limit=3.0) == pytest.approx([-0.1])
    assert update(whole, 0, 1e4, factor=0.01, limit=3.0) == pytest.approx([-0.3])


def test_a_skipped_step_keeps_everything_but_the_gradient():
    whole = WholeStep(rules.Adam(), **EVERYTHING)
    assert update(whole, 1, math.nan, 2, 3, 4, skip=1.0) == [1, 2, 3, 4, 0]


def test_nan_passes_the_limit():
    assert math.isnan(update(WholeStep(rules.SGD(), limited=True), 1, math.nan, limit=1.0)[0])


def test_the_rules_own_dict_of_scalars_is_left_alone():
    shared = {"rate": 0.5}

    @dataclass(frozen=True)
    class Shared(gpuopt.Rule):
        def scalars(self, lr, t):
            return shared

        def update(self, p, g, s):
            return p - s.rate * g

    p = np.ones(3)
    opt = gpuopt.Optimizer(p, Shared(), lr=1.0, average=0.5, backend="numpy")
    for options in ({"max_norm": 1.0}, {}, {"max_value": 1.0}):
        opt.step(np.ones(3), **options)
    assert shared == {"rate": 0.5}


@pytest.mark.parametrize("name", [FACTOR, LIMIT, SKIP, GAIN, "average"])
@pytest.mark.parametrize("where", ["scalar", "buffer"])
def test_names_that_the_whole_step_needs_are_refused(where, name):
    @dataclass(frozen=True)
    class Clash(gpuopt.Rule):
        state = (name,) if where == "buffer" else ()

        def scalars(self, lr, t):
            return {name: lr} if where == "scalar" else {}

        def update(self, p, g, *rest):
            return (p - g, *rest[:-1])

    p = np.ones(3)
    opt = gpuopt.Optimizer(p, Clash(), lr=1.0, backend="numpy")
    opt.step(np.ones(3))  # nothing is around it
    with pytest.raises(ValueError, match=rf"Clash has a buffer or scalar called '{name}'"):
        opt.step(np.ones(3), max_norm=1.0)
    np.testing.assert_array_equal(p, 0)
    assert opt.step_count == 1


def test_a_program_for_each_choice_of_parts_and_one_for_all_numbers():
    """Another decay of the average, like any hyper-parameter, needs no other sweep."""
    choices = [
        {name: value for k, (name, value) in enumerate(EVERYTHING.items()) if n >> k & 1}
        for n in range(32)
    ]
    programs = {trace(WholeStep(rules.Adam(), **parts)) for parts in choices}
    assert len(programs) == 32
    other = trace(WholeStep(rules.Adam(betas=(0.5, 0.6)), **{**EVERYTHING, "average": 0.5}))
    assert other == trace(WholeStep(rules.Adam(), **EVERYTHING))
    assert copy.copy(WholeStep(rules.Adam())) == WholeStep(rules.Adam())
