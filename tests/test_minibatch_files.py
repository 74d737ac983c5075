"""Mini-batches from files: read batch by batch, into memory, the same as from arrays."""

import subprocess
import sys

import numpy as np
import pytest

import gpuopt


def mapped(folder, array, name="data.npy", order="C"):
    np.save(folder / name, np.asarray(array, order=order))
    return np.load(folder / name, mmap_mode="r")


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("order", ["C", "F"])
def test_batches_of_a_memory_map_are_arrays_in_memory(shuffle, axis, order, tmp_path):
    X, Y = np.arange(60.0).reshape((20, 3) if axis == 0 else (3, 20)), np.arange(20)
    if axis == 1:
        Y = Y[np.newaxis]
    options = {"batch_size": 6, "axis": axis, "shuffle": shuffle, "rng": 2}
    file = mapped(tmp_path, X, order=order)
    found = list(gpuopt.minibatches(file, Y, **options))
    for (x, _), (expected, _) in zip(found, gpuopt.minibatches(X, Y, **options), strict=True):
        assert type(x) is np.ndarray
        assert not np.shares_memory(x, file)
        np.testing.assert_array_equal(x, expected)
    assert len(found) == 4


def test_several_files_are_one_data_set(tmp_path):
    X = np.arange(60.0).reshape(20, 3)
    files = [mapped(tmp_path, x, f"{k}.npy") for k, x in enumerate(np.split(X, [7, 8]))]
    batches = zip(
        gpuopt.minibatches(files, batch_size=6, rng=2),
        gpuopt.minibatches(X, batch_size=6, rng=2),
        strict=True,
    )
    for x, expected in batches:
        assert type(x) is np.ndarray
        np.testing.assert_array_equal(x, expected)


class Dataset:
    """Like a data set in an HDF5 file: rows can be asked for in ascending order only."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, index):
        (rows,) = index
        assert isinstance(rows, slice) or (np.diff(rows) > 0).all()
        return self.array[rows].copy()


class Ascending(np.memmap):
    """A memory map whose rows must be asked for in ascending order, as the disk has them."""

    def __getitem__(self, index):
        (rows,) = index
        assert isinstance(rows, slice) or (np.diff(rows) > 0).all()
        return super().__getitem__(index)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("kind", ["like HDF5", "memory map"])
def test_files_are_read_in_ascending_order(kind, shuffle, tmp_path):
    X = np.arange(20)
    file = Dataset(X) if kind == "like HDF5" else mapped(tmp_path, X).view(Ascending)
    options = {"batch_size": 6, "shuffle": shuffle, "rng": 2}
    found = gpuopt.minibatches(file, **options)
    for x, expected in zip(found, gpuopt.minibatches(X, **options), strict=True):
        assert type(x) is np.ndarray
        np.testing.assert_array_equal(x, expected)


# A file of 640 MiB, nearly all of it a hole, and a process that may have 128 MiB more than now.
LIMITED = """
import resource, sys
import numpy as np
import gpuopt

examples, length = 640, 2**20
X = np.memmap(sys.argv[1], np.uint8, "w+", shape=(examples, length))
X[:, 0], X[:, -1] = np.arange(examples) % 251, np.arange(examples) % 241
Y = np.arange(examples)
with open("/proc/self/status") as status:
    used = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (used + 2**27, -1))
try:
    np.array(X)
except MemoryError:
    print("the file does not fit")
for shuffle in (True, False):
    seen = []
    for x, y in gpuopt.minibatches(X, Y, 16, shuffle=shuffle, rng=0):
        assert (x[:, 0] == y % 251).all() and (x[:, -1] == y % 241).all()
        assert x.shape[1] == length and not x[:, 1].any()
        seen += list(y)
    print(len(seen), sorted(seen) == list(range(examples)), seen == sorted(seen))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits and /proc are Linux's")
def test_a_file_larger_than_the_memory_that_is_allowed(tmp_path):
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "large")]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.stdout.splitlines() == [
        "the file does not fit",
        "640 True False",
        "640 True True",
    ], run.stderr
