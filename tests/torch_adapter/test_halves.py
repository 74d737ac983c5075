"""16-bit parameters: arithmetic and state are float32, and a parameter is rounded once a step."""

import copy

import pytest

from tests.optional import optional
from tests.torch_adapter.beside import SHAPES, close, ours, parameters, same_bits, torch, train

optional("ml_dtypes")  # NumPy's bfloat16

HALVES = [torch.float16, torch.bfloat16]
OPTIONS = {
    "Adam": {"lr": 0.05, "weight_decay": 0.1},
    "SGD": {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1},
}
ORDERS = {
    "as usual": lambda p: p,
    "transposed": lambda p: p.t(),
    "every other": lambda p: torch.stack([p, p], -1)[..., 0],
}
cases = pytest.mark.parametrize(
    ("name", "dtype"), [(name, dtype) for name in OPTIONS for dtype in HALVES]
)


def assert_rounded(p, exact):
    """`p` is `exact` rounded once: its neighbour only where that is all but half way between."""
    error = 3e-7 + 1e-6 * exact.abs()
    low, high = (exact - error).to(p.dtype), (exact + error).to(p.dtype)
    assert ((low <= p) & (p <= high)).all()


def buffers(opt):
    states = [opt.state[p] for group in opt.param_groups for p in group["params"]]
    return [state[key] for state in states for key in sorted(state) if key != "step"]


@pytest.mark.usefixtures("by_numpy")
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@cases
def test_beside_float32(name, dtype, order):
    shapes = SHAPES if order is ORDERS["as usual"] else [(9, 33), (17, 5)]
    params = [order(p.detach()).requires_grad_() for p in parameters(shapes=shapes, dtype=dtype)]
    wide = [p.detach().float().requires_grad_() for p in params]
    opt = getattr(ours, name)(params, **OPTIONS[name])
    beside = getattr(torch.optim, name)(wide, **OPTIONS[name])
    for seed in range(6):
        for p, q in zip(params, wide, strict=True):
            make = torch.Generator().manual_seed(seed)
            p.grad = torch.randn(p.shape, generator=make).to(dtype)
            q.grad, q.data = p.grad.float(), p.detach().float()
        opt.step()
        beside.step()
        for p, q in zip(params, wide, strict=True):
            assert_rounded(p.detach(), q.detach())
        assert all(x.dtype == torch.float32 for x in buffers(opt))
        close(buffers(opt), buffers(beside))


@pytest.mark.usefixtures("by_numpy")
@cases
def test_a_checkpoint_keeps_float32_state(name, dtype):
    opt = getattr(ours, name)(parameters(dtype=dtype), **OPTIONS[name])
    train(opt, 3)
    copied = [p.detach().clone().requires_grad_() for p in opt.param_groups[0]["params"]]
    other = getattr(ours, name)(copied, lr=1.0)
    other.load_state_dict(copy.deepcopy(opt.state_dict()))
    same_bits(buffers(other), buffers(opt))
    train(opt, 3)
    train(other, 3)
    same_bits(copied, opt.param_groups[0]["params"])
    same_bits(buffers(other), buffers(opt))


@pytest.mark.usefixtures("by_numpy")
@cases
def test_torchs_16_bit_state_is_widened(name, dtype):
    params = parameters(dtype=dtype)
    theirs = getattr(torch.optim, name)(params, **OPTIONS[name])
    train(theirs, 3)
    assert {x.dtype for x in buffers(theirs)} == {dtype}
    opt = getattr(ours, name)(params, lr=1.0)
    opt.load_state_dict(theirs.state_dict())
    same_bits(buffers(opt), [x.float() for x in buffers(theirs)])
    train(opt, 2)
    assert {x.dtype for x in buffers(opt)} == {torch.float32}
    if name == "Adam":
        assert {int(opt.state[p]["step"]) for p in params} == {5}
    theirs.load_state_dict(opt.state_dict())  # and back, where it is narrowed
    train(theirs, 1)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_model_of_several_dtypes(name):
    """With Numba, each parameter goes as it would alone; memory order is kept."""

    def made():
        images = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(3))
        wide, narrow = parameters(shapes=[(5, 33)] * 2)
        last = images.to(memory_format=torch.channels_last).bfloat16()
        return [wide, narrow.detach().bfloat16().requires_grad_(), last.requires_grad_()]

    together, alone = made(), made()
    opt = getattr(ours, name)(together, **OPTIONS[name])
    single = [getattr(ours, name)([p], **OPTIONS[name]) for p in alone]
    for seed in range(3):
        for p, q in zip(together, alone, strict=True):
            make = torch.Generator().manual_seed(seed)
            p.grad = torch.randn(p.shape, generator=make).to(p.dtype)
            q.grad = p.grad.clone()
        for optimizer in (opt, *single):
            optimizer.step()
    same_bits(together, alone)
    for buffer in opt.state[together[2]].values():
        assert buffer.ndim == 0 or buffer.is_contiguous(memory_format=torch.channels_last)
