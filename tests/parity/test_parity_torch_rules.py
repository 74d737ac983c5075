"""Fifty steps of the rules beside torch.optim's, with every flag, in every dtype, on one backend:
that the others compute the same formula is test_parity.py's."""

import numpy as np
import pytest

import gpuopt
from gpuopt import rules
from tests.optional import optional
from tests.parity.cases import every, fields, name

torch = optional("torch")

STEPS = 50
RULES = [rules.NAdam, rules.RAdam, rules.Adamax, rules.Adagrad, rules.Adadelta]
RULES += [rules.Rprop, rules.ASGD]


def torchs(cls):
    """The combinations that PyTorch has, too."""
    return [rule for rule in every(cls) if not getattr(rule, "eps_inside_sqrt", False)]


pytestmark = pytest.mark.usefixtures("double_scalars")


def numbers(rng, size, dtype):
    real = rng.normal(size=size)
    return (real + 1j * rng.normal(size=size) if dtype in "FD" else real).astype(dtype)


def pair(rule, dtype, lr=0.01):
    """The same optimizer twice, on the same 40 numbers, and the two arrays."""
    p = numbers(np.random.default_rng(1), 40, dtype)
    q = torch.tensor(p, requires_grad=True)
    options = {f.name: getattr(rule, f.name) for f in fields(type(rule))}
    assert not options.pop("eps_inside_sqrt", False)  # which PyTorch does not have
    theirs = getattr(torch.optim, type(rule).__name__)([q], lr=lr, foreach=False, **options)
    return p, q, gpuopt.Optimizer(p, rule, lr=lr, backend="numpy"), theirs


def step(opt, theirs, q, g):
    opt.step(g)
    q.grad = torch.tensor(g)
    theirs.step()


def assert_close(p, q, ulps=10 * STEPS):
    """Some ten roundings a step on either side, of numbers around one."""
    tolerance = ulps * np.finfo(p.dtype).eps
    np.testing.assert_allclose(p, q.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["f", "d", "F", "D"])
@pytest.mark.parametrize("rule", [r for cls in RULES for r in torchs(cls)], ids=name)
def test_fifty_steps(rule, dtype):
    p, q, opt, theirs = pair(rule, dtype)
    rng = np.random.default_rng(2)
    for _ in range(STEPS):
        step(opt, theirs, q, numbers(rng, 40, dtype))
    assert_close(p, q)


@pytest.mark.parametrize("cls", [rules.NAdam, rules.RAdam, rules.Adamax])
@pytest.mark.parametrize("betas", [(0.9, 0.99999), (0.0, 0.9), (0.5, 0.6), (0.9, 0.0)], ids=str)
def test_other_betas(cls, betas):
    """0.99999 is not 1 in float32; at 0.6 RAdam's longest average is 4, where r divides by 0."""
    p, q, opt, theirs = pair(cls(betas=betas, weight_decay=0.02, eps=1e-3), "f")
    rng = np.random.default_rng(2)
    for _ in range(STEPS):
        step(opt, theirs, q, numbers(rng, 40, "f"))
    assert_close(p, q)


def test_betas_that_change_on_the_way():
    """As OneCycleLR changes them: the product of NAdam's momenta is not one of the present's."""
    p, q, opt, theirs = pair(rules.NAdam(weight_decay=0.02), "d")
    fixed = p.copy()
    other = gpuopt.NAdam(fixed, lr=0.01, weight_decay=0.02, backend="numpy")
    rng = np.random.default_rng(2)
    for t in range(STEPS):
        betas = (0.85 + 0.1 * np.sin(t / 10), 0.999)
        opt.param_groups[0]["betas"] = theirs.param_groups[0]["betas"] = betas
        g = numbers(rng, 40, "d")
        step(opt, theirs, q, g)
        other.step(g)
    assert_close(p, q)
    assert np.abs(p - fixed).min() > 0
    product = opt.state_dict()["state"]["0"]["mu_product"]
    np.testing.assert_allclose(product, theirs.state[q]["mu_product"].item(), rtol=1e-13)


@pytest.mark.parametrize("rule", [rules.Rprop(), rules.ASGD(lambd=0.5, t0=9)], ids=name)
def test_learning_rates_that_change_on_the_way(rule):
    """Of Rprop only the first is read, of ASGD each one step late."""
    p, q, opt, theirs = pair(rule, "d")
    rng = np.random.default_rng(2)
    for t in range(STEPS):
        opt.lr = theirs.param_groups[0]["lr"] = 0.01 * (1 + t % 7)
        step(opt, theirs, q, numbers(rng, 40, "d"))
    assert_close(p, q)
    for key, value in opt.state_dict()["state"]["0"].items():
        np.testing.assert_allclose(value, theirs.state[q][key].numpy(), rtol=1e-13, err_msg=key)


@pytest.mark.parametrize("dtype", ["f", "d", "F", "D"])
def test_rprop_takes_pytorchs_steps_bit_for_bit(dtype):
    """No sum in it is rounded twice. Among gradients that are infinite, 0, and so small that the
    product of two of them is 0."""
    p, q, opt, theirs = pair(rules.Rprop(), dtype)
    rng = np.random.default_rng(2)
    for _ in range(STEPS):
        g = numbers(rng, 40, dtype)
        g.view(g.real.dtype)[:8] *= [0, -0.0, 1e-30, 1e-30, 1e-30, 1e30, np.inf, np.inf]
        step(opt, theirs, q, g)
    np.testing.assert_array_equal(p, q.detach().numpy())
    for buffer in ("prev", "step_size"):
        np.testing.assert_array_equal(opt.state["0"][buffer], theirs.state[q][buffer].numpy())


@pytest.mark.parametrize("dtype", ["d", "D"])
def test_the_initial_value_of_adagrads_sum(dtype):
    _, q, opt, theirs = pair(rules.Adagrad(initial_accumulator_value=0.7), dtype)
    step(opt, theirs, q, np.zeros(40, dtype))
    np.testing.assert_array_equal(opt.state["0"]["v"], theirs.state[q]["sum"].numpy())
    assert (opt.state["0"]["v"] == (0.7 + 0.7j if dtype == "D" else 0.7)).all()


@pytest.mark.parametrize("initial", [0.0, 0.1])
def test_adagrad_with_eps_inside_the_root_is_optaxs(initial):
    optax = optional("optax")
    jax = optional("jax")
    rng = np.random.default_rng(1)
    p = numbers(rng, 40, "f")
    transform = optax.adagrad(0.05, initial, eps=1e-2)
    theirs = jax.numpy.asarray(p)
    state = transform.init(theirs)
    opt = gpuopt.Adagrad(
        p, 0.05, initial_accumulator_value=initial, eps=1e-2, eps_inside_sqrt=True, backend="numpy"
    )
    for _ in range(STEPS):
        g = numbers(rng, 40, "f")
        g[:5] *= 0.1  # whose squares are not large beside eps
        opt.step(g)
        updates, state = transform.update(jax.numpy.asarray(g), state, theirs)
        theirs = optax.apply_updates(theirs, updates)
    np.testing.assert_allclose(p, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("maximize", [False, True])
def test_lion_is_optaxs(maximize):
    optax = optional("optax")
    jax = optional("jax")
    rng = np.random.default_rng(1)
    p = numbers(rng, 40, "f")
    transform = optax.lion(0.01, b1=0.8, b2=0.95, weight_decay=0.1)
    theirs = jax.numpy.asarray(p)
    state = transform.init(theirs)
    opt = gpuopt.Lion(p, 0.01, (0.8, 0.95), 0.1, maximize=maximize, backend="numpy")
    for _ in range(STEPS):
        g = numbers(rng, 40, "f")
        opt.step(g)
        updates, state = transform.update(jax.numpy.asarray(-g if maximize else g), state, theirs)
        theirs = optax.apply_updates(theirs, updates)
    np.testing.assert_allclose(p, theirs, rtol=1e-5, atol=1e-6)
    assert gpuopt.Lion(p, backend="numpy").rule == rules.Lion((0.9, 0.99), 1e-3)
