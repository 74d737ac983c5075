"""gpuopt.torch.Rprop and ASGD beside torch.optim's, through random training: gradients that are
missing, learning rates that change, states that go over to the other library."""

import copy
from typing import Any

import numpy as np
import pytest

from gpuopt import backends
from tests.optional import optional

torch = optional("torch")
ours = optional("gpuopt.torch")

SHAPES = ((3, 4), (7,), ())
DTYPES = (torch.float32, torch.float64, torch.complex64)
CHOICES: dict[str, dict[str, tuple[Any, ...]]] = {
    "Rprop": {
        "lr": (0.0, 1e-3, 0.1),
        "etas": ((0.3, 1.2), (0.5, 2.0)),
        "step_sizes": ((1e-6, 50), (1e-2, 0.1), (0, 1)),
    },
    "ASGD": {
        "lr": (0.0, 1e-3, 0.1),
        "lambd": (0, 1e-4, 0.5),
        "alpha": (0.75, 1, 0.0),
        "t0": (1e6, 0, 5, -3),
        "weight_decay": (0, 0.1),
    },
}


@pytest.fixture(autouse=True)
def _numpy_and_the_default_dtype(monkeypatch: pytest.MonkeyPatch) -> Any:
    numpy = backends.load("numpy")
    monkeypatch.setattr("gpuopt.torch.bound.backend_for", lambda parts: numpy)
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("tries", [25, pytest.param(2000, marks=pytest.mark.long)])
def test_random_training(tries: int) -> None:
    for seed in range(tries):
        once(np.random.default_rng(seed), f"seed {seed}")


def once(rng: np.random.Generator, what: str) -> None:
    def pick(values: Any) -> Any:
        return values[rng.integers(len(values))]

    name, dtype = pick(sorted(CHOICES)), pick(DTYPES)
    torch.set_default_dtype(torch.float64 if dtype == torch.float64 else torch.float32)
    options = {key: pick(values) for key, values in CHOICES[name].items()}
    options |= {"maximize": pick((True, False)), "foreach": pick((True, False))}
    params = [drawn(rng, shape, dtype) for shape in SHAPES]
    sides = [[torch.nn.Parameter(p.clone()) for p in params] for _ in range(2)]
    makes = [getattr(library, name) for library in (ours, torch.optim)]
    opts = [make(side, **options) for make, side in zip(makes, sides, strict=True)]
    for _ in range(20):
        if rng.random() < 0.2:
            lr = pick((0.0, 1e-2, 0.05))
            for opt in opts:
                opt.param_groups[0]["lr"] = lr
        for pair in zip(*sides, strict=True):
            g = None if rng.random() < 0.3 else drawn(rng, pair[0].shape, dtype)
            for p in pair:
                p.grad = None if g is None else g.clone()
        for opt in opts:
            opt.step()
        if rng.random() < 0.15:
            saved = [copy.deepcopy(opt.state_dict()) for opt in opts]
            opts = [make(side, lr=0.3) for make, side in zip(makes, sides, strict=True)]
            for opt, of_the_other in zip(opts, reversed(saved), strict=True):
                opt.load_state_dict(of_the_other)
    tolerance = 2000 * torch.finfo(dtype).eps
    for p, q in zip(*sides, strict=True):
        torch.testing.assert_close(p, q, rtol=tolerance, atol=tolerance, msg=what)
        state, expected = opts[0].state[p], opts[1].state[q]
        assert state.keys() == expected.keys(), what
        for key, value in expected.items():
            np.testing.assert_allclose(
                state[key].numpy(), value.numpy(), tolerance, tolerance, err_msg=f"{what}: {key}"
            )


def drawn(rng: np.random.Generator, shape: Any, dtype: Any) -> Any:
    real = torch.from_numpy(np.asarray(rng.normal(size=shape)))
    if not dtype.is_complex:
        return real.to(dtype)
    return torch.complex(real, torch.from_numpy(np.asarray(rng.normal(size=shape)))).to(dtype)
