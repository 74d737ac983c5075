"""What cannot be captured, and what cannot be done after a capture: errors that change nothing."""

import gc
import weakref
from dataclasses import dataclass

import numpy as np
import pytest

import gpuopt
from gpuopt.options import PLAIN, Options
from tests.kernels.captured import Twin

WARM_UP = "before a step is captured, take one with the same gradient arrays and options"
CAPTURED = "captured in a graph"


@pytest.fixture
def twin(cupy_stand_in):
    return Twin(cupy_stand_in)


def refused(twin, message=WARM_UP, **options):
    """Try to capture: an error, an empty graph, and everything as it was."""
    before, rate = [p.tobytes() for p in twin.params], twin.opt.lr
    with twin.stream:
        twin.stream.begin_capture()
        try:
            with pytest.raises((RuntimeError, gpuopt.LoweringError), match=message):
                twin.opt.step(twin.given, **options)
        finally:
            graph = twin.stream.end_capture()
    assert graph.calls == []
    assert [p.tobytes() for p in twin.params] == before
    assert twin.opt.lr == rate
    twin.compare()


def test_a_first_step_is_not_captured(twin):
    refused(twin)
    refused(twin, max_norm=1.0)
    assert twin.opt.state == {"0": {}, "1": {}}
    twin.step()
    twin.compare()


@pytest.mark.parametrize(
    ("warm_up", "captured"),
    [
        ({}, {"max_norm": 1.0}),
        ({"max_norm": 1.0}, {}),
        ({"max_norm": 1.0}, {"max_norm": 1.0, "zero_grads": True}),
        ({"skip_nonfinite": True}, {"max_value": 1.0}),
        ({"loss_scale": 2.0, "skip_nonfinite": True}, {"loss_scale": "a scaler"}),
    ],
    ids=str,
)
def test_other_options_than_the_warm_ups_are_not_captured(warm_up, captured, twin):
    if "loss_scale" in captured:
        captured = {"loss_scale": gpuopt.LossScaler(2.0)}
    twin.step(**warm_up)
    refused(twin, **captured)
    twin.step(**warm_up)
    twin.compare()


def test_a_norm_that_was_never_measured_is_not_compiled_in_a_capture(twin):
    """A loss scale and a norm need the same sweep, and so no new plan."""
    twin.step(loss_scale=2.0)
    assert len(twin.capture(max_norm=1.0).calls) == 3
    twin.replay(max_norm=1.0)
    twin.compare()


def test_new_gradient_arrays_are_not_captured_nor_stepped_with_afterwards(twin, cupy_stand_in):
    twin.step(max_norm=1.0)
    old, new = twin.given, [cupy_stand_in.ndarray(g.copy()) for g in twin.grads]
    twin.given = new
    refused(twin, max_norm=1.0)
    twin.given = old
    twin.step(max_norm=1.0)  # the addresses that were refused are forgotten
    twin.capture(max_norm=1.0)
    twin.given = new
    with pytest.raises(RuntimeError, match="copy the new ones into those arrays"):
        twin.opt.step(twin.given, max_norm=1.0)
    twin.given = old
    twin.replay(max_norm=1.0)
    twin.step(max_norm=1.0)
    twin.compare()


def test_what_would_need_another_plan_is_refused_after_a_capture(twin, cupy_stand_in):
    twin.step(max_norm=1.0)
    saved = twin.opt.state_dict()
    twin.capture(max_norm=1.0)
    twin.replay(max_norm=1.0)
    for attempt in (
        lambda: twin.opt.load_state_dict(saved),
        lambda: twin.opt.step(twin.given),
        lambda: twin.opt.step(twin.given, max_norm=1.0, max_value=1.0),
        lambda: twin.opt.step([twin.given[0], None], max_norm=1.0),
        lambda: twin.opt.param_groups[0].__setitem__("maximize", True),
    ):
        with pytest.raises(RuntimeError, match=CAPTURED):
            attempt()
        twin.compare()
    assert twin.opt.param_groups[0]["maximize"] is False
    twin.replay(max_norm=1.0)
    twin.compare()


def test_a_schedule_is_not_captured_twice_while_replays_may_use_its_rate(twin):
    """A capture sends the learning rate at once, past the stream on which the graph may be."""
    twin.opt.lr = lambda t: 0.1 / t
    twin.host.lr = 0.1
    twin.step()
    graph = twin.capture()
    twin.host.lr = 0.05
    twin.replay(graph)
    refused_again(twin, "set opt.lr to a number before another capture")
    twin.opt.lr = twin.host.lr = 0.3
    twin.capture()
    twin.replay()
    twin.compare()


def refused_again(twin, message):
    with pytest.raises(RuntimeError, match=message):
        twin.capture()
    assert twin.graph.calls != []  # the one before
    twin.compare()


def test_a_graph_keeps_alive_what_it_works_on(twin, cupy_stand_in):
    """The scale that a LossScaler has left behind, and one that was only passed."""
    scaler = gpuopt.LossScaler(2.0)
    twin.opt.step(twin.given, loss_scale=scaler)
    twin.capture(loss_scale=scaler)
    array = weakref.ref(scaler._arrays[0].host)
    scaler.load_state_dict({"scale": 8.0, "streak": 0})
    gc.collect()
    assert array() is not None
    other = Twin(cupy_stand_in)
    scale = np.full((), 2, np.float32)
    other.opt.step(other.given, loss_scale=cupy_stand_in.ndarray(scale))
    other.capture(loss_scale=cupy_stand_in.ndarray(scale))
    scale = weakref.ref(scale)
    gc.collect()
    assert scale() is not None
    third, found = Twin(cupy_stand_in), np.zeros(1, np.float32)
    options = Options(found_inf_array=cupy_stand_in.ndarray(found))
    third.opt._stepper.step(tuple(third.given), options)
    with third.stream:
        third.stream.begin_capture()
        third.opt._stepper.step(tuple(third.given), options)
        third.stream.end_capture()
    found, options = weakref.ref(found), None
    third.opt._stepper.options = PLAIN
    gc.collect()
    assert found() is not None


def test_a_copy_of_a_captured_optimizer_steps_freely(twin, cupy_stand_in):
    twin.step()
    twin.capture()
    twin.replay()
    other = Twin(cupy_stand_in)
    other.opt.load_state_dict(twin.opt.state_dict())
    assert other.opt.step_count == 2
    other.opt.step([cupy_stand_in.ndarray(g.copy()) for g in twin.grads], max_norm=1.0)
    assert (other.opt.step_count, twin.opt.step_count) == (3, 2)


@dataclass(frozen=True)
class Untraceable(gpuopt.Rule):
    def scalars(self, lr, t):
        return {"rate": lr / int(t)}

    def update(self, p, g, s):
        return p - s.rate * g


def test_a_rule_whose_scalars_need_the_host_is_not_captured(cupy_stand_in):
    p, g = np.ones(5, np.float32), cupy_stand_in.ndarray(np.ones(5, np.float32))
    opt = gpuopt.Optimizer(cupy_stand_in.ndarray(p), Untraceable(), lr=0.5, backend="cupy")
    stream = cupy_stand_in.cuda.Stream(7)
    with stream:
        opt.step(g)
        stream.begin_capture()
        with pytest.raises(gpuopt.LoweringError, match="graph capture need there"):
            opt.step(g)
        assert stream.end_capture().calls == []
    np.testing.assert_array_equal(p, 0.5)
    assert opt.step_count == 1


def test_gradients_that_are_said_to_lie_elsewhere_after_a_capture(cupy_stand_in):
    """Told by address, as from PyTorch; the graph reads them where they were."""
    twin = Twin(cupy_stand_in)
    twin.step()
    twin.capture()
    new = [g.copy() for g in twin.grads]
    given, before = tuple(map(cupy_stand_in.ndarray, new)), [p.tobytes() for p in twin.params]
    where = np.array([g.ctypes.data for g in new])
    with pytest.raises(RuntimeError, match="was captured in a graph, which reads the gradients"):
        twin.opt._stepper.step(given, PLAIN, where)
    assert [p.tobytes() for p in twin.params] == before
