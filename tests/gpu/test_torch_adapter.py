"""gpuopt.torch on CUDA tensors, against torch.optim: parity, GradScaler, streams, checkpoints."""

import pytest

from tests.gpu.tools import note
from tests.optional import optional

torch = optional("torch")
if not torch.cuda.is_available():
    pytest.skip("NOT TESTED: this PyTorch sees no GPU", allow_module_level=True)

import gpuopt.torch as fused  # noqa: E402  (needs torch)

SHAPES = [(), (3,), (17, 5), (4, 8, 16), (70_001,)]
WD = {"weight_decay": 0.02}
CASES = [
    ("SGD", {"lr": 0.01, "momentum": 0.9, **WD}),
    ("RMSprop", {"centered": True, "momentum": 0.5, **WD}),
    ("Adam", {"amsgrad": True, **WD}),
    ("AdamW", {}),
    ("NAdam", WD),
    ("RAdam", WD),
    ("Adamax", WD),
    ("Adagrad", WD),
    ("Adadelta", WD),
    ("Rprop", {}),
    ("ASGD", {"lambd": 0.5, "t0": 5, **WD}),
]


def pair(seed=0, dtype=torch.float32):
    """The same parameters twice."""
    generator = torch.Generator("cuda").manual_seed(seed)
    values = [torch.randn(s, device="cuda", dtype=dtype, generator=generator) for s in SHAPES]
    return [[torch.nn.Parameter(v.clone()) for v in values] for _ in range(2)]


def give_gradients(mine, theirs, seed, scale=1.0):
    generator = torch.Generator("cuda").manual_seed(seed)
    for p, q in zip(mine, theirs, strict=True):
        q.grad = torch.randn(p.shape, device="cuda", dtype=p.dtype, generator=generator) * scale
        p.grad = q.grad.clone()


def check(mine, theirs, tolerance=1e-5):
    for p, q in zip(mine, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("name", "options"), CASES, ids=[name for name, _ in CASES])
def test_twenty_steps_and_the_checkpoint(name, options):
    mine, theirs = pair()
    ours, peer = (
        getattr(fused, name)(mine, **options),
        getattr(torch.optim, name)(theirs, **options),
    )
    for t in range(20):
        give_gradients(mine, theirs, t)
        ours.step()
        peer.step()
        if t == 9:
            saved = ours.state_dict()
            ours.load_state_dict(peer.state_dict())
            peer.load_state_dict(saved)
    check(mine, theirs)
    note("torch adapter", rule=name, backend=ours._binding.bounds[0].backend.name)


@pytest.mark.parametrize("by_step", [True, False])
def test_grad_scaler_skips_the_same_steps(by_step):
    """by_step: the step itself unscales and skips, on the GPU; else GradScaler does."""
    mine, theirs = pair()
    ours, peer = fused.Adam(mine, fused=by_step), torch.optim.Adam(theirs, fused=True)
    scalers = [torch.amp.GradScaler("cuda", init_scale=1024.0, growth_interval=3) for _ in "ab"]
    for t in range(12):
        give_gradients(mine, theirs, t, float(scalers[0].get_scale()))
        if t in (2, 3, 7):
            mine[-1].grad[5] = theirs[-1].grad[5] = float("inf")
        for scaler, opt in zip(scalers, (ours, peer), strict=True):
            scaler.scale(torch.ones((), device="cuda"))
            scaler.step(opt)
            scaler.update()
        assert scalers[0].get_scale() == scalers[1].get_scale()
    check(mine, theirs)
    assert float(ours.state[mine[0]]["step"]) == float(peer.state[theirs[0]]["step"]) == 9


def test_clipping_in_the_step():
    mine, theirs = pair()
    ours, peer = fused.AdamW(mine, max_norm=1.0), torch.optim.AdamW(theirs)
    for t in range(5):
        give_gradients(mine, theirs, t)
        norm = torch.nn.utils.clip_grad_norm_(theirs, 1.0)
        ours.step()
        peer.step()
        assert ours.grad_norm == pytest.approx(float(norm), rel=1e-5)
    check(mine, theirs)


def test_a_side_stream_is_followed():
    mine, theirs = pair()
    ours, peer = fused.Adam(mine), torch.optim.Adam(theirs)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for t in range(10):
            torch.cuda._sleep(2_000_000)  # the gradients come late
            give_gradients(mine, theirs, t)
            ours.step()
            peer.step()
    torch.cuda.current_stream().wait_stream(stream)
    check(mine, theirs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_16_bit_parameters(dtype):
    mine, _ = pair(dtype=dtype)
    wide = [torch.nn.Parameter(p.detach().float()) for p in mine]
    ours, peer = fused.AdamW(mine), torch.optim.AdamW(wide)
    for p, q in zip(mine, wide, strict=True):
        p.grad = torch.full_like(p, 0.5)
        q.grad = p.grad.float()
    ours.step()
    peer.step()
    for p, q in zip(mine, wide, strict=True):
        torch.testing.assert_close(p.float(), q.to(dtype).float(), rtol=8e-3, atol=0)
        assert ours.state[p]["exp_avg"].dtype == torch.float32
