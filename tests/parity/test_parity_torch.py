"""The same ten steps in gpuopt and in torch.optim, on the same numbers."""

import numpy as np
import pytest

import gpuopt
from tests.optional import optional

torch = optional("torch")
pytestmark = pytest.mark.usefixtures("double_scalars")

STEPS = 10
SHAPES = [(), (3,), (17, 5), (4, 8, 16), (1025,)]
WD = {"weight_decay": 0.02}
CASES = [
    ("SGD", {"lr": 0.01, **WD}),
    ("SGD", {"lr": 0.01, "momentum": 0.9, "dampening": 0.3, **WD}),
    ("SGD", {"lr": 0.01, "momentum": 0.9, "nesterov": True, "maximize": True, **WD}),
    ("RMSprop", {"lr": 0.01, **WD}),
    (
        "RMSprop",
        {"lr": 0.01, "alpha": 0.9, "centered": True, "momentum": 0.8, "maximize": True, **WD},
    ),
    ("Adam", {"lr": 0.01, **WD}),
    (
        "Adam",
        {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-4, "amsgrad": True, "maximize": True, **WD},
    ),
    ("AdamW", {"lr": 0.01, **WD}),
    ("AdamW", {"lr": 0.01, "amsgrad": True, "maximize": True, "weight_decay": 0.1}),
    ("NAdam", {"lr": 0.01, "decoupled_weight_decay": True, "maximize": True, **WD}),
    ("RAdam", {"lr": 0.01, "decoupled_weight_decay": True, "maximize": True, **WD}),
    ("Adamax", {"lr": 0.01, "maximize": True, **WD}),
    ("Adagrad", {"lr": 0.01, "lr_decay": 0.1, "maximize": True, **WD}),
    ("Adadelta", {"lr": 0.01, "maximize": True, **WD}),
    ("Rprop", {"lr": 0.01, "etas": (0.4, 1.3), "step_sizes": (5e-3, 0.02), "maximize": True}),
    ("ASGD", {"lr": 0.01, "lambd": 0.5, "t0": 3, "maximize": True, **WD}),
]
TRIED = [(case, np.float32) for case in range(len(CASES))]
# In float64 only the fullest: every case of a dtype is another program to compile.
TRIED += [(case, np.float64) for case, (_, options) in enumerate(CASES) if "maximize" in options]
IDS = ["-".join([CASES[c][0], *list(CASES[c][1])[1:-1], dtype.__name__]) for c, dtype in TRIED]


def start(dtype):
    rng = np.random.default_rng(3)
    draw = lambda shape: np.asarray(rng.normal(size=shape) + np.sign(rng.normal()) * 2, dtype)  # noqa: E731
    return [draw(s) for s in SHAPES], [[draw(s) for s in SHAPES] for _ in range(STEPS)]


def compare(backend, case, dtype, has_gradient):
    rule, options = CASES[case]
    params, grads = start(dtype)
    theirs = [torch.tensor(p, requires_grad=True) for p in params]
    mine = [backend.asarray(p) for p in params]
    opt = getattr(gpuopt, rule)(mine, backend=backend.name, **options)
    peer = getattr(torch.optim, rule)(theirs, foreach=False, **options)
    for t in range(STEPS):
        given = [backend.asarray(g) if has_gradient(t, k) else None for k, g in enumerate(grads[t])]
        for k, q in enumerate(theirs):
            q.grad = torch.tensor(grads[t][k]) if has_gradient(t, k) else None
        opt.step(given)
        peer.step()
    for p, q in zip(mine, theirs, strict=True):
        # Some thirty roundings a step on either side, of numbers around one.
        tolerance = 30 * STEPS * np.finfo(dtype).eps
        expected = q.detach().numpy()
        np.testing.assert_allclose(backend.to_numpy(p), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("case", "dtype"), TRIED, ids=IDS)
def test_ten_steps(backend, case, dtype):
    compare(backend, case, dtype, lambda t, k: True)


@pytest.mark.parametrize(("case", "dtype"), TRIED, ids=IDS)
def test_parameters_that_join_late_or_miss_gradients(backend, case, dtype):
    """Parameter 1 joins at the fourth step; parameter 2 has no gradient in every third."""
    compare(
        backend, case, dtype, lambda t, k: not (k == 1 and t < 3) and not (k == 2 and t % 3 == 1)
    )
