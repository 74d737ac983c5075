"""What gpuopt is compared with on a GPU: torch.optim, and sequences of torch calls."""

from typing import Any

import cupy
import torch

import gpuopt
from gpuopt.bench.cases import Shapes


def tensors(shapes: Shapes, seed: int) -> list[torch.Tensor]:
    """Numbers from 0.1 to 1.1 on the GPU."""
    generator = torch.Generator("cuda").manual_seed(seed)
    make = {"device": "cuda", "generator": generator}
    return [torch.rand(shape, **make) + 0.1 for shape in shapes]


def arrays(shapes: Shapes, seed: int) -> list[Any]:
    """The same numbers as CuPy arrays over memory of their own."""
    torch.cuda.synchronize()
    made = [cupy.from_dlpack(t) for t in tensors(shapes, seed)]
    torch.cuda.synchronize()
    return made


def peer(name: str, kind: str, shapes: Shapes, **options: Any) -> torch.optim.Optimizer:
    """torch's optimizer of that name, kind "fused" or "foreach", on the same numbers."""
    params = [t.requires_grad_() for t in tensors(shapes, 0)]
    for p, g in zip(params, tensors(shapes, 1), strict=True):
        p.grad = g
    return getattr(torch.optim, name)(params, **{kind: True}, **options)


def difference(params: list[Any], other: list[Any]) -> float:
    """The largest difference of CuPy arrays from tensors or arrays; raises if it is no rounding.

    Compared on the GPU, in torch.
    """
    cupy.cuda.Device().synchronize()
    torch.cuda.synchronize()
    worst = 0.0
    for ours, theirs in zip(params, other, strict=True):
        a = torch.from_dlpack(ours)
        b = theirs.detach() if isinstance(theirs, torch.Tensor) else torch.from_dlpack(theirs)
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
        worst = max(worst, float((a - b).abs().max()))
    print(f"  parity: largest difference {worst:.3g}", flush=True)
    return worst


DECAY, WEIGHT_DECAY, MAX_NORM, SCALE = 0.999, 0.01, 1.0, 1024.0


class TorchSequence:
    """Unscale, clip, AdamW, average and zero, as fast as torch's own functions do it.

    plain: unscale and check by GradScaler's function, clip_grad_norm_, fused AdamW.
    folded: clipping joins the scale that fused AdamW divides by, so gradients are read once less.
    """

    def __init__(self, shapes: Shapes, folded: bool) -> None:
        self.folded, self.t = folded, 0
        options = {"lr": 1e-3, "weight_decay": WEIGHT_DECAY}
        self.opt = peer("AdamW", "fused", shapes, **options)
        self.params = self.opt.param_groups[0]["params"]
        self.grads = [p.grad for p in self.params]
        self.given = [g.clone() for g in self.grads]
        self.averages = [torch.zeros_like(p) for p in self.params]
        self.scale = torch.full((), SCALE, device="cuda")
        self.found = torch.zeros((), device="cuda")

    def refill(self) -> None:
        torch._foreach_copy_(self.grads, self.given)

    @torch.no_grad()
    def step(self) -> None:
        self.t += 1
        self.fold() if self.folded else self.unscale_and_clip()
        self.opt.step()
        weight = (1 - DECAY) / (1 - DECAY**self.t)
        torch._foreach_lerp_(self.averages, self.params, weight)
        torch._foreach_zero_(self.grads)

    def unscale_and_clip(self) -> None:
        self.found.zero_()
        inverse = self.scale.reciprocal()
        torch._amp_foreach_non_finite_check_and_unscale_(self.grads, self.found, inverse)
        torch.nn.utils.clip_grad_norm_(self.params, MAX_NORM, foreach=True)
        self.opt.grad_scale, self.opt.found_inf = None, self.found

    def fold(self) -> None:
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(self.grads))) / self.scale
        clip = (MAX_NORM / (norm + 1e-6)).clamp(max=1.0)
        self.opt.grad_scale = self.scale / clip
        self.opt.found_inf = (~torch.isfinite(norm)).to(torch.float32)


class WholeStep:
    """The same with gpuopt: one step."""

    def __init__(self, shapes: Shapes) -> None:
        self.params, self.grads = arrays(shapes, 0), arrays(shapes, 1)
        self.given = arrays(shapes, 1)
        self.opt = gpuopt.AdamW(
            self.params, lr=1e-3, weight_decay=WEIGHT_DECAY, average=DECAY, backend="cupy"
        )
        self.options = {"max_norm": MAX_NORM, "skip_nonfinite": True, "zero_grads": True}

    def refill(self) -> None:
        for g, values in zip(self.grads, self.given, strict=True):
            g.data.copy_from_device_async(values.data, values.nbytes)

    def step(self) -> None:
        self.opt.step(self.grads, loss_scale=SCALE, **self.options)
