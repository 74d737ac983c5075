"""Training on the digits: accuracy, falling losses, the same numbers twice."""

import json

import numpy as np
import pytest

from gpuopt.cli import main
from gpuopt.training import data, device, figure, network, run, start
from gpuopt.training.settings import DEFAULT_LR, Settings


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """What `gpuopt train` writes with its defaults on the CPU."""
    folder = tmp_path_factory.mktemp("train")
    paths = folder / "curve.png", folder / "run.json"
    args = ["train", "--device", "cpu", "--plot", str(paths[0]), "--json", str(paths[1])]
    assert main(args) == 0
    return paths


@pytest.fixture(scope="module")
def report(output):
    return json.loads(output[1].read_text())


def test_adam_reads_the_digits(report):
    assert report["optimizers"]["adam"]["accuracy"] >= 0.96


def test_all_four_losses_fall(report):
    runs = report["optimizers"]
    assert list(runs) == ["sgd", "momentum", "rmsprop", "adam"]
    for result in runs.values():
        assert result["loss"] < 0.02 * result["loss_before"]
        assert np.mean(result["losses"][-20:]) < 0.05 * result["losses"][0]


def test_all_start_from_the_same_parameters_and_the_same_batch(report):
    runs = list(report["optimizers"].values())
    assert len({result["loss_before"] for result in runs}) == 1
    assert len({result["losses"][0] for result in runs}) == 1
    assert len({result["losses"][1] for result in runs}) == len(runs)


def test_the_json_says_how_to_repeat_the_run(report):
    assert report["settings"]["batch_size"] == 64
    assert report["device"] == "cpu"
    assert report["versions"]["gpuopt"]
    adam = report["optimizers"]["adam"]
    assert adam["rule"].startswith("Adam(betas=(0.9, 0.999)")
    assert len(adam["losses"]) == len(adam["at"]) == 20 * 23
    assert adam["at"] == sorted(adam["at"])
    assert 0 < adam["seconds_in_optimizer"] < adam["seconds"] == adam["at"][-1]


def test_the_picture_is_a_png_of_two_panels(output):
    from matplotlib.image import imread

    height, width, _ = imread(output[0]).shape
    assert width > 2 * height > 1000


def trained(place=None, **changes):
    """The `Result` of a short run with Adam."""
    settings = Settings(**{"lr": DEFAULT_LR, "epochs": 1, "hidden": (16,), **changes})
    examples = data.digits(start.stream(settings, start.SPLIT), settings.normalize)
    return run.train("adam", examples, settings, place or device.cpu(), "numpy")


def short(place=None, **changes):
    return trained(place, **changes).losses


def test_the_same_seed_gives_the_same_numbers():
    assert short() == short()
    assert short() != short(seed=1)


class Remote(np.ndarray):
    """An array on another device: no arithmetic with arrays of the CPU."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        assert all(isinstance(x, Remote) or np.ndim(x) == 0 for x in inputs)
        inputs = [np.asarray(x) if isinstance(x, Remote) else x for x in inputs]
        if out is not None:
            options["out"] = tuple(np.asarray(x) for x in out)
        return np.asarray(getattr(ufunc, method)(*inputs, **options)).view(Remote)


def remote(array):
    return np.array(array).view(Remote)


def test_a_gpu_sees_the_data_only_in_mini_batches_and_in_the_cpu_s_order(monkeypatch):
    monkeypatch.setattr(run, "BLOCK", 500)
    sizes = []

    class Feed:
        def __init__(self, batches):
            self.batches = batches

        def __iter__(self):
            for X, Y in self.batches:
                sizes.append(X.shape[1])
                yield remote(X), remote(Y)

    gpu = device.Device("gpu", remote, Feed, lambda: None)
    assert short(gpu, batch_size=400) == short(batch_size=400)
    before, epoch, after = [500, 500, 438], [400, 400, 400, 238], [500, 500, 438, 359]
    assert sizes == [400, *before, *epoch, *after]


def test_evaluation_in_blocks_is_evaluation_at_once(monkeypatch):
    digits = data.digits(np.random.default_rng(0))
    params = network.initialise((64, 5, 10), np.random.default_rng(1))
    at_once = network.evaluate(params, digits.X, digits.Y)
    monkeypatch.setattr(run, "BLOCK", 100)
    assert run.evaluation(params, digits.X, digits.Y, device.cpu()) == pytest.approx(at_once)


def test_l2_changes_the_cost():
    assert short(l2=1.0)[0] > short()[0]


def test_every_example_is_seen_once_in_an_epoch(monkeypatch):
    seen = []
    real = run.cost_and_gradients

    def spy(params, X, Y, l2=0.0):
        seen.append(X.shape[1])
        return real(params, X, Y, l2)

    monkeypatch.setattr(run, "cost_and_gradients", spy)
    monkeypatch.setattr(run.Run, "warm_up", lambda *args: None)
    short(batch_size=100)
    assert seen == [100] * 14 + [38]


def test_a_run_that_diverges_is_reported_and_no_crash(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    args = "train --device cpu --optimizer sgd,adamw --lr 1e30 --epochs 1 --json out.json"
    assert main(args.split()) == 0
    assert "diverged" in capsys.readouterr().out
    assert None in json.loads((tmp_path / "out.json").read_text())["optimizers"]["sgd"]["losses"]


def test_every_batch_is_regularised_alike(monkeypatch):
    digits = data.digits(np.random.default_rng(0))
    settings = Settings(lr={"sgd": 0.1}, hidden=(), batch_size=1000, epochs=1, l2=0.5)
    real, strengths = run.cost_and_gradients, []

    def watched(params, X, Y, l2=0.0):
        strengths.append(l2 / X.shape[1])
        return real(params, X, Y, l2)

    monkeypatch.setattr(run, "cost_and_gradients", watched)
    run.train("sgd", digits, settings, device.cpu(), "numpy")
    whole, rest = strengths[-2:]
    assert digits.X.shape[1] % 1000
    assert whole == rest == pytest.approx(0.5 / 1000)


def test_a_run_that_stops_between_epochs_can_go_on():
    settings = Settings(lr={"adam": 0.01}, hidden=(16,), epochs=3, schedule="cosine", average=0.9)
    examples = data.digits(start.stream(settings, start.SPLIT))

    def new():
        begin = start.start_of(examples, settings)
        return run.Run("adam", begin, examples, settings, device.cpu(), "numpy")

    def finish(going, epochs):
        for _ in range(epochs):
            going.epoch(lambda loss: None)
        found = vars(going.result())
        return {k: v for k, v in found.items() if k != "at" and not k.startswith("seconds")}

    expected = finish(new(), 3)
    stopped = new()
    finish(stopped, 1)
    later = new()
    for p, value in zip(later.params, stopped.params, strict=True):
        p[...] = value
    later.optimizer.load_state_dict(stopped.optimizer.state_dict())
    later.batches.load_state_dict(stopped.batches.state_dict())
    later.history = run.History(**json.loads(json.dumps(vars(stopped.history))))
    assert finish(later, 2) == expected


def test_the_smoothed_curve_goes_on_after_a_loss_that_cannot_be_drawn():
    losses = np.array([0.5, 0.1, np.nan, 0.0, np.inf, 0.05])
    smooth = figure.smoothed(losses)
    np.testing.assert_array_equal(np.isnan(smooth), [False, False, True, True, True, False])
    np.testing.assert_allclose(smooth[[0, 1, 5]], figure.smoothed(losses[[0, 1, 5]]))
