"""Steps, structures of parameters, gradients that move, schedules and step counts."""

import numpy as np
import pytest

import gpuopt
from tests.optional import optional


def full(n, value, dtype="f4"):
    return np.full(n, value, dtype)


def test_structures_of_parameters(backend):
    for take in (
        lambda p, q: (p, p),
        lambda p, q: ([p, q], [p, q]),
        lambda p, q: ((p, q), (p, q)),
        lambda p, q: ((x for x in (p, q)), iter([p, q])),
        lambda p, q: ({"b": p, "a": q}, {"a": q, "b": p}),
        lambda p, q: ({1: p}, {1: p}),
        lambda p, q: ([{"params": p}, {"params": {"q": q}}], [p, {"q": q}]),
        lambda p, q: ({"params": [p, q], "lr": 1}, [p, q]),
        lambda p, q: ({"params": {"b": p, "a": q}}, {"params": {"a": q, "b": p}}),
        lambda p, q: ([{"params": p}, {"params": [q]}], [{"params": p}, [q]]),
    ):
        p, q = full(3, 5), full((2, 2), 5)
        params = take(backend.asarray(p), backend.asarray(q))[0]
        grads = take(backend.asarray(full(3, 1)), backend.asarray(full((2, 2), 2)))[1]
        opt = gpuopt.SGD(params, lr=1, backend=backend.name)
        assert opt.step(grads) is None
        assert np.all(p == 4)
        assert np.all(q == (3 if len(opt.param_steps) == 2 else 5))


def test_a_learning_rate_may_be_a_function_of_the_step(backend):
    seen = []

    def schedule(step):
        seen.append(step)
        return 10.0**-step

    p = full(3, 1, "f8")
    opt = gpuopt.SGD(backend.asarray(p), lr=schedule, backend=backend.name)
    for expected in (0.9, 0.89, 0.889):
        opt.step(backend.asarray(full(3, 1, "f8")))
        np.testing.assert_allclose(p, expected, rtol=1e-15)
    assert sorted(set(seen)) == [1, 2, 3]
    assert opt.lr is schedule
    opt.lr = 1
    opt.step(backend.asarray(full(3, 1, "f8")))
    np.testing.assert_allclose(p, -0.111, rtol=1e-14)


def test_step_counts_belong_to_parameters(backend):
    """At its first step, Adam moves every element by lr, however late the parameter joins."""
    p, q = full(3, 1, "f8"), full(3, 1, "f8")
    opt = gpuopt.Adam([backend.asarray(p), backend.asarray(q)], lr=0.5, backend=backend.name)
    g = backend.asarray(full(3, 7, "f8"))
    for _ in range(4):
        opt.step([g, None])
    assert np.all(q == 1)
    assert opt.state["1"] == {}
    opt.step([g, g])
    np.testing.assert_allclose(q, 0.5, rtol=1e-8)
    opt.step([None, g])
    assert opt.param_steps == {"0": 5, "1": 2}
    assert opt.step_count == 6


def test_the_set_of_gradients_may_change_while_their_number_does_not(backend):
    params = [full(n, 0) for n in (3, 3, 3)]
    opt = gpuopt.SGD(
        [backend.asarray(p) for p in params], lr=1, maximize=True, backend=backend.name
    )
    for present in ((0, 1), (1, 2), (0, 2), (0, 2), (1, 2), ()):
        opt.step([backend.asarray(full(3, 1)) if k in present else None for k in range(3)])
    assert [p[0] for p in params] == [3, 3, 4]
    assert list(opt.param_steps.values()) == [3, 3, 4]
    opt.step([None] * 3)
    assert opt.step_count == 7


def test_gradients_may_swap_places(backend):
    """Two gradients of different size, then of one size, lie where the other lay before."""
    room = np.arange(1, 13, dtype="f4")
    p, q = full(4, 0), full(8, 0)
    opt = gpuopt.SGD(
        [backend.asarray(p), backend.asarray(q)], lr=1, maximize=True, backend=backend.name
    )
    opt.step([backend.asarray(room[:4]), backend.asarray(room[4:])])
    opt.step([backend.asarray(room[8:]), backend.asarray(room[:8])])
    np.testing.assert_array_equal(p, room[:4] + room[8:])
    np.testing.assert_array_equal(q, room[4:] + room[:8])
    a, b = full(4, 0), full(4, 0)
    opt = gpuopt.SGD(
        [backend.asarray(a), backend.asarray(b)], lr=1, maximize=True, backend=backend.name
    )
    one, two = backend.asarray(full(4, 1)), backend.asarray(full(4, 2))
    opt.step([one, two])
    opt.step([two, one])
    opt.step([one, one])
    np.testing.assert_array_equal([a[0], b[0]], [4, 4])


def test_an_address_may_be_used_again_by_another_array(backend):
    """Same memory, but other shape, strides or dtype than the step before."""
    room = np.arange(1, 17, dtype="f4")
    p = full((4, 2), 0)
    opt = gpuopt.SGD(backend.asarray(p), lr=1, maximize=True, backend=backend.name)
    views = [room[:8].reshape(4, 2), room[:8].reshape(2, 4).T, room.reshape(4, 4)[:, ::2]]
    for view in views:
        opt.step(backend.asarray(view))
    np.testing.assert_array_equal(p, sum(views))
    before = p.copy()
    for wrong in (room.view("f8").reshape(4, 2), room[:8].reshape(2, 4), room[:8]):
        with pytest.raises(ValueError, match=r"params\[0\]"):
            opt.step(backend.asarray(wrong))
    np.testing.assert_array_equal(p, before)


def test_a_gradient_may_come_to_overlap_a_parameter_later(backend):
    p = full(8, 1)
    opt = gpuopt.SGD(backend.asarray(p), lr=1, backend=backend.name)
    opt.step(backend.asarray(full(8, 1)))
    with pytest.raises(ValueError, match="share memory"):
        opt.step(backend.asarray(p))


def test_parameters_of_several_dtypes_in_one_optimizer(backend):
    params = [full(5, 1, dtype) for dtype in ("f4", "f8", "c8", "f4")]
    opt = gpuopt.Adam([backend.asarray(p) for p in params], lr=0.5, backend=backend.name)
    opt.step([backend.asarray(full(5, 3, p.dtype)) for p in params])
    for p in params:
        np.testing.assert_allclose(p, 0.5, rtol=1e-6)


def test_cpu_tensors_of_pytorch_are_updated_in_place():
    torch = optional("torch")
    for name in ("numpy", "numba", None):
        w = torch.nn.Parameter(torch.ones(4, 3))
        u = torch.ones(2, 5, dtype=torch.float64).T
        address = w.data_ptr()
        opt = gpuopt.SGD({"w": w, "u": u}, lr=0.5, backend=name)
        for _ in range(2):
            w.grad = None
            (w * 2).sum().backward()
            opt.step({"w": w.grad, "u": np.ones((5, 2))})
        assert torch.equal(w.detach(), torch.full((4, 3), -1.0))
        assert torch.equal(u, torch.zeros(5, 2, dtype=torch.float64))
        assert w.data_ptr() == address


def test_it_says_what_it_is(backend):
    opt = gpuopt.Adam([backend.asarray(full(3, 1))] * 1, lr=0.25, backend=backend.name)
    assert opt.backend == backend.name
    assert f"lr=0.25, 1 parameters, {backend.name}" in repr(opt)
    assert opt.rule == gpuopt.rules.Adam()
    assert repr(opt.param_groups[0]).startswith("Group(lr=0.25, Adam(")


def test_a_group_may_be_empty_but_not_all():
    opt = gpuopt.Adam([{"params": []}, {"params": full(3, 1)}], lr=1, backend="numpy")
    opt.step([[], full(3, 1)])
    assert list(opt.param_steps.values()) == [1]
    for nothing in ({}, [], (), iter([]), [{}, []], {"a": {"b": []}}, [{"params": []}] * 2):
        with pytest.raises(ValueError, match="params holds no array"):
            gpuopt.Adam(nothing, backend="numpy")
