"""Thinc's models, registry and own tests, with this optimizer in the place of Thinc's."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import thinc.api as thincs
from thinc import optimizers
from thinc.tests import test_optimizers as own

import gpuopt.thinc as ours
from tests.thinc.beside import arrays

NAMES = ("Optimizer", "Adam", "RAdam", "SGD")


def trained(opt: Any, X: np.ndarray, Y: np.ndarray) -> tuple[list[float], np.ndarray]:
    """The loss of 100 steps of a small network, and what its averages predict."""
    thincs.fix_random_seed(0)
    model = thincs.chain(thincs.Relu(17), thincs.Relu(9), thincs.Softmax())
    model.initialize(X, Y)
    losses = []
    for _ in range(100):
        guess, backprop = model.begin_update(X)
        losses.append(float(((guess - Y) ** 2).sum()))
        backprop(guess - Y)
        model.finish_update(opt)
        opt.step_schedules()
    with model.use_params(opt.averages or {}):
        return losses, model.predict(X)


@pytest.mark.parametrize("averages", [True, False])
@pytest.mark.parametrize("name", ["Adam", "SGD"])
def test_a_network_learns_alike(name: str, averages: bool) -> None:
    [X] = arrays(1, (60, 11))
    Y = np.eye(3, dtype=np.float32)[X[:, :3].argmax(axis=1)]
    given = {"L2": 1e-3, "use_averages": averages}
    found = trained(getattr(ours, name)(0.01, **given), X, Y)
    expected = trained(getattr(thincs, name)(0.01, **given), X, Y)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-3)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-2, atol=1e-4)
    assert found[0][-1] < found[0][0] * 0.9


@pytest.mark.parametrize("name", NAMES)
def test_configs_know_it_by_name(name: str) -> None:
    config = {"opt": {"@optimizers": f"gpuopt.{name}.v1", "learn_rate": 0.125}}
    opt = thincs.registry.resolve(config)["opt"]
    assert type(opt) is ours.Optimizer
    w, g = np.ones((2, 3), np.float32)[:, None]
    opt((0, "W"), w, g)
    assert not (w == 1).any()


def test_functions_make_what_thincs_make() -> None:
    assert ours.RAdam(0.1).use_radam
    assert not ours.Adam(0.1).use_radam
    assert ours.Adam(0.1, use_averages=False).averages is None
    assert isinstance(ours.SGD(0.1), optimizers.Optimizer)


def test_thincs_own_tests_pass(tmp_path: Any) -> None:
    """In a process of their own, with Thinc's names replaced before the tests are read. All pass:
    they look at no number that is mended here."""
    (tmp_path / "conftest.py").write_text(
        "import thinc.api, thinc.optimizers, gpuopt.thinc as ours\n"
        f"for name in {NAMES}:\n"
        "    setattr(thinc.api, name, getattr(ours, name))\n"
        "    if name != 'Optimizer':\n"
        "        thinc.optimizers.registry.optimizers(f'{name}.v1', func=getattr(ours, name))\n"
    )
    text = Path(own.__file__).read_text()
    text += (
        "\ndef test_these_are_ours():\n"
        "    assert Optimizer.__module__.startswith('gpuopt.')\n"
        "    made = registry.resolve({'o': {'@optimizers': 'Adam.v1', 'learn_rate': 0.1}})['o']\n"
        "    assert type(made) is Optimizer\n"
    )
    (tmp_path / "test_own.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def test_without_thinc_one_sentence_says_so() -> None:
    code = "import sys; sys.modules['thinc'] = None; import gpuopt.thinc"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ImportError: gpuopt.thinc needs Thinc: pip install gpuopt[thinc]" in done.stderr
