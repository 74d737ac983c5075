"""A problem on a GPU, whose part a stand-in for CuPy takes."""

import numpy as np
import pytest

from gpuopt.bench.candidates import candidates
from gpuopt.bench.gate import Mismatch, gate
from gpuopt.bench.place import Place
from gpuopt.bench.problem import Problem
from tests.optional import optional

SHAPES = [(33, 5), (10,), (0,)]


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_arrays_lie_on_the_problems_device(cupy_stand_in, device):
    place = Place(Problem("Adam", "some", SHAPES, device=device))
    arrays = [*place.params, *place.grads, *place.flat.values()]
    assert {x.device.id for x in arrays} == {int(device == "cuda:1")}
    assert all(isinstance(x, cupy_stand_in.ndarray) for x in arrays)
    np.testing.assert_array_equal(place.host()[1], place.start(1, 0, 10))


@pytest.mark.parametrize("copies", [False, True])
def test_gpuopt_goes_through_the_gate(cupy_stand_in, copies):
    problem = Problem("Adam", "some", SHAPES, device="cuda:0", copies=copies)
    made, skipped = candidates(problem, ["cupy", "numba"], ["optax"])
    assert gate(problem, made) == {}
    assert [x.name for x in made] == ["gpuopt cupy"]
    assert [(x.what, x.why) for x in skipped] == [("optax", "it is measured on the CPU only")]


@pytest.mark.parametrize("rule", ["SGD", "Adam", "AdamW", "RAdam"])
def test_gpuopt_thinc_is_called_once_for_each_array(cupy_stand_in, rule):
    optional("thinc")
    problem = Problem(rule, "some", SHAPES, device="cuda:1")
    made, skipped = candidates(problem, ["cupy"], ["gpuopt.thinc"])
    assert (skipped, [*gate(problem, made)]) == ([], ["gpuopt.thinc"])
    drop_in = made[1]
    drop_in.step()  # of the state that is shared now
    assert all((buffer.get() != 0).any() for buffer in list(drop_in.place.flat.values())[1:-1])
    cupy_stand_in.events.clear()
    drop_in.step()
    assert [event.kind for event in cupy_stand_in.events].count("launch") == 2  # one array is empty


def test_copies_bring_the_gradients_and_take_the_parameters_back(cupy_stand_in):
    problem = Problem("SGD", "some", SHAPES, device="cuda:0", copies=True)
    made, _ = candidates(problem, ["cupy"], [])
    place = made[0].place
    gate(problem, made)
    place.copies.gradients[...] = 2
    cupy_stand_in.events.clear()
    made[0].step()
    kinds = [event.kind for event in cupy_stand_in.events if event.kind != "wait"]
    assert kinds[:2] == ["upload"] * 2
    assert kinds[-2:] == ["download"] * 2
    moved = [event.amount for event in cupy_stand_in.events if event.kind == "download"]
    assert moved == [4 * size for size in problem.sizes if size]
    assert (place.grads[0].get() == 2).all()
    np.testing.assert_array_equal(place.host()[0], place.params[0].get())


def test_a_step_that_leaves_its_copies_out_is_found(cupy_stand_in):
    problem = Problem("SGD", "some", SHAPES, device="cuda:0", copies=True)
    made, _ = candidates(problem, ["cupy"], [])
    place = made[0].place
    place.copies.taken.clear()
    with pytest.raises(Mismatch, match="gpuopt cupy"):
        gate(problem, made)
