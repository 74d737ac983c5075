"""docs/conventions.md: gpuopt and PyTorch run on each row's numbers, and the page agrees.

All start at p = 1 in float64. The numbers of libraries that are not run here are worked out in the
comments; they show that a row tells conventions apart.
"""

from pathlib import Path

import numpy as np
import pytest

import gpuopt
from tests.optional import optional

PAGE = Path(__file__).parents[1] / "docs" / "conventions.md"
SLOWING = (0.1, 0.05)
CONSTANT = (0.1, 0.1)

# name: learning rates, gradients, then for each form: its two steps, and who takes them here.
ROWS = {
    "momentum": (
        SLOWING,
        (1, 1),
        # b = 1, then 1.9: 1 - 0.1, then 0.9 - 0.05 1.9
        [
            (0.9, 0.805, [("SGD", {"momentum": 0.9}), ("Momentum", {"ewma": False})]),
            # b = -0.1, then -0.09 - 0.05 = -0.14
            (0.9, 0.76, []),
            # v = 0.1, then 0.19
            (0.99, 0.9805, [("Momentum", {})]),
        ],
    ),
    "nesterov": (
        SLOWING,
        (1, 0.5),
        # b = 1, then 1.4: 1 - 0.1 1.9, then 0.81 - 0.05 (0.5 + 1.26)
        [
            (0.81, 0.722, [("SGD", {"momentum": 0.9, "nesterov": True})]),
            # b = -0.1, then -0.115: 1 - 0.09 - 0.1, then 0.81 - 0.1035 - 0.025
            (0.81, 0.6815, []),
            # the same b: 1 - 0.081 - 0.19, then 0.729 - 0.81 0.115 - 1.9 0.025
            (0.729, 0.58835, []),
            # v = 0.1, then 0.14: 1 - 0.1 0.19, then 0.981 - 0.05 (0.126 + 0.05)
            (0.981, 0.9722, [("Momentum", {"nesterov": True})]),
        ],
    ),
    "dampening": (
        CONSTANT,
        (1, 1),
        # b = 1, then 0.9 + 0.5;  b = 0.5, then 0.45 + 0.5
        [(0.9, 0.76, [("SGD", {"momentum": 0.9, "dampening": 0.5})]), (0.95, 0.855, [])],
    ),
    "bias of an average": (
        CONSTANT,
        (0.5, -0.25),
        # v = 0.05, then 0.045 - 0.025 = 0.02; divided by 0.1, then by 0.19
        [
            (0.995, 0.993, [("Momentum", {})]),
            (0.95, 0.939473684210526, [("Momentum", {"bias_correction": True})]),
        ],
    ),
    "rmsprop's eps": (
        CONSTANT,
        (0.5, -0.25),
        # v = 0.0625 both times: 0.25 + 0.25 = 0.5, or sqrt(0.3125) = 0.559016994374947
        [
            (0.9, 0.95, [("RMSprop", {"alpha": 0.75, "eps": 0.25})]),
            (
                0.910557280900008,
                0.955278640450004,
                [("RMSprop", {"alpha": 0.75, "eps": 0.25, "eps_inside_sqrt": True})],
            ),
        ],
    ),
    "centered rmsprop": (
        CONSTANT,
        (0.5, -0.25),
        # m = 0.125, then 0.03125: variances 0.046875 and 0.0615234375
        [
            (
                0.892820323027551,
                0.943017176472533,
                [("RMSprop", {"alpha": 0.75, "eps": 0.25, "centered": True})],
            ),
            (
                0.908233706451775,
                0.953025107328244,
                [
                    (
                        "RMSprop",
                        {"alpha": 0.75, "eps": 0.25, "centered": True, "eps_inside_sqrt": True},
                    )
                ],
            ),
        ],
    ),
    "rmsprop's momentum": (
        SLOWING,
        (0.5, -0.25),
        # g / sqrt(v) = 2, then -1: b = 2, then 0.8;  b = 0.2, then 0.18 - 0.05 = 0.13
        [
            (0.8, 0.76, [("RMSprop", {"alpha": 0.75, "eps": 0.0, "momentum": 0.9})]),
            (0.8, 0.67, []),
        ],
    ),
    "adam's eps": (
        CONSTANT,
        (1, 1),
        # 1 / 1.1 both times
        [
            (0.909090909090909, 0.818181818181818, [("Adam", {"eps": 0.1})]),
            # 0.1 0.0316228 0.1 / 0.1 / 0.1316228 = 0.0240253; then
            # 0.1 0.0447102 0.19 / 0.19 / 0.1447102 = 0.0308964
            (0.975974692664796, 0.945078332444553, []),
        ],
    ),
    "decay": (
        CONSTANT,
        (3, 3),
        # g = 3.5, then 3.45: m_hat = 0.66 / 0.19, v_hat = 0.02414025 / 0.001999
        [
            (0.9, 0.800040091492848, [("Adam", {"eps": 0.0, "weight_decay": 0.5})]),
            # 1 - 0.05 - 0.1, then 0.85 0.95 - 0.1
            (0.85, 0.7075, [("AdamW", {"eps": 0.0, "weight_decay": 0.5})]),
            # 0.9 0.95, then 0.755 0.95
            (0.855, 0.71725, []),
            # 1 - 0.1 - 0.5, then 0.4 - 0.1 - 0.2
            (0.4, 0.1, []),
        ],
    ),
    "amsgrad": (
        CONSTANT,
        (0.5, 0),
        # v = 0.0625, kept: v_hat = 0.0625 / 0.4375;  v_hat = 0.25, kept; m_hat = 1/6
        [
            (
                0.933333333333333,
                0.906792553746234,
                [("Adam", {"betas": (0.5, 0.75), "eps": 0.25, "amsgrad": True})],
            ),
            (0.933333333333333, 0.911111111111111, []),
        ],
    ),
    "nadam": (
        CONSTANT,
        (0.5, -0.25),
        # m = 0.25, then 0; mu = 0.25: (0.75 0.5 / 0.75 + 0.25 0.25 / 0.9375) / 0.75, then
        # -0.25 0.75 / 0.9375 / 0.627964473009227
        [
            (
                0.924444444444444,
                0.956293379948963,
                [("NAdam", {"betas": (0.5, 0.75), "eps": 0.25, "momentum_decay": 0.0})],
            ),
            # (0.5 0.25 / 0.75 + 0.5 0.5 / 0.5) / 0.75, then -0.5 0.25 / 0.75 / 0.627964473009227
            (0.911111111111111, 0.937651890698210, []),
        ],
    ),
    "adagrad's eps": (
        CONSTANT,
        (0.5, -0.25),
        # v = 0.25, then 0.3125: roots 0.5 + 0.25 and 0.559016994374947 + 0.25, or of 0.5 and 0.5625
        [
            (0.933333333333333, 0.964235032770828, [("Adagrad", {"eps": 0.25})]),
            (
                0.929289321881345,
                0.962622655214679,
                [("Adagrad", {"eps": 0.25, "eps_inside_sqrt": True})],
            ),
        ],
    ),
    "lion": (
        CONSTANT,
        (0.5, -0.25),
        # sign(0.25) + 0.5, then sign(0.0625 - 0.125) + 0.425
        [
            (0.85, 0.9075, [("Lion", {"betas": (0.5, 0.75), "weight_decay": 0.5})]),
            # m = 0.125, then 0.03125: sign(m) + 0.5, then sign(m) + 0.425
            (0.85, 0.7075, []),
        ],
    ),
    "rprop": (
        CONSTANT,
        (0.5, 0.25),
        # a first step of lr, then of 1.2 lr; or each step by the update of the one before it
        [(0.9, 0.78, [("Rprop", {})]), (1.0, 0.9, [])],
    ),
    "asgd": (
        CONSTANT,
        (0.5, -0.25),
        # 1 - 0.1 (0.5 + 0.5), then eta = 0.1 / 1.05: 0.9 - eta (0.45 - 0.25)
        [(0.9, 0.880952380952381, [("ASGD", {"lambd": 0.5, "alpha": 1.0})])],
    ),
}
CASES = [
    pytest.param(rates, grads, (first, second), rule, options, id=f"{name}-{rule}")
    for name, (rates, grads, forms) in ROWS.items()
    for first, second, runs in forms
    for rule, options in runs
]


@pytest.mark.parametrize(("rates", "grads", "expected", "rule", "options"), CASES)
def test_gpuopt(rates, grads, expected, rule, options):
    p = np.ones(1)
    opt = getattr(gpuopt, rule)(p, rates[0], backend="numpy", **options)
    for lr, g, q in zip(rates, grads, expected, strict=True):
        opt.lr = lr
        opt.step(np.full(1, float(g)))
        np.testing.assert_allclose(p, q, rtol=1e-14)


@pytest.mark.parametrize(("rates", "grads", "expected", "rule", "options"), CASES)
def test_pytorch(rates, grads, expected, rule, options):
    if rule in ("Momentum", "Lion") or "eps_inside_sqrt" in options:
        return  # a form that PyTorch does not have
    torch = optional("torch")
    p = torch.ones(1, dtype=torch.float64, requires_grad=True)
    opt = getattr(torch.optim, rule)([p], lr=rates[0], **options)
    for lr, g, q in zip(rates, grads, expected, strict=True):
        opt.param_groups[0]["lr"] = lr
        p.grad = torch.full_like(p, g)
        opt.step()
        exact = 1e-7 if rule == "ASGD" else 1e-14  # PyTorch keeps eta in float32
        np.testing.assert_allclose(p.item(), q, rtol=exact)


@pytest.mark.parametrize("name", ROWS)
def test_the_page_has_these_numbers(name):
    text = PAGE.read_text()
    for first, second, _ in ROWS[name][2]:
        assert f"| {first:.6f}, {second:.6f} |" in text
