"""The first two steps of each rule, worked out by hand: lr = 0.1 and p = 1 throughout.

Two gradients are 0.5 and -0.25 unless a case says otherwise.
"""

import math

import numpy as np
import pytest

import gpuopt
from gpuopt import rules

G = (0.5, -0.25)
HALF = {"betas": (0.5, 0.75), "eps": 0.25}
ROOT = {"alpha": 0.75, "eps": 0.25}
HALVED = {**HALF, "momentum_decay": math.log(0.5) / math.log(0.96)}  # 0.96^(t decay) = 0.5^t

# rule, gradients, p after each of two steps
CASES = [
    # p = 1 - 0.1 0.5;  p = 0.95 + 0.1 0.25
    (rules.SGD(), G, (0.95, 0.975)),
    # p = 1 + 0.1 0.5;  p = 1.05 - 0.1 0.25
    (rules.SGD(maximize=True), G, (1.05, 1.025)),
    # g = 0.5 + 0.5 1 = 1;  g = -0.25 + 0.5 0.9 = 0.2
    (rules.SGD(weight_decay=0.5), G, (0.9, 0.88)),
    # decay has the gradient's sign also when maximizing: g = -0.5 + 0.5 = 0;  g = 0.25 + 0.5 = 0.75
    (rules.SGD(weight_decay=0.5, maximize=True), G, (1.0, 0.925)),
    # b = 0.5, not damped;  b = 0.9 0.5 + (1 - 0.5) (-0.25) = 0.325
    (rules.SGD(momentum=0.9, dampening=0.5), G, (0.95, 0.9175)),
    # b = 0.5, step 0.5 + 0.9 0.5 = 0.95;  b = 0.45 - 0.25 = 0.2, step -0.25 + 0.9 0.2 = -0.07
    (rules.SGD(momentum=0.9, nesterov=True), G, (0.905, 0.912)),
    # v = 0.1 0.5 = 0.05;  v = 0.9 0.05 - 0.1 0.25 = 0.02
    (rules.Momentum(), G, (0.995, 0.993)),
    # v = 0.5;  v = 0.9 0.5 - 0.25 = 0.2
    (rules.Momentum(ewma=False), G, (0.95, 0.93)),
    # step 0.9 0.05 + 0.1 0.5 = 0.095;  0.9 0.02 - 0.1 0.25 = -0.007
    (rules.Momentum(nesterov=True), G, (0.9905, 0.9912)),
    # step 0.9 0.5 + 0.5 = 0.95;  0.9 0.2 - 0.25 = -0.07
    (rules.Momentum(ewma=False, nesterov=True), G, (0.905, 0.912)),
    # 0.05 / (1 - 0.9) = 0.5;  0.02 / (1 - 0.81) = 2 / 19
    (rules.Momentum(bias_correction=True), G, (0.95, 0.939473684210526)),
    # 0.095 / (1 - 0.81) = 0.5;  -0.007 / (1 - 0.729) = -7 / 271
    (rules.Momentum(nesterov=True, bias_correction=True), G, (0.95, 0.952583025830258)),
    # g = 1, v = 0.1;  g = -0.25 + 0.5 0.99 = 0.245, v = 0.09 + 0.0245 = 0.1145
    (rules.Momentum(weight_decay=0.5), G, (0.99, 0.97855)),
    # v = 0.25 0.25 = 0.0625, root 0.25 + 0.25 = 0.5;  v = 0.75 0.0625 + 0.25 0.0625 = 0.0625
    (rules.RMSprop(**ROOT), G, (0.9, 0.95)),
    # sqrt(0.0625 + 0.25) = 0.559016994374947 both times
    (rules.RMSprop(**ROOT, eps_inside_sqrt=True), G, (0.910557280900008, 0.955278640450004)),
    # m = 0.125, sqrt(0.0625 - 0.015625) + 0.25 = 0.466506350946110;
    # m = 0.75 0.125 - 0.25 0.25 = 0.03125, sqrt(0.0625 - 0.0009765625) + 0.25 = 0.498039185412305
    (rules.RMSprop(**ROOT, centered=True), G, (0.892820323027551, 0.943017176472533)),
    # b = 0.5 / 0.5 = 1;  b = 0.5 1 - 0.25 / 0.5 = 0
    (rules.RMSprop(**ROOT, momentum=0.5), G, (0.9, 0.9)),
    # g = 1, v = 0.25, step 1 / 0.75;  g = -0.25 + 0.433333 = 0.183333, v = 0.195902777777778,
    # step 0.183333 / (0.442609057496317 + 0.25) = 0.264699589687806
    (rules.RMSprop(**ROOT, weight_decay=0.5), G, (0.866666666666667, 0.840196707697886)),
    # m = 0.25, v = 0.0625, hats 0.5 and 0.25, step 0.5 / 0.75;
    # m = 0.625, v = 0.296875, hats 0.833333 and 0.678571,
    # step 0.833333 / (0.823754471047914 + 0.25)
    (rules.Adam(**HALF), (0.5, 1.0), (0.933333333333333, 0.855724032901732)),
    # g = 1, hats 1 and 1, step 1 / 1.25;  g = 0.25 + 0.5 0.92 = 0.71, m = 0.605, v = 0.313525
    (rules.Adam(**HALF, weight_decay=0.5), (0.5, 0.25), (0.92, 0.846435216677437)),
    # second step: m = 0.125, v = 0.046875, hats 1/6 and 3/28
    (rules.Adam(**HALF), (0.5, 0.0), (0.933333333333333, 0.904464648134511)),
    # the same with v_max = 0.0625 kept, whose hat is 1/7
    (rules.Adam(**HALF, amsgrad=True), (0.5, 0.0), (0.933333333333333, 0.906792553746234)),
    # 1 - 0.1 0.5 1 - 0.1;  0.85 - 0.1 0.5 0.85 - 0.1 (a constant gradient steps by lr)
    (rules.AdamW(weight_decay=0.5, eps=0.0), (3.0, 3.0), (0.85, 0.7075)),
    # the same uphill
    (rules.AdamW(weight_decay=0.5, eps=0.0, maximize=True), (3.0, 3.0), (1.05, 1.0975)),
    # mu = 0.375, then 0.4375 and 0.46875; products 0.375, 0.1640625, 0.076904296875.
    # m = 0.25, m_bar = 0.5 + 0.4375 0.25 / 0.8359375 = 0.630841121495327, by 0.5 + 0.25;
    # m = 0, m_bar = -0.25 0.5625 / 0.8359375 = -0.168224299065421, by 0.377964473009227 + 0.25
    (rules.NAdam(**HALVED), G, (0.915887850467290, 0.942676674723427)),
    # g = 1, m = 0.5, m_bar = 1.261682242990654, by 1.25;  g = -0.25 + 0.5 0.899065420560748
    # = 0.199532710280374, m = 0.349766355140187, m_bar = 0.134265001310158 + 0.177612113691923,
    # v = 0.197453325617958, by 0.671804947233020 + 0.25
    (rules.NAdam(**HALVED, weight_decay=0.5), G, (0.899065420560748, 0.865232111687950)),
    # 0.95 - 0.0841121495327103;  0.95 0.865887850467290 + 0.0267888242561373
    (
        rules.NAdam(**HALVED, weight_decay=0.5, decoupled_weight_decay=True),
        G,
        (0.865887850467290, 0.849382282200062),
    ),
    # rho = 1, then 13/7: not rectified. m_hat = 0.5, then 0
    (rules.RAdam(**HALF), G, (0.95, 0.95)),
    # g = 1, m_hat = 1;  g = -0.25 + 0.45 = 0.2, m = 0.35, m_hat = 0.35 / 0.75
    (rules.RAdam(**HALF, weight_decay=0.5), G, (0.9, 0.853333333333333)),
    # 0.95 - 0.05;  0.95 0.9 - 0
    (rules.RAdam(**HALF, weight_decay=0.5, decoupled_weight_decay=True), G, (0.9, 0.855)),
    # m = 0.25, v = 0.75, step 0.5 / 0.75;  m = 0.625, v = 1.25, step 0.625 / 0.75 / 1.25
    (rules.Adamax(**HALF), (0.5, 1.0), (0.933333333333333, 0.866666666666667)),
    # v = 0.75 0.75 = 0.5625, m = 0.125: step 0.125 / 0.75 / 0.5625
    (rules.Adamax(**HALF), (0.5, 0.0), (0.933333333333333, 0.903703703703704)),
    # g = 1, step 1 / 1.25;  g = 0.71, m = 0.605, v = 0.96, step 0.605 / 0.75 / 0.96
    (rules.Adamax(**HALF, weight_decay=0.5), (0.5, 0.25), (0.92, 0.835972222222222)),
    # v = 0.25, root 0.5 + 0.25;  v = 0.3125, root 0.559016994374947 + 0.25
    (rules.Adagrad(eps=0.25), G, (0.933333333333333, 0.964235032770828)),
    # roots of 0.25 + 0.25 and of 0.3125 + 0.25 = 0.75^2
    (rules.Adagrad(eps=0.25, eps_inside_sqrt=True), G, (0.929289321881345, 0.962622655214679)),
    # the second lr is 0.1 / 2
    (rules.Adagrad(eps=0.25, lr_decay=1.0), G, (0.933333333333333, 0.948784183052081)),
    # v = 2.25, root 1.5 + 0.25;  v = 2.3125, root 1.520690632574555 + 0.25
    (
        rules.Adagrad(eps=0.25, initial_accumulator_value=2.0),
        G,
        (0.971428571428571, 0.985547356234955),
    ),
    # g = 1, v = 1, step 1 / 1.25;  g = 0.21, v = 1.0441, step 0.21 / (1.021812115802118 + 0.25)
    (rules.Adagrad(eps=0.25, weight_decay=0.5), G, (0.92, 0.903488127106923)),
    # v = 0.0625, x = 0.5 sqrt(0.25 / 0.3125), d = 0.05;  v = 0.0625, x = -0.25 sqrt(0.3 / 0.3125)
    (rules.Adadelta(rho=0.75, eps=0.25), G, (0.955278640450004, 0.979773537877836)),
    # g = 1, v = 0.25, x = sqrt(0.25 / 0.5), d = 0.125;  g = 0.214644660940673,
    # v = 0.199018082617584, x = 0.214644660940673 sqrt(0.375 / 0.449018082617584)
    (
        rules.Adadelta(rho=0.75, eps=0.25, weight_decay=0.5),
        G,
        (0.929289321881345, 0.909673621979091),
    ),
    # sign(0.25) + 0.5 = 1.5, m = 0.125;  sign(0.0625 - 0.125) + 0.5 0.85 = -0.575
    (rules.Lion(betas=(0.5, 0.75), weight_decay=0.5), G, (0.85, 0.9075)),
    # the buffer outweighs the second gradient: sign(0.0625 - 0.05)
    (rules.Lion(betas=(0.5, 0.75), weight_decay=0.0), (0.5, -0.1), (0.9, 0.8)),
    # sizes 0.1, then 1.2 0.1
    (rules.Rprop(), (0.5, 0.25), (0.9, 0.78)),
    # the same uphill
    (rules.Rprop(maximize=True), (0.5, 0.25), (1.1, 1.22)),
    # the sign changes: no step, and size 0.05, with which the next one is taken; then 1.2 0.05
    (rules.Rprop(), (0.5, -0.25, -2.0, -0.5), (0.9, 0.9, 0.95, 1.01)),
    # sizes 0.1, 0.2, 0.4, none and 0.1, 0.1
    (rules.Rprop(etas=(0.25, 2.0)), (1, 1, 1, -1, -1), (0.9, 0.7, 0.3, 0.3, 0.4)),
    # a gradient of 0 takes no step and leaves the size; after it no sign has changed
    (rules.Rprop(), (0.5, 0.0, -0.25), (0.9, 0.9, 1.0)),
    # 0.12 is cut to 0.11, and 0.055 raised to 0.08
    (rules.Rprop(step_sizes=(0.08, 0.11)), (1, 1, -1, -1), (0.9, 0.79, 0.79, 0.87)),
    # the first size is bounded as well
    (rules.Rprop(step_sizes=(0.2, 50.0)), (1, 1), (0.8, 0.56)),
    # 0.95 1 - 0.1 0.5;  eta = 0.1 / 1.05, 0.9 - eta (0.5 0.9 - 0.25)
    (rules.ASGD(lambd=0.5, alpha=1.0), G, (0.9, 0.880952380952381)),
    # eta = 0.1 / sqrt(1.05)
    (rules.ASGD(lambd=0.5, alpha=0.5), G, (0.9, 0.880481998540548)),
    # g = 1;  g = -0.25 + 0.5 0.9 = 0.2
    (rules.ASGD(lambd=0.0, weight_decay=0.5), G, (0.9, 0.88)),
    # both decays pull to zero also when maximizing: g = -0.5 + 0.25, 0.95 + 0.1 0.25;
    # g = 0.25 + 0.25 0.975 = 0.49375, eta = 0.1 / 1.05, 0.975 - eta (0.49375 + 0.5 0.975)
    (
        rules.ASGD(lambd=0.5, alpha=1.0, weight_decay=0.25, maximize=True),
        G,
        (0.975, 0.881547619047619),
    ),
]


@pytest.mark.parametrize(("rule", "grads", "expected"), CASES, ids=lambda x: str(x)[:60])
def test_two_steps(backend, rule, grads, expected):
    p = np.ones(1, "f4")
    opt = gpuopt.Optimizer(backend.asarray(p), rule, lr=0.1, backend=backend.name)
    for g, q in zip(grads, expected, strict=True):
        opt.step(backend.asarray(np.full(1, g, "f4")))
        np.testing.assert_allclose(p[0], q, rtol=3e-7)


def test_radam_is_rectified_from_the_sixth_step(backend):
    """g = 0.5, beta2 = 0.9: rho = 4.580572 at t = 5 and 5.389565 at t = 6, where the step is
    0.1 0.5 r sqrt(0.468559) / (sqrt(0.11713975) + 0.25) with r = 0.255176807."""
    p = np.ones(1, "f4")
    rule = rules.RAdam(betas=(0.5, 0.9), eps=0.25)
    opt = gpuopt.Optimizer(backend.asarray(p), rule, lr=0.1, backend=backend.name)
    for expected in (0.95, 0.9, 0.85, 0.8, 0.75, 0.735253693598336, 0.715746618950066):
        opt.step(backend.asarray(np.full(1, 0.5, "f4")))
        np.testing.assert_allclose(p[0], expected, rtol=6e-7)


def test_asgd_averages_from_t0_on(backend):
    """p = 0.9, 0.8, 0.7, 0.6, 0.5; mu = 1 until t = t0 + 2, then 1 / 2 and 1 / 3."""
    p = np.ones(1, "f4")
    opt = gpuopt.ASGD(backend.asarray(p), lr=0.1, lambd=0.0, t0=1, backend=backend.name)
    for average in (0.9, 0.8, 0.7, (0.7 + 0.6) / 2, (0.7 + 0.6 + 0.5) / 3):
        opt.step(backend.asarray(np.ones(1, "f4")))
        np.testing.assert_allclose(backend.to_numpy(opt.state["0"]["ax"]), average, rtol=3e-7)


def test_asgd_takes_a_new_learning_rate_one_step_late(backend):
    p = np.ones(1, "f4")
    opt = gpuopt.ASGD(backend.asarray(p), lr=0.1, lambd=0.0, backend=backend.name)
    for lr, expected in ((0.1, 0.9), (0.2, 0.8), (0.3, 0.6), (0.3, 0.3)):
        opt.lr = lr
        opt.step(backend.asarray(np.ones(1, "f4")))
        np.testing.assert_allclose(p, expected, rtol=1e-6)


def test_rprop_begins_with_the_learning_rate_of_each_first_step(backend):
    """Which the second parameter takes one step later, when lr is another."""
    params = [np.ones(1, "f4") for _ in range(2)]
    both = [backend.asarray(p) for p in params]
    opt = gpuopt.Rprop(both, lr=0.1, backend=backend.name)
    g = backend.asarray(np.ones(1, "f4"))
    opt.step([g, None])
    opt.lr = 0.3
    opt.step([g, g])
    np.testing.assert_allclose(params, [[1 - 0.1 - 0.12], [1 - 0.3]], rtol=3e-7)
    opt.lr = 5.0
    opt.step([g, g])
    np.testing.assert_allclose(params, [[0.78 - 0.144], [0.7 - 0.36]], rtol=3e-7)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [(rules.Rprop(step_sizes=(0.0, 50.0)), (1, 1, 1)), (rules.ASGD(lambd=0.0), (1, 1, 0.5))],
    ids=lambda x: str(x)[:5],
)
def test_a_first_learning_rate_of_0_is_not_taken_for_none(backend, rule, expected):
    """As from a warm-up: Rprop's step sizes stay 0, and ASGD's second eta is the first lr."""
    p = np.ones(1, "f4")
    rates = (0.0, 0.5, 0.5)
    opt = gpuopt.Optimizer(
        backend.asarray(p), rule, lr=lambda t: rates[t - 1], backend=backend.name
    )
    for q in expected:
        opt.step(backend.asarray(np.ones(1, "f4")))
        assert p[0] == q


@pytest.mark.parametrize("rule", rules.ALL)
def test_every_rule_has_golden_numbers(rule):
    assert any(type(x) is rule for x, _, _ in CASES)


def test_the_constructors_pass_every_argument():
    """Each under its own name: a value no other argument has."""
    given = {
        gpuopt.SGD: {"momentum": 0.5, "dampening": 0.25, "weight_decay": 0.125, "maximize": True},
        gpuopt.Momentum: {"beta": 0.5, "ewma": False, "nesterov": True, "weight_decay": 0.125},
        gpuopt.RMSprop: {"alpha": 0.5, "eps": 0.25, "eps_inside_sqrt": True, "momentum": 0.75}
        | {"centered": True, "weight_decay": 0.125, "maximize": True},
        gpuopt.Adam: {"betas": (0.5, 0.25), "eps": 0.75, "weight_decay": 0.125, "amsgrad": True},
        gpuopt.AdamW: {"betas": (0.5, 0.25), "eps": 0.75, "weight_decay": 0.125, "maximize": True},
        gpuopt.NAdam: {"betas": (0.5, 0.25), "eps": 0.75, "weight_decay": 0.125}
        | {"momentum_decay": 0.5, "decoupled_weight_decay": True},
        gpuopt.RAdam: {"betas": (0.5, 0.25), "eps": 0.75, "weight_decay": 0.125, "maximize": True},
        gpuopt.Adamax: {"betas": (0.5, 0.25), "eps": 0.75, "weight_decay": 0.125, "maximize": True},
        gpuopt.Adagrad: {"lr_decay": 0.5, "weight_decay": 0.125, "initial_accumulator_value": 0.25}
        | {"eps": 0.75, "eps_inside_sqrt": True, "maximize": True},
        gpuopt.Adadelta: {"rho": 0.5, "eps": 0.75, "weight_decay": 0.125, "maximize": True},
        gpuopt.Lion: {"betas": (0.5, 0.25), "weight_decay": 0.125, "maximize": True},
        gpuopt.Rprop: {"etas": (0.5, 1.5), "step_sizes": (0.125, 2.0), "maximize": True},
        gpuopt.ASGD: {"lambd": 0.5, "alpha": 0.25, "t0": 7.0, "weight_decay": 0.125}
        | {"maximize": True},
    }
    for make, options in given.items():
        opt = make(np.ones(2), lr=0.3, backend="numpy", **options)
        expected = getattr(rules, make.__name__)(**options)
        assert (opt.rule, opt.lr) == (expected, 0.3)
        if make is not gpuopt.Momentum:
            assert make(np.ones(2), backend="numpy").rule == getattr(rules, make.__name__)()
    nesterov = gpuopt.SGD(np.ones(2), momentum=0.9, nesterov=True, backend="numpy").rule
    assert nesterov == rules.SGD(momentum=0.9, nesterov=True)
    for make in (gpuopt.NAdam, gpuopt.RAdam):
        for options in ({"maximize": True}, {"decoupled_weight_decay": True}):
            rule = make(np.ones(2), backend="numpy", **options).rule
            assert rule == getattr(rules, make.__name__)(**options)
    biased = gpuopt.Momentum(np.ones(2), 0.1, bias_correction=True, maximize=True, backend="numpy")
    assert biased.rule == rules.Momentum(bias_correction=True, maximize=True)
