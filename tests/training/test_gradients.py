"""`gpuopt train --gradient-check`."""

import numpy as np
import pytest

from gpuopt.cli import main
from gpuopt.training import data, device, gradients
from gpuopt.training.settings import Settings
from tests.training import remote


def test_a_wrong_gradient_is_exit_code_1_and_nothing_is_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    right = gradients.cost_and_gradients

    def wrong(*args):
        cost, grads = right(*args)
        grads[2] = grads[2] * 2
        return cost, grads

    monkeypatch.setattr(gradients, "cost_and_gradients", wrong)
    monkeypatch.setattr("gpuopt.training.progress.run_all", None)
    assert main(["train", "--device", "cpu", "--gradient-check", "--json", "x.json"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("gradient check FAILED")
    assert "params['W2']" in out.splitlines()[2]
    assert "The gradient of params['W2'] is 2 times the numeric one throughout" in out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("changes", [{}, {"hidden": ()}, {"hidden": (1, 1, 1)}, {"l2": 3.0}])
@pytest.mark.parametrize("size", [1.0, 1e6])
def test_the_network_s_gradients_are_right_for_any_data(changes, size):
    settings = Settings(**{"lr": {"sgd": 0.1}, "batch_size": 10, **changes})
    rng = np.random.default_rng(0)
    X = (size * rng.random((30, 50))).astype(np.float32)
    examples = data.Data("random", X, rng.integers(0, 3, (1, 50)), X, rng.integers(0, 3, (1, 50)))
    found = gradients.check(examples, settings, device.cpu())
    assert found
    assert {p.index for p in found.worst} == {None}  # random directions, as elements take long


def test_the_gradients_are_checked_on_the_device_with_the_batch_s_share_of_l2(monkeypatch):
    cupy, arrays, strengths = remote.installed(monkeypatch), [], set()
    right = gradients.cost_and_gradients

    def spy(params, X, Y, l2):
        arrays.extend([*params, X, Y])
        strengths.add(l2 / X.shape[1])
        return right(params, X, Y, l2)

    monkeypatch.setattr(gradients, "cost_and_gradients", spy)
    gpu = device.Device("gpu", cupy.array, lambda batches: batches, lambda: None)
    settings = Settings(lr={"sgd": 0.1}, hidden=(5,), l2=0.2, batch_size=64)
    assert gradients.check(data.digits(np.random.default_rng(0)), settings, gpu)
    assert {type(x) for x in arrays} == {remote.Remote}
    assert strengths == {0.2 / 64}
