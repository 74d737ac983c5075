"""Fifty steps of gpuopt.torch beside torch.optim, on tensors of every layout.

What torch.optim's own tests try is read from their table, `optim_db`, so what they add is tried
here as well.
"""

import numpy as np
import pytest

from tests.optional import optional

torch = optional("torch")
optional("expecttest")  # which PyTorch's table imports
optim_db = optional("torch.testing._internal.common_optimizers").optim_db
optim = optional("gpuopt.torch")

STEPS = 50
INFOS = {info.optim_cls.__name__: info for info in optim_db}
BESIDES = {"Momentum", "Lion"}  # torch.optim has none
LISTED = [
    (name, given.kwargs)
    for name in sorted(set(optim.__all__) - BESIDES)
    for given in INFOS[name].optim_inputs_func("cpu")
]
BASE = {"lr": 0.01, "weight_decay": 0.02}
UP = {**BASE, "maximize": True}
FULLEST = {
    "SGD": {**UP, "momentum": 0.9, "nesterov": True},
    "RMSprop": {**UP, "alpha": 0.9, "centered": True, "momentum": 0.8},
    "Adam": {**UP, "betas": (0.8, 0.99), "eps": 1e-4, "amsgrad": True},
    "AdamW": {**UP, "amsgrad": True},
    "NAdam": {**UP, "decoupled_weight_decay": True},
    "RAdam": {**UP, "decoupled_weight_decay": True},
    "Adamax": UP,
    "Adagrad": {**UP, "lr_decay": 0.1},
    "Adadelta": UP,
    "Rprop": {"lr": 0.01, "maximize": True, "step_sizes": (5e-3, 0.02)},
    "ASGD": {**UP, "lambd": 0.5, "t0": 20},
}
LEAST = {"Rprop": {"lr": 0.01}}  # which has no weight_decay
COMPILED = [
    (name, options, torch.float32)
    for name, full in FULLEST.items()
    for options in (LEAST.get(name, BASE), full)
]
COMPILED += [("Adam", options, torch.float64) for options in (BASE, FULLEST["Adam"])]


def label(value):
    if isinstance(value, dict):
        return "-".join(f"{k}={getattr(v, 'item', lambda v=v: v)()}" for k, v in value.items())
    return str(value).removeprefix("torch.")


def parameters(dtype):
    """Parameters of every layout, and all the memory in which they lie."""
    rng = torch.Generator().manual_seed(1)
    wide = torch.randn(11, 14, dtype=dtype, generator=rng)
    inner = torch.randn(2, 9, 7, dtype=dtype, generator=rng)
    image = torch.randn(2, 3, 4, 5, dtype=dtype, generator=rng)
    flat = torch.randn(1025, dtype=dtype, generator=rng)
    views = [
        torch.randn(5, 7, dtype=dtype, generator=rng),
        wide[::2, 1:12:3],
        inner[1].t(),
        torch.empty(0, 3, dtype=dtype),
        image.to(memory_format=torch.channels_last),
        flat[1:],
        torch.randn((), dtype=dtype, generator=rng),
    ]
    return [torch.nn.Parameter(v) for v in views], [wide, inner, flat]


def gradient(p, t, k):
    """Of parameter k at step t; none where it joins late, or misses one now and then."""
    if (k == 2 and t < 3) or (k == 0 and t % 11 == 5):
        return None
    rng = torch.Generator().manual_seed(1000 * k + t)
    g = torch.randn(p.shape, dtype=p.dtype, generator=rng)
    return g.mT.contiguous().mT if g.ndim == 2 and t >= 25 else g  # laid out otherwise


def take(opt, params, t):
    for k, p in enumerate(params):
        p.grad = gradient(p, t, k)
    opt.step()


def compare(name, options, dtype):
    (mine, my_memory), (theirs, their_memory) = parameters(dtype), parameters(dtype)
    fresh = lambda: {k: v.clone() if torch.is_tensor(v) else v for k, v in options.items()}  # noqa: E731
    opt = getattr(optim, name)(mine, **fresh())
    peer = getattr(torch.optim, name)(theirs, foreach=False, **fresh())
    places = [p.data_ptr() for p in mine]
    for t in range(STEPS):
        take(opt, mine, t)
        take(peer, theirs, t)
    assert [p.data_ptr() for p in mine] == places
    for a, b in zip(mine + my_memory, theirs + their_memory, strict=True):
        near(a, b)
    for a, b in zip(mine, theirs, strict=True):
        assert opt.state[a].keys() == peer.state[b].keys()
        for key, value in peer.state[b].items():
            near(opt.state[a][key], value)


def near(a, b):
    # Some thirty roundings a step on either side, of numbers around one. (A number that PyTorch
    # keeps in float32 is in float64 here.)
    tolerance = 30 * STEPS * max(torch.finfo(x.dtype).eps for x in (a, b))
    a, b = a.detach().numpy(), b.detach().numpy()
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.fixture
def numbers(dtype):
    """PyTorch keeps NAdam's mu_product and ASGD's eta and mu in its default dtype: have it be no
    coarser than the parameters."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64 if dtype == torch.float64 else torch.float32)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64], ids=label)
@pytest.mark.parametrize(("name", "options"), LISTED, ids=label)
@pytest.mark.usefixtures("numbers", "by_numpy")
def test_all_that_pytorch_tries(name, options, dtype):
    compare(name, options, dtype)


@pytest.mark.parametrize(("name", "options", "dtype"), COMPILED, ids=label)
@pytest.mark.usefixtures("numbers")
def test_compiled(name, options, dtype):
    compare(name, options, dtype)


def momentum(p, g, v, beta, ewma, nesterov, bias_correction, wd, lr, t):
    g = g + wd * p
    gain = 1 - beta if ewma else 1.0
    v = beta * v + gain * g
    direction = beta * v + gain * g if nesterov else v
    weights = 1 - beta ** (t + nesterov) if bias_correction else 1.0
    return p - lr * direction / weights, v


@pytest.mark.parametrize(
    ("ewma", "nesterov", "bias_correction"),
    [(True, False, False), (True, True, True), (False, True, False), (True, False, True)],
)
@pytest.mark.usefixtures("by_numpy")
def test_momentum(ewma, nesterov, bias_correction):
    options = 0.8, ewma, nesterov, bias_correction, 0.02
    against_lines(
        lambda params: optim.Momentum(params, 0.01, *options, maximize=True),
        lambda p, g, v, t: momentum(p, -g, v, *options, 0.01, t),
        "momentum_buffer",
    )


@pytest.mark.usefixtures("by_numpy")
def test_lion():
    def lion(p, g, m, t):
        u = torch.sign(0.8 * m + 0.2 * g) + 0.02 * p
        return p - 0.01 * u, 0.95 * m + 0.05 * g

    against_lines(
        lambda params: optim.Lion(params, 0.01, (0.8, 0.95), 0.02),
        lion,
        "exp_avg",
    )


def against_lines(make, update, key):
    params, _ = parameters(torch.float64)
    expected = [(p.detach().clone(), torch.zeros_like(p).detach()) for p in params]
    taken = [0] * len(params)
    opt = make(params)
    for t in range(STEPS):
        take(opt, params, t)
        for k, p in enumerate(params):
            if p.grad is not None:
                taken[k] += 1
                expected[k] = update(expected[k][0], p.grad, expected[k][1], taken[k])
    for p, (value, average), count in zip(params, expected, taken, strict=True):
        near(p, value)
        near(opt.state[p][key], average)
        assert opt.state[p]["step"] == count
