"""`gpuopt train --checkpoint --resume`: stopped anywhere, and the same bits in the end."""

import dataclasses
import json
import signal
from types import SimpleNamespace

import numpy as np
import pytest

import gpuopt
from gpuopt import memory
from gpuopt.cli import main
from gpuopt.errors import InputError
from gpuopt.training import choose, device, resume
from gpuopt.training.data import Data
from gpuopt.training.progress import run_all
from gpuopt.training.run import train
from gpuopt.training.settings import Settings


def from_arrays(rng):
    """60 examples of 5 features and 3 classes, and 20 to test."""
    X, Y = rng.standard_normal((5, 80)).astype(np.float32), rng.integers(0, 3, (1, 80))
    return Data("made up", X[:, :60].copy(), Y[:, :60], X[:, 60:].copy(), Y[:, 60:])


NAMES = ["momentum", "adam"]
SETTINGS = Settings(
    lr={"momentum": 0.1, "adam": 0.01}, hidden=(8,), batch_size=16, epochs=3, average=0.9,
    schedule="cosine:0",
)  # fmt: skip


@pytest.fixture(scope="module")
def data():
    return from_arrays(np.random.default_rng(0))


@pytest.fixture(scope="module")
def never_stopped(data):
    return {name: train(name, data, SETTINGS, device.cpu(), "numpy") for name in NAMES}


class StopsAt(resume.Checkpoint):
    """Gets a signal at a given step, counted over all optimizers."""

    countdown = 0

    def after_step(self, run):
        self.countdown -= 1
        if self.countdown == 0:
            signal.raise_signal(signal.SIGTERM)
        super().after_step(run)


def run_until_done(path, data, stops):
    """Run with a stop after each of `stops` steps; how often it stopped, and the results."""
    about = resume.identity(NAMES, data, SETTINGS, "cpu", "numpy")
    stopped = 0
    for steps in [*stops, 0]:
        checkpoint = StopsAt(path, 5, about)
        checkpoint.countdown = steps
        if path.exists():
            checkpoint.read(path)
        try:
            results = run_all(NAMES, data, SETTINGS, device.cpu(), "numpy", checkpoint)
        except resume.Stopped as error:
            stopped += error.exit_code == 143 and "SIGTERM" in str(error)
    return stopped, results


@pytest.mark.parametrize("stops", [(1,), (5,), (7, 3, 1, 4), (2, 20), (15, 1, 7)], ids=str)
def test_a_run_that_was_stopped_ends_with_the_same_bits(tmp_path, data, never_stopped, stops):
    stopped, results = run_until_done(tmp_path / "run", data, stops)
    assert stopped == len(stops)
    for name in NAMES:
        assert results[name].losses == never_stopped[name].losses
        for what in ("loss", "accuracy", "averaged_loss", "averaged_accuracy", "loss_before"):
            assert getattr(results[name], what) == getattr(never_stopped[name], what)


def test_a_crash_goes_on_from_the_last_save(tmp_path, data, never_stopped):
    class Crashes(resume.Checkpoint):
        def after_step(self, run):
            super().after_step(run)
            if run.name == "adam" and len(run.history.losses) == 8:
                raise KeyboardInterrupt

    path = tmp_path / "run"
    about = resume.identity(NAMES, data, SETTINGS, "cpu", "numpy")
    with pytest.raises(KeyboardInterrupt):
        run_all(NAMES, data, SETTINGS, device.cpu(), "numpy", Crashes(path, 5, about))
    again = resume.Checkpoint(path, 5, about)
    again.read(path)
    assert list(again.finished) == ["momentum"]
    assert len(again.run["history"]["losses"]) == 5
    results = run_all(NAMES, data, SETTINGS, device.cpu(), "numpy", again)
    assert results["adam"].losses == never_stopped["adam"].losses


def test_signals_are_as_before_afterwards(tmp_path, data):
    before = signal.getsignal(signal.SIGTERM)
    run_until_done(tmp_path / "run", data, (3,))
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_run_is_refused(tmp_path, data):
    path = tmp_path / "run"
    run_until_done(path, data, ())
    other = dataclasses.replace(data, X=data.X + np.float32(1))
    for what, changed, message in [
        ("data", (NAMES, other, SETTINGS), "data"),
        ("epochs", (NAMES, data, dataclasses.replace(SETTINGS, epochs=4)), "epochs 3"),
        ("optimizers", (["adam"], data, SETTINGS), "optimizers"),
    ]:
        about = resume.identity(*changed, "cpu", "numpy")
        with pytest.raises(InputError, match=message):
            resume.open_checkpoint(path, True, 5, about)
        assert what in about


def test_the_command_resumes_and_says_what_it_cannot_use(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["train", "--optimizer", "sgd", "--hidden", "none", "--epochs", "1", "--no-plot"]
    words += ["--backend", "numpy", "--checkpoint", "run"]
    assert main([*words, "--resume", "--json", "a.json"]) == 0  # nothing there yet: from the start
    assert main([*words, "--resume", "--json", "b.json"]) == 0
    losses = [json.loads((tmp_path / f).read_text())["optimizers"] for f in ("a.json", "b.json")]
    assert losses[0] == losses[1]
    capsys.readouterr()
    assert main(words) == 2
    assert "exists already; give --resume" in capsys.readouterr().err
    assert main([*words, "--resume", "--seed", "1"]) == 2
    assert "is of a run with seed 0" in capsys.readouterr().err
    (tmp_path / "run").write_bytes(b"not a checkpoint")
    assert main([*words, "--resume"]) == 2
    assert "run: this is no safetensors file" in capsys.readouterr().err
    assert main(["train", "--resume"]) == 2
    assert "--resume needs --checkpoint" in capsys.readouterr().err
    assert main([*words[:-1], "new", "--save-every", "0"]) == 2
    assert "--save-every 0: must be at least 1" in capsys.readouterr().err


def test_a_damaged_file_and_what_is_no_file_are_refused(tmp_path, capsys, data):
    path = tmp_path / "run"
    words = ["train", "--optimizer", "sgd", "--hidden", "none", "--epochs", "1", "--no-plot"]
    words += ["--backend", "numpy", "--checkpoint", str(path)]
    assert main(words) == 0
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1  # of the tensors, which are not needed where all optimizers are done
    path.write_bytes(raw)
    capsys.readouterr()
    assert main([*words, "--resume"]) == 2
    error = capsys.readouterr().err
    assert "run: the file is damaged" in error
    assert len(error.splitlines()) == 1
    path.unlink()
    path.mkdir()
    assert main([*words, "--resume"]) == 2
    assert "run is a folder; give the name of a file" in capsys.readouterr().err
    opt = gpuopt.SGD(np.ones(3), lr=1, backend="numpy")
    path.rmdir()
    for extra in (None, {"about": {}, "finished": [], "run": None}, {"about": 3}):
        opt.save(path, extra=extra)
        assert main([*words, "--resume"]) == 2
        assert "was not written by gpuopt train" in capsys.readouterr().err


def test_fit_needs_no_batch_size_that_fits_the_data(tmp_path, capsys):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "small.npz", X=rng.standard_normal((45, 3)), Y=np.arange(45) % 3)
    words = ["train", "--data", str(tmp_path / "small.npz"), "--optimizer", "sgd", "--epochs", "1"]
    assert main([*words, "--no-plot", "--fit"]) == 0
    assert "--fit: batches of 36 of 36 examples" in capsys.readouterr().out


def test_fit_takes_a_smaller_batch_where_memory_is_short(monkeypatch, data):
    wide = dataclasses.replace(SETTINGS, hidden=(2048,))
    reports = []

    def fit(*args, budget="1GiB", **options):
        reports.append(memory.fit(*args, budget=budget, **options))
        return reports[-1]

    # what libraries take besides is more than this network, and not the same in each run
    monkeypatch.setattr("gpuopt.memory.places.Cpu.outside", lambda self: 0)
    monkeypatch.setattr(choose, "memory", SimpleNamespace(**{**vars(memory), "fit": fit}))
    assert choose.fitting_batch_size(NAMES, data, wide, device.cpu())[0] == 60
    enough = int(1.5 * reports[-1].predict(16))
    monkeypatch.setattr(fit, "__kwdefaults__", {"budget": enough})
    size, why = choose.fitting_batch_size(NAMES, data, wide, device.cpu())
    assert size in (16, 32), why
    assert reports[-1].fits(size)
    assert f"batches of {size} of 60 examples" in why


def test_fit_chooses_the_batch_size(tmp_path, capsys):
    words = ["train", "--optimizer", "sgd,adam", "--hidden", "8", "--epochs", "1", "--no-plot"]
    assert main([*words, "--fit", "--json", str(tmp_path / "run.json")]) == 0
    assert "--fit: batches of 1438 of 1438 examples, projected to use" in capsys.readouterr().out
    settings = json.loads((tmp_path / "run.json").read_text())["settings"]
    assert settings["batch_size"] == 1438
    assert main([*words, "--fit", "--batch-size", "64"]) == 2
    assert "leave out --batch-size 64" in capsys.readouterr().err
