"""What `gpuopt train` can be asked for beside the optimizers, and where it says so."""

import json

import numpy as np
import pytest

from gpuopt.cli import main
from gpuopt.errors import InputError
from gpuopt.training import data, device, run, start
from gpuopt.training.settings import Settings


def trained(**changes):
    """The `Result` of a short run with momentum."""
    settings = Settings(**{"lr": {"momentum": 0.1}, "epochs": 2, "hidden": (16,), **changes})
    examples = data.digits(start.stream(settings, start.SPLIT), settings.normalize)
    return run.train("momentum", examples, settings, device.cpu(), "numpy")


def test_the_schedule_sets_the_rate_of_every_step():
    constant, same = trained(), trained(schedule="staircase:1:5")
    assert constant.losses == same.losses
    assert constant.last_lr == same.last_lr == 0.1
    falling, half = trained(schedule="staircase:0.5:1"), trained(lr={"momentum": 0.05})
    per_epoch = len(constant.losses) // 2
    assert falling.losses[: per_epoch + 1] == constant.losses[: per_epoch + 1]
    assert falling.losses[per_epoch + 2 :] != constant.losses[per_epoch + 2 :]
    assert (falling.lr, falling.last_lr) == (0.1, 0.05)
    assert trained(schedule="exponential:0.5", epochs=1).losses == half.losses[:per_epoch]


def test_the_average_is_evaluated_beside_the_last_weights_and_changes_no_step():
    plain, averaged = trained(), trained(average=0.98)
    assert plain.averaged_loss is plain.averaged_accuracy is None
    assert (averaged.losses, averaged.loss) == (plain.losses, plain.loss)
    assert averaged.averaged_loss != averaged.loss
    assert 0.3 < averaged.averaged_accuracy < averaged.accuracy
    last = trained(average=0.0)  # an average of the last weights alone
    assert last.averaged_loss == last.loss == plain.loss
    assert last.averaged_accuracy == last.accuracy == plain.accuracy


@pytest.mark.parametrize("average", [-0.1, 1.0, float("nan")])
def test_an_average_that_is_none(average):
    with pytest.raises(InputError, match=r"--average .*: the decay must be "):
        Settings(lr={"sgd": 0.1}, average=average)


def test_inputs_as_they_are():
    plain = data.digits(np.random.default_rng(0), normalize=False)
    normal = data.digits(np.random.default_rng(0))
    assert plain.X.dtype == np.float32
    assert set(np.unique(plain.X)) == set(range(17))
    mean, deviation = (f(plain.X, axis=1, keepdims=True) for f in (np.mean, np.std))
    deviation[deviation == 0] = 1
    np.testing.assert_allclose(normal.X_test, (plain.X_test - mean) / deviation, atol=1e-5)
    assert trained(normalize=False).losses != trained().losses


def test_inputs_too_large_for_float32(tmp_path):
    X = np.ones((4, 2)) * [[1e200, 1]]
    np.savez(tmp_path / "x.npz", X=X, Y=[0, 1, 0, 1])
    with pytest.raises(InputError, match="X or X_test holds numbers too large for float32"):
        data.from_file(tmp_path / "x.npz", np.random.default_rng(0), normalize=False)
    X[0, 0] = -1e200
    np.savez(tmp_path / "x.npz", X=X, Y=[0, 1, 0, 1], X_test=X, Y_test=[0, 1, 0, 1])
    with pytest.raises(InputError, match=r"x\.npz: X has numbers too large to be normalised"):
        data.from_file(tmp_path / "x.npz", np.random.default_rng(0))


ASKED = "--schedule cosine --average 0.9 --no-normalize --gradient-check --l2 0.1".split()  # noqa: SIM905


def command(*more):
    return ["train", "--device", "cpu", "--epochs", "1", "--hidden", "8", *more]


def test_table_title_and_json_say_what_was_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def draw(results, title, path, kind):
        path.write_text(title)

    monkeypatch.setattr("gpuopt.training.figure.draw", draw)
    assert main(command("--json", "x.json", "--plot", "x.png", *ASKED)) == 0
    title = (tmp_path / "x.png").read_text()
    out = capsys.readouterr().out
    assert out.startswith("gradient check passed: relative error")
    for words in ("inputs not normalised", "schedule cosine", "average 0.9", "L2 0.1"):
        assert words in title
        assert words in " ".join(out.split())
    assert "averaged: with averages of the weights" in " ".join(out.split())
    table = out[out.index("optimizer  ") :]
    columns = ["optimizer", "lr", "loss", "accuracy", "averaged", "seconds", "optimizer"]
    assert table.splitlines()[0].split() == columns
    assert max(map(len, out.splitlines())) <= 80
    written = json.loads((tmp_path / "x.json").read_text())
    settings = {"schedule": "cosine", "average": 0.9, "normalize": False}
    assert settings.items() <= written["settings"].items()
    assert written["gradient_check"]["passed"] is True
    assert written["gradient_check"]["error"] < 1e-6
    for result in written["optimizers"].values():
        assert result["last_lr"] == 0
        assert f"{result['averaged_accuracy']:.4f}" in table


def test_what_was_not_asked_for_is_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(command("--no-plot", "--json", "x.json")) == 0
    out = capsys.readouterr().out
    for words in ("gradient", "normalised", "schedule", "average"):
        assert words not in out.replace("gradient descent", "")
    assert json.loads((tmp_path / "x.json").read_text())["gradient_check"] is None


@pytest.mark.parametrize("own", [[], ["X", "Y"], ["X", "Y", "X_test", "Y_test"]])
def test_the_command_normalises_or_does_not(own, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, Y = np.random.default_rng(0).normal(9, 3, (100, 4)), np.arange(100) % 3
    sets = {"X": X, "Y": Y, "X_test": X, "Y_test": Y}
    np.savez("x.npz", **{name: sets[name] for name in own})
    losses = set()
    for option in ("--normalize", "--no-normalize"):
        args = [*(["--data", "x.npz"] if own else []), "--no-plot", "--json", "x.json", option]
        assert main(command("--optimizer", "sgd", *args)) == 0
        written = json.loads((tmp_path / "x.json").read_text())
        losses.add(written["optimizers"]["sgd"]["loss_before"])
    assert len(losses) == 2
