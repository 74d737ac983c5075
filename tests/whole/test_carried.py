"""Numbers that a rule carries for each parameter beside its step count: NAdam's product."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

import gpuopt
from gpuopt import rules
from tests.parity.formulas import nadam

RULE = rules.NAdam(betas=(0.8, 0.9), momentum_decay=2.0, weight_decay=0.1)


def product(t):
    return math.prod(0.8 * (1 - 0.96 ** (2 * i) / 2) for i in range(1, t + 1))


def carried(opt):
    return [state.get("mu_product") for state in opt.state_dict()["state"].values()]


def grads(t, n=3):
    return [np.full(9, 0.3 + 0.1 * t - 0.2 * k, np.float32) for k in range(n)]


OPTIONS = [{}, {"max_norm": 9.0}, {"max_norm": 9.0, "skip_nonfinite": True}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_each_parameter_has_its_own(backend, options):
    """One joins late, one misses gradients; a few steps are skipped where that can be."""
    params = [np.ones(9, np.float32) for _ in range(3)]
    opt = gpuopt.Optimizer(
        [backend.asarray(p) for p in params], RULE, lr=0.01, backend=backend.name
    )
    expected, states, taken = [np.ones(9) for _ in params], [{}, {}, {}], [0, 0, 0]
    for t in range(8):
        given = [g if k == 0 or t > 2 * k else None for k, g in enumerate(grads(t))]
        skipped = "skip_nonfinite" in options and t in (3, 6)
        if skipped:
            given[0][4] = np.inf
        opt.step([None if g is None else backend.asarray(g) for g in given], **options)
        for k, g in enumerate(given):
            if g is not None and not skipped:
                taken[k] += 1
                expected[k] = nadam(expected[k], g.astype("f8"), states[k], taken[k], 0.01, RULE)
    for p, q in zip(params, expected, strict=True):
        np.testing.assert_allclose(p, q, rtol=3e-6)
    assert list(opt.param_steps.values()) == taken
    np.testing.assert_allclose(carried(opt), [product(t) for t in taken], rtol=1e-14)


def test_equal_step_counts_may_carry_different_numbers(backend):
    """Two parameters take their first step under other betas, and the second together."""
    params = [np.ones(9, np.float32) for _ in range(2)]
    both, g = [backend.asarray(p) for p in params], backend.asarray(grads(1)[0])
    opt = gpuopt.Optimizer(both, RULE, lr=0.1, backend=backend.name)
    opt.step([g, None])
    opt.param_groups[0]["betas"] = (0.4, 0.9)
    opt.step([None, g])
    opt.param_groups[0]["betas"] = (0.8, 0.9)
    opt.step([g, g])
    assert list(opt.param_steps.values()) == [2, 2]
    np.testing.assert_allclose(carried(opt), [product(2), product(2) / 2], rtol=1e-14)


def test_no_step_carries_nothing(backend):
    opt = gpuopt.NAdam([backend.asarray(p) for p in grads(0, 2)], backend=backend.name)
    assert carried(opt) == [None, None]
    opt.step([backend.asarray(grads(1)[0]), None])
    assert (carried(opt)[0] is None, carried(opt)[1]) == (False, None)
    assert opt.state_dict()["state"]["1"] == {"step": 0}


@pytest.mark.parametrize("way", ["dict", "file"])
def test_a_checkpoint_goes_on_bit_for_bit(backend, way, tmp_path):
    """Betas changed before it, so the product cannot be worked out anew."""
    p, q = np.ones(9, np.float32), np.ones(9, np.float32)
    first = gpuopt.Optimizer(backend.asarray(p), RULE, lr=0.1, backend=backend.name)
    second = gpuopt.Optimizer(backend.asarray(q), RULE, lr=0.1, backend=backend.name)
    for t in range(6):
        first.param_groups[0]["betas"] = (0.8, 0.9) if t % 2 else (0.5, 0.9)
        if t == 3:
            q[:] = p
            if way == "dict":
                saved = first.state_dict()
                assert isinstance(saved["state"]["0"]["mu_product"], float)
                second.load_state_dict(saved)
            else:
                first.save(tmp_path / "state")
                second.load(tmp_path / "state")
        first.step(backend.asarray(grads(t)[0]))
        if t >= 3:
            second.param_groups[0]["betas"] = first.param_groups[0]["betas"]
            second.step(backend.asarray(grads(t)[0]))
    assert p.tobytes() == q.tobytes()
    assert carried(first) == carried(second)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"mu_product": None}, TypeError, r"mu_product of params\[0\] must be a number"),
        ({"mu_product": math.nan}, ValueError, "must be a number, got nan"),
        ({"other": 1.0}, ValueError, r"expected \('mu_product', 'm', 'v'\)"),
    ],
)
def test_a_load_that_fails_changes_nothing(changes, error, message):
    p = np.ones(9)
    opt = gpuopt.Optimizer(p, RULE, lr=0.1, backend="numpy")
    opt.step(np.ones(9))
    before = carried(opt)
    saved = opt.state_dict()
    saved["state"]["0"] |= changes
    opt.step(np.ones(9))
    with pytest.raises(error, match=message):
        opt.load_state_dict(saved)
    assert opt.step_count == 2
    assert carried(opt) == [pytest.approx(product(2))] != before
    saved["state"]["0"] = {"step": 0}
    opt.load_state_dict(saved)
    opt.step(np.ones(9))
    assert carried(opt) == before


def test_initial_values_survive_a_skipped_first_step(backend):
    p = np.ones(9, np.float32)
    rule = rules.Adagrad(initial_accumulator_value=0.5)
    opt = gpuopt.Optimizer(backend.asarray(p), rule, lr=0.1, backend=backend.name)
    opt.step(backend.asarray(np.full(9, np.nan, np.float32)), skip_nonfinite=True)
    assert (p == 1).all()
    opt.step(backend.asarray(np.zeros(9, np.float32)))
    assert (backend.to_numpy(opt.state["0"]["v"]) == 0.5).all()


@dataclass(frozen=True)
class Mine(gpuopt.Rule):
    name: str = "count"
    buffer: str = "m"
    start: str = "m"
    returned: str = "count"

    @property
    def state(self):
        return (self.buffer,)

    @property
    def initial(self):
        return {self.start: 2.0}

    @property
    def carried(self):
        return {self.name: 3.0}

    def scalars(self, lr, t, **before):
        return {"lr": lr, self.returned: before[self.name] + lr}

    def update(self, p, g, m, s):
        return p - s.count * g, m + 1


def test_a_rule_of_ones_own(backend):
    p, q = np.zeros(9, np.float32), np.zeros(9, np.float32)
    both = [backend.asarray(p), backend.asarray(q)]
    opt = gpuopt.Optimizer(both, Mine(), lr=0.5, backend=backend.name)
    for options in ({}, {"max_norm": 100.0}, {}, {"zero_grads": True}):
        opt.step([backend.asarray(np.ones(9, np.float32)) for _ in both], **options)
    np.testing.assert_array_equal(p, -(3.5 + 4 + 4.5 + 5))  # not 3.0 anew in the second
    np.testing.assert_array_equal(p, q)
    assert (backend.to_numpy(opt.state["0"]["m"]) == 6).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "t", "returned": "t"}, "a number called 't'"),
        ({"name": "m", "returned": "m"}, "a number called 'm'"),
        ({"name": "step", "returned": "step"}, "a number called 'step'"),
        ({"returned": "other"}, r"must return the new \['count'\]"),
        ({"start": "v"}, r"initial names \['v'\], but the state is \('m',\)"),
    ],
)
def test_names_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=f"Mine.*{message}"):
        gpuopt.Optimizer(np.ones(3), Mine(**options), lr=0.1, backend="numpy")
