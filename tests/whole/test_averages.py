"""`average=`: the averaged parameters, reading them, and swapping them in."""

import copy
import pickle

import numpy as np
import pytest

import gpuopt
from gpuopt import rules

DECAY = 0.9


def make(backend, params, average=DECAY):
    return gpuopt.Optimizer(params, rules.AdamW(), lr=0.1, average=average, backend=backend.name)


def arrays(backend, *shapes):
    """The same memory as NumPy's and as the backend's arrays."""
    rng = np.random.default_rng(6)
    mine = [np.asarray(rng.normal(size=s), np.float32) for s in shapes]
    return mine, [backend.asarray(a) for a in mine]


def gradients(backend, params, t):
    rng = np.random.default_rng(t)
    return [backend.asarray(np.asarray(rng.normal(size=p.shape), p.dtype)) for p in params]


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999, 0.999999])
def test_it_is_the_weighted_mean_of_all_steps(decay, backend):
    """Weights decay^(T - t), added up to 1: also where decay^T is next to 1."""
    params, mine = arrays(backend, (), (300,), (4, 5), (0,))
    opt = make(backend, mine, decay)
    seen = [[] for _ in params]
    for t in range(1, 8):
        opt.step(gradients(backend, params, t))
        for k, p in enumerate(params):
            seen[k].append(p.astype("f8"))
        for k, average in enumerate(opt.averaged_params()):
            weights = decay ** np.arange(t - 1, -1, -1.0)
            expected = np.tensordot(weights / weights.sum(), np.array(seen[k]), 1)
            found = backend.to_numpy(average)
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_it_changes_no_bit_of_the_steps(backend):
    params, mine = arrays(backend, (300,), (4, 5))
    others, theirs = arrays(backend, (300,), (4, 5))
    opt, other = make(backend, mine), make(backend, theirs, None)
    for t in range(3):
        opt.step(gradients(backend, params, t))
        other.step(gradients(backend, params, t))
    assert [p.tobytes() for p in params] == [p.tobytes() for p in others]


def test_averages_have_the_structure_of_the_parameters(backend):
    (p, q), (mine, other) = arrays(backend, (3,), (2, 2))
    for params, grads in (
        (mine, lambda g, h: g),
        ([mine, other], lambda g, h: [g, h]),
        ((mine, other), lambda g, h: (g, h)),
        ([{"b": mine}, (other,)], lambda g, h: [{"b": g}, (h,)]),
        ({"b": mine, 7: other}, lambda g, h: {"b": g, 7: h}),
        ([{"params": mine, "lr": 0.5}, {"params": {"q": other}}], lambda g, h: [g, {"q": h}]),
        ({"params": [mine, other]}, lambda g, h: [g, h]),
    ):
        opt = make(backend, params)
        opt.step(grads(*gradients(backend, (p, q), 1)))
        shapes = [tuple(a.shape) for a in opt._structure.flatten(opt.averaged_params())]
        assert shapes == [(3,), (2, 2)][: len(shapes)]
        found, expected = convert(opt.averaged_params(), backend), grads(p, q)
        np.testing.assert_equal(found, expected)  # after one step the average is p
        assert type(found) is type(expected)


def convert(tree, backend):
    if isinstance(tree, dict):
        return {key: convert(x, backend) for key, x in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(convert(x, backend) for x in tree)
    return backend.to_numpy(tree)


def test_they_are_copies(backend):
    params, mine = arrays(backend, (30,))
    opt = make(backend, mine)
    (before,) = opt.averaged_params()  # before the first step: p
    np.testing.assert_array_equal(backend.to_numpy(before), params[0])
    old = params[0].copy()
    opt.step(gradients(backend, params, 1))
    np.testing.assert_array_equal(backend.to_numpy(before), old)
    (first,) = opt.averaged_params()
    kept = backend.to_numpy(first).copy()
    opt.step(gradients(backend, params, 2))
    np.testing.assert_array_equal(backend.to_numpy(first), kept)


def test_with_averages_and_back_bit_for_bit(backend):
    params, mine = arrays(backend, (300,), (6, 4), (5,))
    params[0][7] = np.nan
    opt = make(backend, mine)
    for t in range(3):
        opt.step([*gradients(backend, params[:2], t), None])  # the last has no average yet
    before = [p.tobytes() for p in params]
    values = [backend.to_numpy(a).tobytes() for a in opt.averaged_params()]
    with opt.averages() as nothing:
        assert nothing is None
        assert [p.tobytes() for p in params] == values
        assert values[:2] != before[:2]
        assert values[2] == before[2]
    assert [p.tobytes() for p in params] == before
    with pytest.raises(KeyboardInterrupt):
        interrupted(opt, params)
    assert [p.tobytes() for p in params] == before
    opt.step([*gradients(backend, params[:2], 3), None])
    assert opt.step_count == 4


def interrupted(opt, params):
    with opt.averages():
        params[1][...] = 5  # what happens to them there is forgotten
        raise KeyboardInterrupt


def test_nesting_and_stepping_inside_raise_and_change_nothing(backend):
    params, mine = arrays(backend, (30,))
    opt = make(backend, mine)
    for t in range(2):
        opt.step(gradients(backend, params, t))
    before = params[0].copy()
    with opt.averages():
        inside = params[0].copy()
        for options in ({}, {"max_norm": 1.0}):
            with pytest.raises(RuntimeError, match="step inside `with"):
                opt.step(gradients(backend, params, 2), **options)
        with pytest.raises(RuntimeError, match="swapped in already"), opt.averages():
            pass
        np.testing.assert_array_equal(params[0], inside)
    np.testing.assert_array_equal(params[0], before)
    assert opt.step_count == 2


def test_an_optimizer_without_averages_says_how_to_have_them(backend):
    _, mine = arrays(backend, (3,))
    opt = make(backend, mine, None)
    with pytest.raises(RuntimeError, match=r"keeps no averages; make it with average=0\.999"):
        opt.averaged_params()
    with pytest.raises(RuntimeError, match="keeps no averages"), opt.averages():
        pass


def test_resuming_with_averages_is_bit_exact(backend, tmp_path):
    params, mine = arrays(backend, (100,), (4, 5))
    others = [p.copy() for p in params]
    first = make(backend, mine)
    for t in range(4):
        first.step([*gradients(backend, params[:1], t), None])
        if t == 1:
            first.save(tmp_path / "state")
            for p, q in zip(params, others, strict=True):
                q[...] = p
    second = make(backend, [backend.asarray(q) for q in others])
    second.load(tmp_path / "state")
    for t in (2, 3):
        second.step([*gradients(backend, params[:1], t), None])
    assert [p.tobytes() for p in params] == [q.tobytes() for q in others]
    ours, theirs = first.averaged_params(), second.averaged_params()
    for a, b in zip(ours, theirs, strict=True):
        assert backend.to_numpy(a).tobytes() == backend.to_numpy(b).tobytes()
    for wrong in (None, 0.5):
        with pytest.raises(ValueError, match=rf"saved with average=0.9, .* average={wrong}"):
            make(backend, mine, wrong).load_state_dict(first.state_dict())
    plain = make(backend, mine, None).state_dict()
    with pytest.raises(ValueError, match="saved with average=None"):
        second.load_state_dict(plain)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("backend", ["numpy", "numba"], indirect=True)
def test_a_copy_keeps_its_own_averages(duplicate, backend):
    params, mine = arrays(backend, (30,))
    opt = make(backend, mine)
    opt.step(gradients(backend, params, 1), max_norm=1.0)
    (q,), other = duplicate((mine, opt))
    before = opt.averaged_params()[0].copy()
    other.step(gradients(backend, params, 2))
    np.testing.assert_array_equal(opt.averaged_params()[0], before)
    assert (other.averaged_params()[0] != before).all()
    opt.step(gradients(backend, params, 2))
    np.testing.assert_array_equal(opt.averaged_params()[0], other.averaged_params()[0])
    np.testing.assert_array_equal(params[0], q)
