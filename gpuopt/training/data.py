"""The data that `gpuopt train` learns from: scikit-learn's digits, or arrays from an npz file."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpuopt.errors import InputError
from gpuopt.normalization import normalizer

TEST_SHARE = 0.2
EXPECTED = "expected arrays X (m, n_x) and Y (m,), as numpy.savez(file, X=X, Y=Y) writes them"


@dataclass(frozen=True)
class Data:
    """Training and test examples in columns: X (n_x, m) float32, Y (1, m) int64 labels."""

    name: str
    X: np.ndarray
    Y: np.ndarray
    X_test: np.ndarray
    Y_test: np.ndarray

    @property
    def classes(self) -> int:
        return int(max(self.Y.max(), self.Y_test.max())) + 1


def digits(rng: np.random.Generator, normalize: bool = True) -> Data:
    """The 1797 handwritten digits, 8 x 8 pixels, that scikit-learn ships."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise InputError(
            f"the digits need scikit-learn ({error}); "
            "pip install 'gpuopt[cli]', or give --data FILE"
        ) from None
    X, Y = map(np.asarray, load_digits(return_X_y=True))
    return prepared("digits", *split(X, Y, rng), normalize=normalize)


def from_file(path: Path, rng: np.random.Generator, normalize: bool = True) -> Data:
    """Examples in rows from an npz file: X, Y, and X_test, Y_test or else a split by `rng`."""
    arrays = read(path)
    for name in ("X", "Y"):
        if name not in arrays:
            there = ", ".join(arrays) or "no arrays"
            raise InputError(f"--data {path} holds {there}, but no {name}; {EXPECTED}")
    if ("X_test" in arrays) != ("Y_test" in arrays):
        raise InputError(f"--data {path} holds only one of X_test and Y_test; add the other")
    check(path, arrays, "X", "Y")
    if "X_test" not in arrays:
        return prepared(str(path), *split(arrays["X"], arrays["Y"], rng), normalize=normalize)
    check(path, arrays, "X_test", "Y_test")
    features, expected = arrays["X_test"].shape[1], arrays["X"].shape[1]
    if features != expected:
        raise InputError(
            f"--data {path}: X_test has {features} features, but X has {expected}; "
            "both need the same columns"
        )
    sets = (arrays[name] for name in ("X", "Y", "X_test", "Y_test"))
    return prepared(str(path), *sets, normalize=normalize)


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an npz file. Never unpickles."""
    if not path.exists():
        raise InputError(f"--data {path}: there is no such file; give the path of an .npz file")
    try:
        with open(path, "rb") as file:
            found = np.load(file, allow_pickle=False)
            if not isinstance(found, np.lib.npyio.NpzFile):
                raise InputError(f"--data {path} is a single array, not an npz file; {EXPECTED}")
            with found:
                wanted = [name for name in ("X", "Y", "X_test", "Y_test") if name in found.files]
                return {name: found[name] for name in wanted or found.files}
    except InputError:
        raise
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"--data {path} is no readable npz file ({reason}); {EXPECTED}") from error


def check(path: Path, arrays: dict[str, Any], x: str, y: str) -> None:
    """Raise unless arrays[x] is (m, n_x), finite, and arrays[y] is (m,), integer labels."""
    X, Y = arrays[x], arrays[y]
    where = f"--data {path}:"
    if X.ndim != 2 or 0 in X.shape:
        raise InputError(
            f"{where} {x} has shape {X.shape}; expected (m, n_x), one example a row, none empty: "
            f"try {x}.reshape(len({x}), -1)"
        )
    if X.dtype.kind not in "fiub":
        raise InputError(f"{where} {x} has dtype {X.dtype}; expected real numbers")
    if Y.shape != (len(X),):
        raise InputError(
            f"{where} {y} has shape {Y.shape}; expected ({len(X)},), one label for each row of "
            f"{x}{labels_from(y, Y, len(X))}"
        )
    if Y.dtype.kind not in "iu":
        whole = Y.dtype.kind in "fb" and np.array_equal(Y, np.floor(Y.astype(float)))
        mend = f"{y}.astype(int)" if whole else f"numpy.unique({y}, return_inverse=True)[1]"
        raise InputError(
            f"{where} {y} has dtype {Y.dtype}; expected integer labels 0, 1, ...: try {mend}"
        )
    bad = np.flatnonzero(~np.isfinite(X).all(axis=1))
    if len(bad):
        raise InputError(
            f"{where} {x} has NaN or infinity in {len(bad)} of {len(X)} rows, first in row "
            f"{bad[0]}; remove or fill those rows"
        )
    most = max(len(arrays["X"]), 2)
    if Y.min() < 0 or Y.max() >= most:
        raise InputError(
            f"{where} {y} holds labels from {Y.min()} to {Y.max()}; expected 0, 1, ... (the "
            f"number of classes - 1): try numpy.unique({y}, return_inverse=True)[1]"
        )


def labels_from(name: str, Y: np.ndarray, m: int) -> str:
    """The call that makes m labels of an array of another shape, or nothing."""
    if Y.size == m:
        return f": try {name}.ravel()"
    if Y.ndim == 2 and m in Y.shape:
        kind = "one-hot rows" if Y.shape[0] == m else "one-hot columns"
        return f": of {kind} take {name}.argmax(axis={1 if Y.shape[0] == m else 0})"
    return ""


def split(X: np.ndarray, Y: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Training and test examples: X, Y, X_test, Y_test. A fifth is set aside, in random order."""
    if len(X) < 2:
        raise InputError(f"there is {len(X)} example; at least 2 are needed, for training and test")
    order = rng.permutation(len(X))
    test = order[: max(1, round(TEST_SHARE * len(X)))]
    train = order[len(test) :]
    return X[train], Y[train], X[test], Y[test]


def prepared(
    name: str,
    X: np.ndarray,
    Y: np.ndarray,
    X_test: np.ndarray,
    Y_test: np.ndarray,
    *,
    normalize: bool,
) -> Data:
    """Inputs in columns, normalised by the training set's mean and deviation, or as they are."""
    inputs, limit = [X.astype(np.float64), X_test.astype(np.float64)], "for float32"
    with np.errstate(over="ignore", invalid="ignore"):
        if normalize:
            limit = "to be normalised"
            try:
                inputs = [*map(normalizer(inputs[0]), inputs)]
            except ValueError as error:
                raise InputError(f"{name}: {error}") from None
        inputs = [x.T.astype(np.float32) for x in inputs]
    if not all(np.isfinite(x).all() for x in inputs):
        raise InputError(
            f"{name}: X or X_test holds numbers too large {limit}; divide each feature by its "
            "range first"
        )
    labels = [y.astype(np.int64)[np.newaxis] for y in (Y, Y_test)]
    if labels[0].min() == labels[0].max():
        raise InputError(f"{name}: every training example has label {labels[0].min()}; need two")
    return Data(name, np.ascontiguousarray(inputs[0]), labels[0], inputs[1].copy(), labels[1])
