"""Data for training: the split, normalisation, and files."""

import numpy as np

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
