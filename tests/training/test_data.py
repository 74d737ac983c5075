"""Data for training: the split, normalisation, and files."""

import numpy as np
import pytest

from gpuopt.cli import main
from gpuopt.training import data


def test_digits_are_split_into_all_and_normalised_by_the_training_set():
    digits = data.digits(np.random.default_rng(0))
    assert digits.X.shape == (64, 1438)
    assert digits.Y_test.shape == (1, 359)
    assert (digits.X.dtype, digits.Y.dtype) == (np.float32, np.int64)
    assert digits.classes == 10
    np.testing.assert_allclose(digits.X.mean(axis=1), 0, atol=1e-5)
    deviations = digits.X.std(axis=1)
    np.testing.assert_allclose(deviations[deviations > 0], 1, rtol=1e-4)


def test_the_split_follows_the_generator():
    first, again, other = (data.digits(np.random.default_rng(s)) for s in (0, 0, 1))
    assert (first.Y == again.Y).all()
    assert (first.Y != other.Y).any()


def test_a_file_with_its_own_test_set(tmp_path):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(3, 2, (40, 3)), np.arange(40) % 4
    np.savez(tmp_path / "x.npz", X=X, Y=Y, X_test=X[:5], Y_test=Y[:5])
    found = data.from_file(tmp_path / "x.npz", rng)
    np.testing.assert_allclose(found.X.T, (X - X.mean(0)) / X.std(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found.X_test, found.X[:, :5])
    np.testing.assert_array_equal(found.Y_test[0], Y[:5])


def test_training_on_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    X = rng.integers(0, 255, (300, 4)).astype(np.uint8)
    np.savez("x.npz", X=X, Y=(X[:, 0] > X[:, 1]).astype(np.uint8))
    args = "train --device cpu --data x.npz --hidden none --epochs 10 --optimizer adam --lr 0.05"
    assert main([*args.split(), "--no-plot"]) == 0
    assert "x.npz: 4-2 network" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]


LABELS = np.arange(12) % 3


def told(file, Y, capsys):
    """What `gpuopt train` says of these labels."""
    np.savez(file, X=np.random.default_rng(0).normal(size=(12, 4)), Y=Y)
    assert main(["train", "--data", str(file), "--no-plot"]) == 2
    return capsys.readouterr().err.rstrip()


@pytest.mark.parametrize(
    ("Y", "is_told", "call"),
    [
        (LABELS[:, np.newaxis], "has shape (12, 1); expected (12,)", "Y.ravel()"),
        (LABELS[np.newaxis], "has shape (1, 12); expected (12,)", "Y.ravel()"),
        (np.eye(3)[LABELS], "has shape (12, 3); expected (12,)", "Y.argmax(axis=1)"),
        (np.eye(3)[LABELS].T, "has shape (3, 12); expected (12,)", "Y.argmax(axis=0)"),
        (LABELS.astype("f4"), "has dtype float32; expected integer labels", "Y.astype(int)"),
        (LABELS > 1, "has dtype bool; expected integer labels", "Y.astype(int)"),
        (LABELS / 2, "has dtype float64", "numpy.unique(Y, return_inverse=True)[1]"),
        (np.array(list("acx"))[LABELS], "has dtype <U1", "numpy.unique(Y, return_inverse=True)[1]"),
    ],
)
def test_labels_of_another_kind_are_told_the_call_that_mends_them(
    Y, is_told, call, tmp_path, capsys
):
    error = told(tmp_path / "x.npz", Y, capsys)
    assert is_told in error
    assert error.endswith(f" {call}")
    mended = eval(call, {"Y": Y, "numpy": np})
    np.testing.assert_array_equal(mended, LABELS > 1 if Y.dtype == bool else LABELS)


def test_labels_that_are_too_few_are_told_how_many_there_must_be(tmp_path, capsys):
    error = told(tmp_path / "x.npz", LABELS[:11], capsys)
    assert error.endswith("Y has shape (11,); expected (12,), one label for each row of X")
