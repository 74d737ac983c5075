"""`gpuopt info` and `train` on a GPU, in processes of their own; ci/gpu.sh runs `selftest`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def gpuopt(folder, *args):
    """What the command wrote with --json."""
    done = subprocess.run(
        [sys.executable, "-m", "gpuopt", *args, "--json", "out.json"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return json.loads((folder / "out.json").read_text())


def test_info_names_the_gpu(tmp_path):
    found = gpuopt(tmp_path, "info")
    assert found["backends"]["cupy"] is None
    assert found["gpus"][0]["memory"] > 2**30
    assert "on the GPU" in found["verdict"]


def train(folder, *args):
    common = ("--epochs", "3", "--optimizer", "sgd,adam", "--no-plot")
    return gpuopt(folder, "train", *common, *args)


def test_train_on_the_gpu_ends_where_the_cpu_does(tmp_path):
    """The same parameters and mini-batches; only the order in which sums are taken differs."""
    on_gpu, on_cpu = train(tmp_path, "--device", "cuda"), train(tmp_path, "--device", "cpu")
    ours, theirs = (
        {name: result["loss"] for name, result in run["optimizers"].items()}
        for run in (on_gpu, on_cpu)
    )
    assert set(ours) == {"sgd", "adam"}
    for name, loss in ours.items():
        assert loss == pytest.approx(theirs[name], rel=0.05), name
        assert loss < 1.0
        assert on_gpu["optimizers"][name]["backend"] == "cupy"
