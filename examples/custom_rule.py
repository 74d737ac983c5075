"""An update rule of one's own: one formula, and gpuopt makes the fused kernels.

    python examples/custom_rule.py [STEPS]

AdaBelief (Zhuang et al. 2020): Adam, but v is the average of how far gradients were from what was
expected, so it takes long steps where they come as expected.
"""

import sys
from dataclasses import dataclass

import numpy as np

import gpuopt


@dataclass(frozen=True)
class AdaBelief(gpuopt.Rule):
    """m <- b1 m + (1-b1) g ;  v <- b2 v + (1-b2) (g-m)^2 + eps
    p <- p - lr m_hat / (sqrt(v_hat) + eps)
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-16
    state = ("m", "v")  # kept for each element

    def scalars(self, lr, t):
        """Once a step, in float64: what is the same for all elements."""
        b1, b2 = self.betas
        rates = {"b1": b1, "c1": 1 - b1, "b2": b2, "c2": 1 - b2, "eps": self.eps}
        return {**rates, "size": lr / (1 - b1**t), "spread": (1 - b2**t) ** -0.5}

    def update(self, p, g, m, v, s):
        """One element. It is traced once; there is no Python in a step."""
        m = s.b1 * m + s.c1 * g
        v = s.b2 * v + s.c2 * (g - m) ** 2 + s.eps
        return p - s.size * m / (np.sqrt(v) * s.spread + s.eps), m, v


def rosenbrock(x, y):
    """A bent valley with its bottom, 0, at (1, 1); and its gradient."""
    bend = y - x**2
    return (1 - x) ** 2 + 100 * bend**2, (-2 * (1 - x) - 400 * x * bend, 200 * bend)


def main(steps: int = 3000) -> None:
    params = [np.array([-1.0]), np.array([1.0])]  # or torch tensors, or CuPy arrays
    opt = gpuopt.Optimizer(params, AdaBelief(), lr=0.01)
    for step in range(steps + 1):
        loss, grads = rosenbrock(*params)
        if step % max(1, steps // 6) == 0:
            print(f"step {step:4d}   x {params[0][0]:7.4f}   y {params[1][0]:7.4f}   ", end="")
            print(f"loss {loss[0]:.2e}")
        opt.step(grads)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
