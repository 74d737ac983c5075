"""What cannot be used gets one line on stderr and exit code 2, and nothing is written."""

import numpy as np
import pytest

from gpuopt import backends
from gpuopt.cli import main

X, Y = np.arange(60.0).reshape(20, 3), np.arange(20) % 2


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working folder; no GPU, whatever the machine has."""
    why = "CuPy is not installed"
    real = backends.unavailable
    monkeypatch.setattr(backends, "unavailable", lambda n: why if n == "cupy" else real(n))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def error_of(args, capsys, folder, *expected_files):
    """The one line that a run with these arguments leaves on stderr."""
    before = sorted(folder.rglob("*"))
    assert main(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("gpuopt: error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert sorted(folder.rglob("*")) == before
    return err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("train --optimizer adagrad2", "'adagrad2': there is no such optimizer; choose of sgd"),
        ("train --optimizer sgd,", "'': there is no such optimizer"),
        ("train --lr -1", "lr must be finite and >= 0, got -1.0"),
        ("train --lr nan", "lr must be a number, got nan"),
        ("train --lr fast", "'fast' is not a number"),
        ("train --lr lion=0.1", "'lion' is not among the optimizers sgd, momentum"),
        ("train --lr 0.1,0.2", "NAME=NUMBER"),
        ("train --batch-size 0", "--batch-size 0: must be at least 1"),
        ("train --batch-size 5000", "the training set has 1438 examples; give 1 to 1438"),
        ("train --batch-size many", "Invalid value for '--batch-size'"),
        ("train --epochs 0", "--epochs 0: must be at least 1"),
        ("train --hidden 64,0", "--hidden 64,0: must be whole numbers above 0"),
        ("train --hidden big", "--hidden big"),
        ("train --l2 -0.1", "--l2 -0.1: must be a finite number >= 0"),
        ("train --l2 nan", "--l2 nan"),
        ("train --seed -1", "--seed -1: must be at least 0"),
        ("train --device gpu", "--device gpu: must be auto, cpu, cuda"),
        ("train --device cuda", "--device cuda: CuPy is not installed; use --device cpu"),
        ("train --device cuda:1", "CuPy is not installed"),
        ("train --backend jax", "--backend jax: there is no such backend; choose of numpy"),
        ("train --backend cupy", "--backend cupy: CuPy is not installed"),
        ("train --device cuda --backend numpy", "numpy does not run on cuda; there is cupy"),
        ("train --plot nowhere/x.png", "there is no folder nowhere; make it first"),
        ("train --plot x.doc", "--plot x.doc: the name must end in .png, .pdf, .svg"),
        ("train --json .", "--json . is a folder"),
        ("train --json /proc/x.json", "--json /proc/x.json cannot be written"),
        ("train --plot x.svg --json x.svg", "--plot and --json are the same file"),
        ("train --data none.npz", "--data none.npz: there is no such file"),
        ("train --data .", "--data . is no readable npz file"),
        ("train --colour red", "No such option: --colour"),
        ("train extra", "Got unexpected extra argument"),
        ("fly", "No such command 'fly'"),
        ("info --json nowhere/x.json", "there is no folder nowhere"),
        ("selftest --json nowhere/x.json", "there is no folder nowhere"),
        ("selftest --seed -3", "--seed -3: must be at least 0"),
    ],
)
def test_options(args, words, capsys, folder):
    assert words in error_of(args.split(), capsys, folder)


def with_nan(value):
    bad = X.copy()
    bad[7, 1] = value
    return bad


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"X": X}, "holds X, but no Y; expected arrays X (m, n_x)"),
        ({"Y": Y}, "holds Y, but no X"),
        ({"images": X}, "holds images, but no X"),
        ({"X": X[0], "Y": Y}, "X has shape (3,); expected (m, n_x)"),
        ({"X": X.reshape(20, 3, 1), "Y": Y}, "try X.reshape(len(X), -1)"),
        ({"X": X[:0], "Y": Y[:0]}, "X has shape (0, 3)"),
        ({"X": X, "Y": Y[:-1]}, "Y has shape (19,); expected (20,)"),
        ({"X": X, "Y": np.eye(20)}, "Y has shape (20, 20); expected (20,)"),
        ({"X": X, "Y": Y + 0.5}, "Y has dtype float64; expected integer labels"),
        ({"X": X, "Y": Y - 1}, "Y holds labels from -1 to 0"),
        ({"X": X, "Y": Y * 10**9}, "Y holds labels from 0 to 1000000000"),
        ({"X": X, "Y": Y * 0}, "every training example has label 0"),
        ({"X": with_nan(np.nan), "Y": Y}, "X has NaN or infinity in 1 of 20 rows, first in row 7"),
        ({"X": with_nan(np.inf), "Y": Y}, "X has NaN or infinity"),
        ({"X": with_nan(1e300), "Y": Y}, "too large to be normalised"),
        ({"X": X + 1j, "Y": Y}, "X has dtype complex128; expected real numbers"),
        ({"X": X.astype(str), "Y": Y}, "expected real numbers"),
        ({"X": X.astype(object), "Y": Y}, "is no readable npz file"),
        ({"X": X, "Y": Y, "X_test": X}, "only one of X_test and Y_test"),
        ({"X": X, "Y": Y, "X_test": X[:, :2], "Y_test": Y}, "X_test has 2 features, but X has 3"),
        ({"X": X, "Y": Y, "X_test": X, "Y_test": Y[:3]}, "Y_test has shape (3,); expected (20,)"),
        ({"X": X[:1], "Y": Y[:1]}, "at least 2 are needed"),
        ({"X": X, "Y": Y}, "--batch-size 64: the training set has 16 examples"),
    ],
)
def test_data_files(arrays, words, capsys, folder):
    np.savez(folder / "data.npz", **arrays)
    args = ["train", "--data", "data.npz", "--json", "out.json"]
    assert words in error_of(args, capsys, folder)


@pytest.mark.parametrize("content", [b"", b"not an npz", b"PK\x03\x04 cut off"])
def test_files_that_are_no_npz(content, capsys, folder):
    (folder / "data.npz").write_bytes(content)
    assert "is no readable npz" in error_of(["train", "--data", "data.npz"], capsys, folder)


def test_a_single_array_is_no_npz(capsys, folder):
    np.save(folder / "data.npy", X)
    assert "single array" in error_of(["train", "--data", "data.npy"], capsys, folder)


def test_an_npz_cut_short(capsys, folder):
    np.savez(folder / "whole.npz", X=X, Y=Y)
    content = bytearray((folder / "whole.npz").read_bytes())
    content[200:260] = bytes(60)
    (folder / "data.npz").write_bytes(content)
    assert "is no readable npz" in error_of(["train", "--data", "data.npz"], capsys, folder)


def test_a_bug_keeps_its_traceback(monkeypatch):
    def broken(*args, **kwargs):
        raise ValueError("a bug")

    monkeypatch.setattr("gpuopt.training.progress.run_all", broken)
    with pytest.raises(ValueError, match="a bug"):
        main(["train", "--no-plot", "--device", "cpu"])


def test_a_disk_that_fills_up_leaves_no_half_file(monkeypatch, capsys, folder):
    def full(results, title, path, kind):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gpuopt.training.figure.draw", full)
    args = "train --device cpu --epochs 1 --plot x.png --json x.json"
    assert "--plot x.png cannot be written: No space left" in error_of(args.split(), capsys, folder)
