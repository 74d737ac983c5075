"""Every call gives what Thinc's gives, to rounding; RAdam what PyTorch's gives."""

import itertools
from typing import Any

import numpy as np
import pytest
import thinc.api as thincs

import gpuopt.thinc as ours
from tests.optional import optional
from tests.thinc.beside import KEY, ROUNDING, arrays, run

FLAGS = list(itertools.product((0.0, 0.1), (True, False), (0.0, 1.0, 16.0), (True, False)))
SCHEDULES: dict[str, Any] = {
    "learn_rate": [0.03, 0.02, 0.01],
    "L2": [0.1, 0.2],
    "grad_clip": [3.0, 2.0, 1.0],
    "beta1": [0.9, 0.8],
    "beta2": [0.99, 0.9],
    "eps": [1e-8, 1e-3],
}


def same_state(opt: Any, theirs: Any) -> None:
    assert opt.nr_update == theirs.nr_update
    for home in ("mom1", "mom2", "averages"):
        found, expected = getattr(opt, home), getattr(theirs, home)
        assert (found or {}).keys() == (expected or {}).keys(), home
        for key, buffer in (found or {}).items():
            np.testing.assert_allclose(buffer.ravel(), expected[key].ravel(), **ROUNDING)


@pytest.mark.parametrize("name", ["Adam", "SGD"])
@pytest.mark.parametrize(("l2", "decoupled", "clip", "averages"), FLAGS)
def test_fifty_calls(name: str, l2: float, decoupled: bool, clip: float, averages: bool) -> None:
    given = {
        "L2": l2,
        "L2_is_weight_decay": decoupled,
        "grad_clip": clip,
        "use_averages": averages,
    }
    opt, theirs = getattr(ours, name)(0.02, **given), getattr(thincs, name)(0.02, **given)
    w, *grads = arrays(1, count=51)
    np.testing.assert_allclose(run(opt, w, grads, 0.5), run(theirs, w, grads, 0.5), **ROUNDING)
    same_state(opt, theirs)


@pytest.mark.parametrize("decoupled", [True, False])
def test_every_schedule(decoupled: bool) -> None:
    given = {**SCHEDULES, "L2_is_weight_decay": decoupled}
    opt, theirs = ours.Optimizer(**given), thincs.Optimizer(**given)
    w, *grads = arrays(2, count=13)
    np.testing.assert_allclose(run(opt, w, grads), run(theirs, w, grads), **ROUNDING)
    same_state(opt, theirs)


def test_eps_is_added_before_the_correction() -> None:
    w, *grads = arrays(3, count=4)
    found = run(ours.Adam(0.1, eps=0.1), w, grads)
    np.testing.assert_allclose(found, run(thincs.Adam(0.1, eps=0.1), w, grads), **ROUNDING)


@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_radam_is_pytorchs(l2: float) -> None:
    torch = optional("torch")
    w, *grads = arrays(4, count=50)
    opt = ours.RAdam(0.04, L2=l2, L2_is_weight_decay=False, grad_clip=0.0, use_averages=False)
    p = torch.from_numpy(w.copy()).requires_grad_()
    theirs = torch.optim.RAdam([p], lr=0.02, weight_decay=l2)
    for g in grads:
        p.grad = torch.from_numpy(g)
        theirs.step()
    np.testing.assert_allclose(run(opt, w, grads, 0.5), p.detach().numpy(), **ROUNDING)


def test_radams_first_step() -> None:
    """By hand: t = 1, m_hat = g, and v is not trusted yet. Thinc's own gives 0.9737."""
    w = np.ones(1, np.float32)
    ours.RAdam(0.1, grad_clip=0.0)(KEY, w, np.full(1, 0.5, np.float32))
    np.testing.assert_allclose(w, 0.95, rtol=1e-6)


def test_no_momentum_is_adam_with_none() -> None:
    w, g = arrays(5, 33, 2)
    found = run(ours.Adam(0.1, beta1=0.0, grad_clip=0.0), w, [g])
    np.testing.assert_allclose(found, w - 0.1 * np.sign(g), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_nan_and_infinity_go_where_thincs_go(value: float, clip: float) -> None:
    w, g = arrays(6, 33, 2)
    g[5] = value
    with np.errstate(all="ignore"):
        expected = run(thincs.Adam(0.1, grad_clip=clip), w, [g])
    np.testing.assert_allclose(run(ours.Adam(0.1, grad_clip=clip), w, [g]), expected, **ROUNDING)


def test_clipping_has_nothing_beside_the_norm() -> None:
    """With PyTorch's 1e-6 the step would be a third shorter."""
    w, g = np.zeros(1, np.float32), np.full(1, 2e-6, np.float32)
    assert run(ours.SGD(1.0, grad_clip=1e-6), w, [g])[0] == pytest.approx(-1e-6, rel=1e-6)
