"""A few steps for a profiler, and nothing else: Adam over one tensor of 1e8, plain and whole.

    ncu --clock-control none --kernel-name regex:'sweep|square_sums|control' \
        --launch-skip 2 --launch-count 6 python bench/gpu_profile.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))


def main() -> None:
    import cupy
    import numpy as np

    import gpuopt

    count = 100_000_000
    host = np.random.default_rng(0).random(count, np.float32) + np.float32(0.1)
    p, g = cupy.asarray(host), cupy.asarray(host)
    plain = gpuopt.Adam(p, backend="cupy")
    for _ in range(4):
        plain.step(g)
    whole = gpuopt.AdamW(p, average=0.999, backend="cupy")
    for _ in range(2):
        whole.step(g, max_norm=1.0, loss_scale=2.0, skip_nonfinite=True, zero_grads=True)
    cupy.cuda.Device().synchronize()


if __name__ == "__main__":
    main()
