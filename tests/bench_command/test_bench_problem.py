"""What is measured, and the memory in which it lies."""

import math

import numpy as np
import pytest

import gpuopt
from gpuopt import rules
from gpuopt.bench.place import ALIGNMENT, PERIOD, Place
from gpuopt.bench.problem import Problem
from gpuopt.errors import InputError
from tests.without_gpu.cupy_stand_in import installed

SHAPES = [(3, 5), (), (0,), (1000,)]


@pytest.mark.parametrize("cls", rules.ALL, ids=lambda cls: cls.__name__)
def test_the_settings_are_those_of_the_constructor(cls):
    more = {"lr": 0.01} if cls is rules.Momentum else {}
    opt = getattr(gpuopt, cls.__name__)([np.ones(1)], **more)
    problem = Problem(cls.__name__, "one", [(1,)])
    assert problem.make_rule() == opt.rule
    assert problem.settings["lr"] == opt.lr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rule": "Adams"}, "no rule 'Adams'; there are SGD, "),
        ({"dtype": "int8"}, "no dtype 'int8'; there are float32, "),
        ({"device": "tpu"}, "no device 'tpu'"),
        ({"device": "cuda:x"}, "no device 'cuda:x'"),
        ({"device": "cpu:1"}, "no device 'cpu:1'"),
        ({"copies": True}, "between a GPU and the host"),
    ],
)
def test_what_there_is_not_is_refused(given, said):
    with pytest.raises(InputError, match=said):
        Problem(**{"rule": "Adam", "list": "one", "shapes": [(1,)], **given})


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_tensors_are_cut_from_blocks_at_aligned_places(dtype):
    place = Place(Problem("Adam", "some", SHAPES, dtype))
    assert list(place.flat) == ["p", "m", "v", "g"]
    for name, views in {"p": place.params, "g": place.grads, **place.state}.items():
        assert [x.shape for x in views] == SHAPES
        assert all(x.ctypes.data % ALIGNMENT == 0 for x in views if x.size)
        assert all(np.shares_memory(x, place.flat[name]) for x in views if x.size)
    wide = np.dtype("f8" if dtype == "float64" else "f4")
    assert place.params[0].dtype == place.grads[0].dtype == place.dtype
    assert place.state["m"][0].dtype == wide
    assert place.dtype.name == dtype


def test_numbers_are_those_that_were_drawn_wherever_they_are_asked_for():
    size = 2 * PERIOD + 10
    place = Place(Problem("SGD", "two", [(7,), (size,)]))
    place.give(2)
    p, g = place.params[1], place.grads[1]
    for first, count in ((0, 5), (PERIOD - 200, 300), (0, size), (size - 4, 4)):
        np.testing.assert_array_equal(place.start(1, first, count), p[first : first + count])
        np.testing.assert_array_equal(place.gradient(2, 1, first, count), g[first : first + count])
    assert not np.array_equal(p[:100], p[100:200])


def test_gradients_change_from_step_to_step_and_are_positive_at_the_end():
    place = Place(Problem("SGD", "one", [(1000,)]))
    assert (place.grads[0] > 0).all()
    place.give(1)
    first = place.grads[0].copy()
    assert (first > 0).any()
    assert (first < 0).any()
    place.give(2)
    np.testing.assert_array_equal(place.grads[0], -0.5 * first)
    place.params[0][...] = 3
    place.settle()
    np.testing.assert_array_equal(place.grads[0], np.abs(first))
    np.testing.assert_array_equal(place.params[0], place.start(0, 0, 1000))


def test_a_restart_sets_state_to_what_it_is_at_first():
    place = Place(Problem("Adam", "one", [(10,)]))
    place.state["v"][0][...] = 5
    place.restart()
    assert not place.flat["v"].any()


def test_another_seed_draws_other_numbers():
    one, other, again = (
        Place(Problem("SGD", "one", [(10,)], seed=seed)).params[0] for seed in (0, 1, 0)
    )
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(one, again)


def test_a_gpu_without_cupy_is_refused():
    with (
        installed(None),
        pytest.raises(InputError, match="on cuda:0 needs CuPy: CuPy is"),
    ):
        Place(Problem("SGD", "one", [(10,)], device="cuda:0"))


def test_sizes_are_those_of_the_shapes():
    assert Problem("SGD", "some", SHAPES).sizes == [math.prod(s) for s in SHAPES]
