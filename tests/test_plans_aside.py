"""Steps whose gradients are missing in turns: the plans are kept, and the numbers are right."""

import copy
import weakref

import numpy as np
import pytest

import gpuopt
from gpuopt import stepping

SHAPES = [(7,), (3, 5), (33,), ()]
PATTERNS = [(0, 1, 2, 3), (1, 3), (0, 1, 2), (1, 3), (0, 1, 2, 3), (), (0,)] * 3


@pytest.fixture
def made(monkeypatch):
    """The plans that were made, by which parameters have gradients."""
    found = []

    def make_plan(backend, params, counts, grads, parts):
        found.append(tuple(k for k, g in enumerate(grads) if g is not None))
        return make(backend, params, counts, grads, parts)

    make = stepping.make_plan
    monkeypatch.setattr(stepping, "make_plan", make_plan)
    return found


def arrays(seed):
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape), np.float32) for shape in SHAPES]


@pytest.mark.parametrize("rule", [gpuopt.AdamW, gpuopt.NAdam])
def test_each_parameter_goes_as_if_alone(backend, rule):
    """NAdam carries a number of its own for each parameter."""
    params = [backend.asarray(p) for p in arrays(0)]
    together = rule(params, lr=0.1, weight_decay=0.01, backend=backend.name)
    alone_params = arrays(0)
    alone = [rule(p, lr=0.1, weight_decay=0.01, backend="numpy") for p in alone_params]
    for k, pattern in enumerate(PATTERNS):
        grads = arrays(k + 1)
        mine = [backend.asarray(g) if n in pattern else None for n, g in enumerate(grads)]
        together.step(mine)
        for n in pattern:
            alone[n].step(grads[n])
    for p, q in zip(params, alone_params, strict=True):
        np.testing.assert_allclose(backend.to_numpy(p), q, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rule", [gpuopt.Adam, gpuopt.NAdam])
def test_step_counts_that_parted_in_steps_with_other_options(rule, backend):
    """The plan of the others comes back for the same gradients, whose counts it does not know."""
    params, alone = ([backend.asarray(np.ones(5, np.float32)) for _ in range(2)] for _ in range(2))
    both = rule(params, lr=0.1, backend=backend.name)
    separate = [rule(p, lr=0.1, backend=backend.name) for p in alone]
    for t, (without, options) in enumerate(
        [((), {}), ((1,), {"max_value": 9.0}), ((), {}), ((0,), {"max_value": 9.0}), ((), {})]
    ):
        grads = [backend.asarray(np.full(5, 0.5 + t, np.float32)) for _ in range(2)]
        both.step([None if k in without else g for k, g in enumerate(grads)], **options)
        for k in {0, 1} - {*without}:
            separate[k].step(grads[k], **options)
    assert both.param_steps == {"0": 4, "1": 4}
    for p, q in zip(params, alone, strict=True):
        np.testing.assert_allclose(backend.to_numpy(p), backend.to_numpy(q), rtol=1e-6)


def test_patterns_that_come_again_need_no_new_plan(made):
    opt = gpuopt.Adam(arrays(0), backend="numpy")
    grads = arrays(1)
    for pattern in [(0, 1, 2, 3), (1, 3)] * 6:
        opt.step([g if n in pattern else None for n, g in enumerate(grads)])
    assert made == [(0, 1, 2, 3)]  # tensors without a gradient are left out


def test_a_parameter_whose_first_gradient_comes_late_needs_one_new_plan(made):
    opt = gpuopt.Adam(arrays(0), backend="numpy")
    grads = arrays(1)
    for pattern in [(1, 3), (1,), (0, 1), (3,), (0, 1, 3), (0, 3)] * 3:
        opt.step([g if n in pattern else None for n, g in enumerate(grads)])
    assert made == [(1, 3), (0, 1)]


def test_options_that_come_again_need_no_new_plan(made):
    opt = gpuopt.Adam(arrays(0), backend="numpy")
    for k in range(9):
        opt.step(arrays(k), max_norm=1.0 if k % 3 == 2 else None)
    assert len(made) == 2


def test_no_more_plans_are_kept_than_a_few(cupy_stand_in):
    params = [cupy_stand_in.ndarray(np.zeros(3, np.float32)) for _ in range(12)]
    opt = gpuopt.SGD(params, lr=0.1, backend="cupy")
    g = cupy_stand_in.ndarray(np.ones(3, np.float32))
    for k in range(12):
        opt.step([g if n == k else None for n in range(12)])
    assert len(opt._stepper.aside) == stepping.ASIDE


def test_no_gradient_is_kept_alive(backend):
    params = [backend.asarray(p) for p in arrays(0)]
    opt = gpuopt.Adam(params, backend=backend.name)
    grads = [backend.asarray(g) for g in arrays(1)]
    for _ in range(3):  # a GPU remembers gradients that come again
        opt.step(grads)
    there = weakref.ref(grads[0])
    opt.step([None, *grads[1:]])
    del grads
    assert there() is None


def test_new_state_is_memory_that_a_kept_plan_does_not_know(made):
    """A gradient may not lie in state that was made since."""
    opt = gpuopt.Momentum(arrays(0), lr=0.1, backend="numpy")
    some, others = arrays(1), arrays(2)
    opt.step([*some[:2], None, None])
    opt.step([None, None, *others[2:]])
    inside = opt.state["2"]["v"].ravel()[:7]
    with pytest.raises(ValueError, match="share memory"):
        opt.step([inside, some[1], None, None])


@pytest.mark.parametrize("rule", [gpuopt.Adam, gpuopt.NAdam])
def test_a_plan_that_comes_back_after_a_skipped_step_counts_on(backend, rule):
    """A GPU alone knows that a step was skipped."""
    p, q = np.ones(5, np.float32), backend.asarray(np.ones(5, np.float32))
    plain, opt = rule(p, lr=0.1, backend="numpy"), rule(q, lr=0.1, backend=backend.name)
    for value, skip in [(1.0, True), (np.nan, True), (0.2, False), (-1.0, True), (0.5, True)]:
        g = np.full(5, value, np.float32)
        plain.step(g, skip_nonfinite=skip)
        opt.step(backend.asarray(g), skip_nonfinite=skip)
    np.testing.assert_allclose(backend.to_numpy(q), p, rtol=1e-6)
    assert opt.step_count == plain.step_count == 4


def test_no_gradient_of_a_skipped_step_or_of_another_dtype_is_kept_alive(backend):
    params = [backend.asarray(np.zeros(3, t)) for t in (np.float32, np.float64)]
    opt = gpuopt.SGD(params, lr=0.1, backend=backend.name)
    grads = [backend.asarray(np.full(3, np.nan, t)) for t in (np.float32, np.float64)]
    opt.step([backend.asarray(np.ones(3, t)) for t in (np.float32, np.float64)])
    opt.step(grads, skip_nonfinite=True)
    there = [weakref.ref(g) for g in grads]
    opt.step([grads[0], None])
    opt.step([None, grads[1]])
    opt.step([None, None])
    del grads
    assert [ref() for ref in there] == [None, None]


def test_betas_that_change_between_missing_gradients(backend):
    """Parameters that took as many steps, with other betas, share a row of scalars no longer."""
    p, alone = ([backend.asarray(np.ones(5, np.float32)) for _ in range(2)] for _ in range(2))
    both = gpuopt.NAdam(p, lr=0.1, betas=(0.9, 0.99), backend=backend.name)
    separate = [gpuopt.NAdam(q, lr=0.1, betas=(0.9, 0.99), backend=backend.name) for q in alone]
    first, second, together = (0,), (1,), (0, 1)
    for t, (pattern, beta1) in enumerate(
        [
            (together, 0.9),
            (first, 0.9),
            (second, 0.3),
            (together, 0.6),
            (second, 0.9),
            (first, 0.2),
            (together, 0.5),
        ]
    ):
        for opt in (both, *separate):
            opt.param_groups[0]["betas"] = (beta1, 0.99)
        grads = [backend.asarray(np.full(5, 0.3 + 0.2 * t - k, np.float32)) for k in range(2)]
        both.step([g if k in pattern else None for k, g in enumerate(grads)])
        for k in pattern:
            separate[k].step(grads[k])
        for mine, other in zip(p, alone, strict=True):
            found, expected = backend.to_numpy(mine), backend.to_numpy(other)
            np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert both.param_steps == {"0": 5, "1": 5}


@pytest.mark.parametrize("backend", ["numpy", "numba", "cupy"], indirect=True)
@pytest.mark.parametrize("rule", [gpuopt.Adam, gpuopt.NAdam])
def test_a_copy_made_between_missing_gradients_goes_on_by_itself(rule, backend):
    """Plans that are kept hold addresses of the original's arrays."""
    params = [backend.asarray(x) for x in arrays(0)]
    opt = rule(params, lr=0.1, backend=backend.name)
    patterns = [(0, 1, 2, 3), (1, 3), (0, 1, 2, 3), (1, 3), (0, 2)]

    def steps(one, seed):
        for k, pattern in enumerate(patterns):
            given = [backend.asarray(g) for g in arrays(seed + k)]
            one.step([g if n in pattern else None for n, g in enumerate(given)])

    def bits(mine, one):
        state = [a for buffers in one.state.values() for a in buffers.values()]
        return [backend.to_numpy(a).tobytes() for a in [*mine, *state]]

    steps(opt, 1)
    before = bits(params, opt)
    theirs, other = copy.deepcopy((params, opt))
    assert bits(theirs, other) == before
    steps(other, 50)
    assert bits(params, opt) == before
    assert opt.step_count == len(patterns)
    after = bits(theirs, other)
    assert after != before
    steps(opt, 50)
    assert bits(params, opt) == after
    assert bits(theirs, other) == after
    assert opt.param_steps == other.param_steps


@pytest.mark.parametrize("backend", ["numpy", "numba", "cupy"], indirect=True)
def test_a_copy_made_after_a_skipped_step_has_counted_right(backend):
    p = backend.asarray(np.ones(5, np.float32))
    opt = gpuopt.Adam(p, lr=0.1, backend=backend.name)
    for value in (1.0, np.nan, np.inf):
        opt.step(backend.asarray(np.full(5, value, np.float32)), skip_nonfinite=True)
    q, other = copy.deepcopy((p, opt))
    for one in (other, opt):
        one.step(backend.asarray(np.full(5, 0.5, np.float32)))
        assert one.param_steps == {"0": 2}
    assert backend.to_numpy(q).tobytes() == backend.to_numpy(p).tobytes()
