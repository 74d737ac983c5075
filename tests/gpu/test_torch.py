"""CUDA tensors as parameters and gradients, against torch.optim on the same numbers."""

import pytest

import gpuopt
from tests.gpu.tools import note
from tests.optional import optional

torch = optional("torch")
if not torch.cuda.is_available():
    pytest.skip("NOT TESTED: this PyTorch sees no GPU", allow_module_level=True)

STEPS, WD = 10, {"weight_decay": 0.02}
SHAPES = [(), (3,), (17, 5), (4, 8, 16), (70_001,)]
CASES = [
    ("SGD", {"lr": 0.01, **WD}),
    ("SGD", {"lr": 0.01, "momentum": 0.9, "nesterov": True, **WD}),
    ("RMSprop", {"lr": 0.01, "centered": True, "momentum": 0.8, **WD}),
    ("Adam", {"lr": 0.01, **WD}),
    ("Adam", {"lr": 0.01, "amsgrad": True, "maximize": True, **WD}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.1}),
]


def draw(seed, dtype):
    generator = torch.Generator("cuda").manual_seed(seed)
    make = {"device": "cuda", "dtype": dtype, "generator": generator}
    return [torch.randn(s, **make) + 2 for s in SHAPES]


@pytest.mark.parametrize("peer", ["foreach", "fused"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    ("rule", "options"), CASES, ids=lambda x: x if isinstance(x, str) else "-".join(x)
)
def test_ten_steps(gpu_backend, rule, options, dtype, peer):
    if peer == "fused" and rule == "RMSprop":
        pytest.skip("torch has no fused RMSprop")
    mine = [p.requires_grad_() for p in draw(1, dtype)]
    theirs = [p.requires_grad_() for p in draw(1, dtype)]
    before = [p.data_ptr() for p in mine]
    opt = getattr(gpuopt, rule)(mine, backend=gpu_backend, **options)
    other = getattr(torch.optim, rule)(theirs, **{peer: True}, **options)
    for t in range(STEPS):
        grads = draw(2 + t, dtype)
        for q, g in zip(theirs, grads, strict=True):
            q.grad = g.clone()
        opt.step(grads)
        other.step()
    tolerance = 30 * STEPS * torch.finfo(dtype).eps
    for p, q in zip(mine, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=tolerance, atol=tolerance)
    largest = max(float((p - q).abs().max()) for p, q in zip(mine, theirs, strict=True))
    name = {"backend": gpu_backend, "rule": rule, "options": str(options), "peer": peer}
    note("torch", **name, dtype=str(dtype), largest_difference=largest)
    assert [p.data_ptr() for p in mine] == before
