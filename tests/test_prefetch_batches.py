"""What `prefetch` takes and what it refuses, with a GPU (simulated) and without."""

from typing import NamedTuple

import numpy as np
import pytest

import gpuopt
from tests.without_gpu import cupy_stand_in as stand_in
from tests.without_gpu.streams import Simulation


@pytest.fixture
def gpu():
    simulation = Simulation(0)
    with stand_in.installed(simulation.cupy):
        yield simulation


@pytest.fixture
def no_gpu():
    with stand_in.installed(None):
        yield


def check(gpu, found, expected):
    read = gpu.read(found)
    gpu.finish()
    np.testing.assert_array_equal(read[0], expected)
    assert read[0].dtype == expected.dtype


@pytest.mark.parametrize("made", [list, lambda x: gpuopt.prefetch(x, device=1)])
def test_no_batches(made, gpu):
    assert list(made([])) == []


class Pair(NamedTuple):
    X: np.ndarray
    Y: np.ndarray


def test_a_batch_keeps_its_structure(gpu):
    x = np.arange(6.0)
    given = [x, (x,), [x, x], {"X": x, 7: x}, Pair(x, x), ()]
    found = list(gpuopt.prefetch(given))
    assert [type(batch) for batch in found[1:]] == [type(batch) for batch in given[1:]]
    assert isinstance(found[0], gpu.cupy.ndarray)
    assert list(found[3]) == ["X", 7]
    check(gpu, found[0], x)
    check(gpu, found[4].Y, x)


LAYOUTS = {
    "C": np.arange(24.0).reshape(2, 3, 4),
    "Fortran": np.asfortranarray(np.arange(24).reshape(2, 3, 4)),
    "strided": np.arange(24, dtype="i2").reshape(4, 6)[::2, ::3],
    "reversed": np.array([True, False, False])[::-1],
    "without axes": np.array(3, "c8"),
    "empty": np.zeros((0, 3), "u1"),
    "read-only": np.broadcast_to(np.float16(2), (3, 3)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_and_dtype(layout, gpu):
    given = LAYOUTS[layout]
    (found,) = gpuopt.prefetch([given])
    check(gpu, found, given)
    assert found.host.flags.f_contiguous == (given.flags.f_contiguous or given.ndim < 2)


def test_tensors(gpu):
    torch = pytest.importorskip("torch")
    x = torch.arange(6.0, requires_grad=True)
    (found,) = gpuopt.prefetch([(x,)])
    check(gpu, found[0], x.detach().numpy())


WRONG = [
    ([1.0], r"batch 1, element 1, must be a NumPy array or a CPU tensor, got list; .*asarray"),
    ("text", "batch 1, element 1, must be a NumPy array or a CPU tensor, got str"),
    (np.array(["a"]), "batch 1, element 1, has dtype <U1; .* numbers .* and booleans"),
    (np.array([None]), "batch 1, element 1, has dtype object"),
    (np.zeros(2, "g"), r"batch 1, element 1, has dtype .*; prefetch moves"),
    (np.zeros(2, ">f4"), "batch 1, element 1, has dtype >f4"),
]


@pytest.mark.parametrize(("element", "words"), WRONG)
@pytest.mark.parametrize("place", ["no_gpu", "gpu"])
def test_what_is_no_array_raises_in_its_batch(element, words, place, request):
    request.getfixturevalue(place)
    x = np.zeros(2)
    loop = iter(gpuopt.prefetch([(x, x), (x, element)]))
    with pytest.raises(TypeError, match=words):
        list(loop)


def test_errors_name_the_key_of_a_mapping_and_a_batch_that_is_no_array(no_gpu):
    with pytest.raises(TypeError, match=r"batch 0, element 'mask', must be .*got NoneType"):
        list(gpuopt.prefetch([{"mask": None}]))
    with pytest.raises(TypeError, match=r"batch 0 must be .*tuple, list or mapping .*got int"):
        list(gpuopt.prefetch([3]))


def test_arrays_on_a_gpu_are_there_already(gpu):
    with pytest.raises(TypeError, match=r"batch 0, element 0, .*GPU already"):
        list(gpuopt.prefetch([(gpu.cupy.empty(3, "f4"),)]))


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"batches": 3}, TypeError, "batches must be an iterable of mini-batches, got int"),
        ({"device": "cuda:0"}, TypeError, "device must be None or the number of a GPU.*'cuda:0'"),
        ({"device": True}, TypeError, "device must be None or the number of a GPU"),
        ({"device": 2}, ValueError, "device is 2, but there are 2 GPUs"),
        ({"device": -1}, ValueError, "device is -1"),
    ],
)
def test_what_cannot_be_used_raises_at_once(given, error, words, gpu):
    with pytest.raises(error, match=words):
        gpuopt.prefetch(**{"batches": [], **given})


def test_without_a_gpu_batches_pass_as_they_are(no_gpu):
    source = [(np.arange(3), np.arange(3.0)), [np.zeros(2)], {"a": np.ones(1)}, np.ones(2)]
    loop = gpuopt.prefetch(source)
    for _ in range(2):
        assert all(a is b for a, b in zip(loop, source, strict=True))
    assert len(loop) == len(source)


def test_a_device_that_is_asked_for_must_be_there(no_gpu):
    with pytest.raises(gpuopt.BackendError, match="CuPy is not installed"):
        gpuopt.prefetch([], device=0)
