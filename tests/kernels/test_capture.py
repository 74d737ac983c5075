"""Steps captured in a CUDA graph: replays are steps like others."""

import numpy as np
import pytest

import gpuopt
from tests.kernels.captured import Twin


@pytest.fixture
def twin(cupy_stand_in):
    return Twin(cupy_stand_in)


OPTIONS = [
    {},
    {"max_norm": 1.0},
    {"skip_nonfinite": True},
    {"loss_scale": 4.0, "max_value": 0.2},
    {"max_norm": 9.0, "max_value": 0.3, "skip_nonfinite": True, "zero_grads": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("average", [None, 0.9])
def test_replays_are_steps(options, average, cupy_stand_in):
    twin = Twin(cupy_stand_in, average)
    twin.step(**options)
    twin.capture(**options)
    twin.compare()  # a capture takes no step
    for t in range(5):
        twin.draw(t, bad=t == 2 and "skip_nonfinite" in options)
        twin.replay(**options)
        assert all((g == 0).all() == bool(options.get("zero_grads")) for g in twin.grads)
    twin.compare()
    assert twin.opt.step_count == (6 if "skip_nonfinite" not in options else 5)


def test_a_capture_only_launches(twin, cupy_stand_in):
    """Nothing is compiled, allocated, copied or waited for: see `note` in the stand-in."""
    options = {"max_norm": 1.0, "loss_scale": gpuopt.LossScaler(2.0)}
    with twin.stream:
        twin.opt.step(twin.given, **options)
    cupy_stand_in.events.clear()
    graph = twin.capture(**options)
    assert cupy_stand_in.events == []
    assert len(graph.calls) == 3  # norm, control, sweep
    graph.launch()
    assert [event.kind for event in cupy_stand_in.events] == ["launch"] * 3


def test_hyper_parameters_take_effect_in_replays_in_the_order_of_the_program(twin):
    """A change is made after the replays that were launched before it, and before later ones."""
    twin.step()
    twin.capture()
    for t in range(8):
        twin.draw(t)
        if t == 1:
            twin.opt.lr = twin.host.lr = 0.3
        if t == 3:
            twin.set("betas", (0.5, 0.9))
        if t == 4:
            twin.set("weight_decay", 0.0)
        if t == 6:
            twin.set("weight_decay", 0.4)
            twin.set("lr", 0.05)
        twin.replay()
        twin.compare()


def test_a_change_is_sent_between_the_graphs_streams_work(twin, cupy_stand_in, monkeypatch):
    """The current stream waits for the graph's before it sends, and the graph's for it after."""
    order, cuda = [], cupy_stand_in.cuda
    wait = cuda.Stream.wait_event

    def waits(stream, event):
        order.append((stream.ptr, event.stream, len(cupy_stand_in.events)))
        wait(stream, event)

    twin.step()
    twin.capture()
    monkeypatch.setattr(cuda.Stream, "wait_event", waits)
    cupy_stand_in.events.clear()
    with cuda.Stream(9):
        twin.opt.lr = 0.3
    assert order == [(9, 7, 0), (7, 9, 1)]
    assert [event[:1] + event[3:] for event in cupy_stand_in.events] == [("upload", 9)]


def test_a_loss_scaler_inside_a_graph(twin):
    """It skips, backs off and grows there, without the host."""
    ours, theirs = (gpuopt.LossScaler(8.0, growth_interval=2) for _ in range(2))

    def replay(bad):
        scale = theirs.scale
        twin.draw(0, bad)
        for g in twin.grads:
            g *= np.float32(scale)
        twin.host.step([g.copy() for g in twin.grads], loss_scale=theirs, max_norm=9.0)

    for t, bad in enumerate([False, True, False, False, False, True, True, False]):
        replay(bad)
        if t == 0:
            twin.opt.step(twin.given, loss_scale=ours, max_norm=9.0)
            twin.capture(loss_scale=ours, max_norm=9.0)
        else:
            twin.graph.launch()
        np.testing.assert_allclose(twin.opt.grad_norm, twin.host.grad_norm, rtol=1e-6)
        assert ours.state_dict() == theirs.state_dict()
    twin.compare()
    assert twin.opt.step_count == 5


def test_a_scale_on_the_device_may_change_between_replays(twin, cupy_stand_in):
    scale = np.full((), 2, np.float32)
    given = cupy_stand_in.ndarray(scale)
    twin.opt.step(twin.given, loss_scale=given)
    twin.host.step(twin.grads, loss_scale=2.0)
    twin.capture(loss_scale=given)
    for t, value in enumerate((2, 8, 3)):
        twin.draw(t)
        scale[...] = value
        twin.replay(loss_scale=float(value))
        twin.compare()


def test_captured_twice_and_steps_between(twin):
    """Two graphs of one optimizer, and steps that are in neither."""
    options = {"max_norm": 1.0, "skip_nonfinite": True}
    twin.step(**options)
    first = twin.capture(**options)
    twin.opt.lr = twin.host.lr = 0.2
    twin.draw(1)
    second = twin.capture(**options)
    for t, graph in enumerate((first, second, None, first, None, second, second)):
        twin.draw(t, bad=t in (1, 4))
        if graph is None:
            twin.step(**options)
        else:
            twin.replay(graph, **options)
        twin.compare()
    assert twin.opt.step_count == 6


def test_a_step_after_the_capture_has_its_own_options(twin):
    """Two graphs may differ in numbers that are no part of the formula: max_norm."""
    twin.step(max_norm=1.0)
    graphs = {x: twin.capture(max_norm=x) for x in (1.0, 30.0)}
    for t, max_norm in enumerate((1.0, 30.0, 1.0)):
        twin.draw(t)
        twin.replay(graphs[max_norm], max_norm=max_norm)
    twin.step(max_norm=0.5)
    twin.compare()


def test_replays_before_anything_is_read_are_counted(twin):
    twin.step()
    twin.capture()
    for t in range(20):
        twin.draw(t)
        twin.replay()
    twin.compare()
    saved = twin.opt.state_dict()
    assert saved["step_count"] == 21
    assert [x["step"] for x in saved["state"].values()] == [21, 21]


def test_a_scheduled_rate_is_that_of_the_capture(cupy_stand_in):
    twin = Twin(cupy_stand_in)
    twin.opt.lr = lambda t: 0.1 / t
    twin.host.lr = 0.1
    twin.step()
    twin.capture()
    twin.host.lr = 0.05  # of step 2
    for t in range(3):
        twin.draw(t)
        twin.replay()
    twin.compare()
