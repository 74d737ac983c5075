"""A few steps for compute-sanitizer: odd sizes, strides, norm, zeroing, skipping, averages.

    compute-sanitizer --tool memcheck python -m tests.gpu.sanitize

Every array has device memory of its own, so that a byte past its end belongs to nobody.
"""

import cupy
import numpy as np

import gpuopt
from gpuopt import rules

SIZES = (1, 3, 17, 255, 2049, 40_001, 0)
RULES = (
    rules.SGD(),
    rules.RMSprop(centered=True, momentum=0.9),
    rules.AdamW(amsgrad=True),
)
OPTIONS = (
    {},
    {"max_norm": 1.0, "max_value": 0.1, "loss_scale": 2.0, "zero_grads": True},
    {"skip_nonfinite": True, "max_norm": float("inf")},
)


def arrays(value: float, dtype: type) -> list:
    """Dense ones of odd sizes, one that begins at element 1, and strided ones."""
    made = [cupy.asarray(np.full(n, value, dtype)) for n in SIZES]
    made.append(cupy.asarray(np.full(1001, value, dtype))[1:])
    made.append(cupy.asarray(np.full(5001, value, dtype))[::2])
    made.append(cupy.asarray(np.full((33, 65), value, dtype)).T)
    made.append(cupy.asarray(np.full((9, 20, 4), value, dtype))[..., 0])
    return made


def main() -> None:
    cupy.cuda.set_allocator(None)
    for dtype in (np.float32, np.float64):
        for rule in RULES:
            for options in OPTIONS:
                params, grads = arrays(1.0, dtype), arrays(0.5, dtype)
                opt = gpuopt.Optimizer(params, rule, lr=0.01, average=0.9, backend="cupy")
                opt.step(grads, **options)
                opt.step(arrays(0.25, dtype), **options)
                if "skip_nonfinite" in options:
                    grads[-1][-1:] = np.inf
                    opt.step(grads, **options)
                cupy.cuda.Device().synchronize()
                assert opt.step_count == 2
                print(type(rule).__name__, np.dtype(dtype).name, options, "done", flush=True)


if __name__ == "__main__":
    main()
