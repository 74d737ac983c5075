"""Files that earlier versions of gpuopt wrote, which must load for ever, and how they were made."""

from pathlib import Path

import numpy as np

import gpuopt

WITHOUT_CHECKSUM = Path(__file__).with_name("without_checksum.safetensors")  # state dict version 1
EXTRA = {"epoch": 2, "losses": [0.5, 0.25]}
STEPS = {"w": 5, "h": 5, "z": 5, "late": 2}


def optimizer():
    """NAdam, whose rule carries a number for each parameter, over two groups, with averages."""
    params = {
        "w": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
        "h": np.linspace(1, 2, 3, dtype=np.float16),
        "z": np.array([1 + 2j, 3 - 1j], np.complex64),
        "late": np.array([0.5, -0.5]),
    }
    groups = [
        {"params": {k: params[k] for k in ("w", "h")}, "weight_decay": 0.1},
        {"params": {k: params[k] for k in ("z", "late")}, "lr": 0.5},
    ]
    return gpuopt.NAdam(groups, lr=0.25, average=0.9, backend="numpy"), params


def train(opt, params):
    """Five steps; `late` has a gradient in the last two."""
    for t in range(5):
        grads = {k: np.cos(t + np.arange(p.size)).reshape(p.shape) for k, p in params.items()}
        grads = {k: g.astype(params[k].dtype) for k, g in grads.items()}
        late = grads["late"] if t > 2 else None
        opt.step([{k: grads[k] for k in ("w", "h")}, {"z": grads["z"], "late": late}])


def generators():
    return {"data": np.random.default_rng(7), "dropout": np.random.Generator(np.random.SFC64(8))}


def write(path):
    """What wrote the files, each with the version of its time."""
    opt, params = optimizer()
    train(opt, params)
    rngs = generators()
    for rng in rngs.values():
        rng.random(3)
    opt.save(path, params=True, rngs=rngs, extra=EXTRA)
