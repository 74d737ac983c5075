"""`gpuopt.torch` beside torch.optim: the same parameters, gradients and steps on both sides."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.optional import optional

torch = optional("torch")
ours = optional("gpuopt.torch")

SHAPES = ((37,), (5, 7), (2, 3, 4), ())
SHARED = {
    "SGD": {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1},
    "RMSprop": {"lr": 0.01, "momentum": 0.5, "centered": True, "weight_decay": 0.1},
    "Adam": {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True},
    "AdamW": {"lr": 0.01, "weight_decay": 0.1},
    "NAdam": {"lr": 0.01, "weight_decay": 0.1},
    "RAdam": {"lr": 0.01, "weight_decay": 0.1},
    "Adamax": {"lr": 0.01, "weight_decay": 0.1},
    "Adagrad": {"lr": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5},
    "Adadelta": {"lr": 1.0, "weight_decay": 0.1},
    "Rprop": {"lr": 0.01, "etas": (0.4, 1.3), "step_sizes": (1e-3, 0.1)},
    "ASGD": {"lr": 0.1, "lambd": 0.2, "t0": 4.0, "weight_decay": 0.1},
}


def parameters(seed: int = 0, shapes: Sequence[Any] = SHAPES, dtype: Any = None) -> list[Any]:
    """Leaves of these shapes, the same for the same seed."""
    make = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(shape, generator=make).to(dtype or torch.float32) for shape in shapes]
    return [p.requires_grad_() for p in drawn]


def train(opt: Any, steps: int, seed: int = 1) -> None:
    """Steps with random gradients, the same for the same seed, in new memory every time."""
    make = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for group in opt.param_groups:
            for p in group["params"]:
                p.grad = torch.randn(p.shape, generator=make).to(p.dtype)
        opt.step()


def same_bits(found: Sequence[Any], expected: Sequence[Any]) -> None:
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        if a.dtype == torch.bfloat16:  # which NumPy does not know
            a, b = a.float(), b.float()
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


def close(found: Sequence[Any], expected: Sequence[Any], rtol: float = 2e-5) -> None:
    """Equal to rounding, element by element, for numbers around one."""
    for a, b in zip(found, expected, strict=True):
        a, b = a.detach().numpy(), b.detach().numpy()
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol / 5)


def bits(opt: Any) -> list[Any]:
    """All numbers of an optimizer: parameters and state."""
    params = [p for group in opt.param_groups for p in group["params"]]
    states = [x for p in params for _, x in sorted(opt.state[p].items())]
    return [x.detach().clone() for x in (*params, *states)]


def trained(cls: Any = ours.Adam, steps: int = 3, **options: Any) -> tuple[Any, Any]:
    """Parameters and an optimizer that has taken steps."""
    params = parameters()
    opt = cls(params, **(options or {"lr": 0.01}))
    train(opt, steps)
    return params, opt
