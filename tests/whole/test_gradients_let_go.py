"""Gradients are as large as the model: an optimizer keeps none alive that its owner lets go."""

import weakref

import numpy as np
import pytest

import gpuopt

OPTIONS = [
    {},
    {"max_norm": 1.0},
    {"max_value": 1.0, "zero_grads": True},
    {"skip_nonfinite": True},
    {"loss_scale": 2.0, "skip_nonfinite": True, "max_norm": 1.0},
]


def alive(references):
    """Whether each gradient still exists."""
    return [ref() is not None for ref in references]


def gradients(backend, value=1.0):
    return [backend.asarray(np.full(n, value, np.float32)) for n in (7, 3)]


@pytest.mark.parametrize("value", [1.0, np.nan], ids=["taken", "skipped"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_gradient_is_let_go_after_the_step_in_which_it_came(options, value, backend):
    """From its first coming, in every later step, and without waiting for the garbage collector."""
    opt = gpuopt.SGD(gradients(backend), lr=0.1, backend=backend.name)
    for step in range(4):
        grads = gradients(backend, value if step else 1.0)
        there = [weakref.ref(g) for g in grads]
        opt.step(grads, **options)
        del grads
        assert alive(there) == [False, False], f"step {step + 1}"


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_gradient_that_came_twice_is_let_go_when_another_comes(options, backend):
    """On a GPU the optimizer remembers arrays that come again, whose owner keeps them anyway."""
    opt = gpuopt.SGD(gradients(backend), lr=0.1, backend=backend.name)
    grads = gradients(backend)
    for _ in range(3):
        opt.step(grads, **options)
    there = [weakref.ref(g) for g in grads]
    grads = gradients(backend)
    opt.step(grads, **options)
    assert alive(there) == [False, False]


def test_a_gradient_that_is_new_beside_one_that_came_before_is_let_go(backend):
    opt = gpuopt.SGD(gradients(backend), lr=0.1, backend=backend.name)
    same = gradients(backend)[0]
    for step in range(4):
        other = gradients(backend)[1]
        there = weakref.ref(other)
        opt.step([same, other])
        del other
        assert there() is None, f"step {step + 1}"


def test_a_gradient_that_came_twice_is_let_go_when_steps_have_other_options(backend):
    opt = gpuopt.SGD(gradients(backend), lr=0.1, backend=backend.name)
    grads = gradients(backend)
    for _ in range(3):
        opt.step(grads)
    there = [weakref.ref(g) for g in grads]
    grads = gradients(backend)
    opt.step(grads, max_norm=1.0)
    assert alive(there) == [False, False]


@pytest.mark.parametrize("new", [0, 1])
@pytest.mark.parametrize("dtypes", [("f4", "f8"), ("f4", "f4"), ("f8", "f4", "f8")], ids="-".join)
def test_a_gradient_that_is_new_beside_others_that_came_before_is_read(dtypes, new, backend):
    """All are kept here, so that an address that is out of date reads an earlier gradient."""
    params = [np.zeros(3, dtype) for dtype in dtypes]
    opt = gpuopt.SGD([backend.asarray(p) for p in params], lr=1.0, backend=backend.name)
    kept = [[backend.asarray(np.ones(3, dtype)) for dtype in dtypes]]
    for value in (1, 1, 1, 2, 4, 8):
        grads = list(kept[-1])
        grads[new] = backend.asarray(np.full(3, value, dtypes[new]))
        kept.append(grads)
        opt.step(grads)
    expected = [17 if k == new else 6 for k in range(len(params))]
    assert [-p[0] for p in params] == expected
