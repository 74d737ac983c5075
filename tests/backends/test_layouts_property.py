"""Random shapes, slices and orders: the same numbers as where everything is contiguous."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gpuopt


@st.composite
def views(draw, shape):
    """A view of exactly `shape` into a larger array: axes in any order, with any steps."""
    order = draw(st.permutations(range(len(shape))))
    steps = [draw(st.sampled_from([1, 1, 2, 3, -1, -2])) for _ in shape]
    before = [draw(st.integers(0, 2)) for _ in shape]
    lengths = [n * abs(s) + b for n, s, b in zip(shape, steps, before, strict=True)]
    whole = np.zeros([lengths[k] for k in order], np.float32)
    view = whole.transpose(np.argsort(order))
    cut = tuple(
        slice(b, b + n * abs(s), abs(s)) for n, s, b in zip(shape, steps, before, strict=True)
    )
    flip = tuple(slice(None, None, -1 if s < 0 else 1) for s in steps)
    return whole, view[(..., *cut)][(..., *flip)]


@st.composite
def tensors(draw):
    shape = draw(st.lists(st.integers(0, 9), max_size=4).map(tuple))
    return draw(views(shape)), draw(views(shape))


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(made=st.lists(tensors(), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_any_view_gives_what_contiguous_arrays_give(backend, made, seed):
    rng = np.random.default_rng(seed)
    params, grads, expected, outside = [], [], [], []
    for (whole, p), (_, g) in made:
        whole[...] = 77
        p[...] = rng.normal(size=p.shape)
        g[...] = rng.normal(size=g.shape) + 2
        outside.append((whole, np.count_nonzero(whole == 77) - np.count_nonzero(p == 77)))
        params.append(p)
        grads.append(g)
        expected.append(np.array(p, order="C"))
    options = {"lr": 0.1, "weight_decay": 0.3}
    plain = gpuopt.Adam(expected, backend="numpy", **options)
    opt = gpuopt.Adam([backend.asarray(p) for p in params], backend=backend.name, **options)
    for _ in range(2):
        plain.step([np.array(g, order="C") for g in grads])
        opt.step([backend.asarray(g) for g in grads])
    for p, e, (whole, untouched) in zip(params, expected, outside, strict=True):
        np.testing.assert_allclose(p, e, rtol=2e-6, atol=1e-7)
        assert np.count_nonzero(whole == 77) - np.count_nonzero(p == 77) == untouched
