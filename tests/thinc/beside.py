"""`gpuopt.thinc` beside Thinc itself. Calls below take the same arrays on both sides."""

from typing import Any

import numpy as np

from tests.optional import optional

optional("thinc")

KEY = (3, "W")
ROUNDING = {"rtol": 3e-5, "atol": 3e-6}


def arrays(seed: int, shape: Any = (7, 37), count: int = 1) -> list[np.ndarray]:
    """Float32 arrays that no two tests share."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(np.float32) for _ in range(count)]


def run(
    opt: Any, weights: np.ndarray, grads: list[np.ndarray], lr_scale: float = 1.0
) -> np.ndarray:
    """The weights after one call for each gradient, all left as they were."""
    weights = weights.copy()
    for g in grads:
        opt(KEY, weights, g.copy(), lr_scale=lr_scale)
        opt.step_schedules()
    return weights
