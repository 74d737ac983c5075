"""What must not go wrong around a captured step, and around numbers that only a GPU knows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import gpuopt


@pytest.fixture
def device(cupy_stand_in):
    """NumPy arrays as arrays on the "device", over the same memory."""
    return cupy_stand_in.ndarray


def ones(n: int = 40) -> np.ndarray:
    return np.ones(n, np.float32)


def captured(cupy: Any, opt: gpuopt.Optimizer, grads: Any, **options: Any) -> Any:
    """A graph of one step, after one like it that was not captured."""
    stream = cupy.cuda.Stream(7)
    with stream:
        opt.step(grads, **options)
        stream.begin_capture()
        opt.step(grads, **options)
        return stream.end_capture()


def test_a_scaler_belongs_to_one_set_of_devices(device):
    scaler = gpuopt.LossScaler()
    first = gpuopt.SGD(device(ones(), 0), lr=0.1)
    first.step(device(ones(), 0), loss_scale=scaler)
    q = ones()
    second = gpuopt.SGD(device(q, 1), lr=0.1)
    with pytest.raises(ValueError, match=r"scale on devices \[0\], but the gradients lie on \[1\]"):
        second.step(device(ones(), 1), loss_scale=scaler)
    assert (q == 1).all()


@dataclass(frozen=True)
class Decay(gpuopt.Rule):
    wd: float = 0.0

    def scalars(self, lr, t):
        return {"lr": lr, "wd": self.wd}

    def update(self, p, g, s):
        return p - s.lr * (g + s.wd * p)


def test_a_whole_number_is_no_knob_though_it_equals_one(cupy_stand_in, device):
    for wd in (0.0, 0):  # equal, so one key of a cache
        p = ones()
        opt = gpuopt.Optimizer(device(p), Decay(wd), lr=0.1, backend="cupy")
        graph = captured(cupy_stand_in, opt, device(0 * ones()))
        graph.launch()
        assert (p == 1).all(), "the learning rate was taken for the decay"


def test_results_are_read_after_all_work_of_the_device(cupy_stand_in, device):
    opt = gpuopt.SGD(device(ones()), lr=0.1)
    with cupy_stand_in.cuda.Stream(7):
        opt.step(device(ones()), skip_nonfinite=True)
    for read in (lambda: opt.grad_norm, lambda: opt.step_count):
        cupy_stand_in.events.clear()
        read()
        assert [event.kind for event in cupy_stand_in.events] == ["wait", "download"]


def test_a_first_capture_waits_for_what_used_its_memory_before(cupy_stand_in, device):
    waited = []
    event = cupy_stand_in.cuda.Event
    event.synchronize = lambda self: waited.append(self)
    try:
        opt = gpuopt.SGD(device(ones()), lr=0.1)
        g, stream = device(ones()), cupy_stand_in.cuda.Stream(7)
        with stream:
            opt.step(g)
            marks = list(opt._stepper.plan.control.marks)
            assert marks
            stream.begin_capture()
            opt.step(g)
            stream.end_capture()
        assert set(marks) <= set(waited)
    finally:
        event.synchronize = lambda self: None


def test_a_capture_waits_for_the_step_before_whose_numbers_it_replaces(
    cupy_stand_in, device, monkeypatch
):
    """The host waits for an event that came after that step's last launch."""
    stand_in, recorded, waited = cupy_stand_in, {}, []
    record = stand_in.cuda.Stream.record

    def records(stream, event):
        recorded[event] = len(stand_in.events)
        return record(stream, event)

    monkeypatch.setattr(stand_in.cuda.Stream, "record", records)
    monkeypatch.setattr(stand_in.cuda.Event, "synchronize", lambda event: waited.append(event))
    opt, g, stream = gpuopt.SGD(device(ones()), lr=0.1), device(ones()), stand_in.cuda.Stream(7)
    with stream:
        for lr in (0.1, 0.2):
            opt.lr = lr
            opt.step(g, max_norm=1.0)
        launched = len(stand_in.events)
        assert stand_in.events[-1].kind == "launch"
        opt.lr = 0.3
        stream.begin_capture()
        waited.clear()
        opt.step(g, max_norm=1.0)
        stream.end_capture()
    assert max(recorded.get(event, 0) for event in waited) == launched


def test_nothing_is_set_while_a_step_is_captured(cupy_stand_in, device):
    opt = gpuopt.Adam(device(ones()), lr=0.1)
    g, stream = device(ones()), cupy_stand_in.cuda.Stream(7)
    with stream:
        opt.step(g)
        stream.begin_capture()
        opt.step(g)
        for name, value in (("lr", 0.5), ("eps", 0.5)):
            with pytest.raises(RuntimeError, match="while a step is being captured"):
                opt.param_groups[0][name] = value
        stream.end_capture()
    assert (opt.lr, opt.param_groups[0]["eps"]) == (0.1, 1e-8)


def test_a_schedule_that_raises_is_not_kept(cupy_stand_in, device):
    opt = gpuopt.SGD(device(ones()), lr=0.1)
    captured(cupy_stand_in, opt, device(ones()))
    with pytest.raises(ZeroDivisionError):
        opt.lr = lambda step: 1 / 0
    assert opt.lr == 0.1


def test_a_second_capture_does_not_change_what_replays_use(cupy_stand_in, device):
    opt = gpuopt.SGD(device(ones()), lr=lambda step: 0.1 / step)
    g = device(ones())
    captured(cupy_stand_in, opt, g)
    stream = cupy_stand_in.cuda.Stream(7)
    with stream:
        stream.begin_capture()
        with pytest.raises(RuntimeError, match=r"set opt\.lr to a number before another capture"):
            opt.step(g)
        stream.end_capture()


def test_a_capture_on_any_device_of_the_parameters_is_noticed(cupy_stand_in, device):
    opt = gpuopt.SGD(device(ones(), 1), lr=0.1)
    stream = cupy_stand_in.cuda.Stream(7)
    with cupy_stand_in.cuda.Device(1):
        stream.__enter__()  # current on device 1, whatever device is current
    stream.begin_capture()
    with pytest.raises(RuntimeError, match="before a step is captured, take one"):
        opt.step(device(ones(), 1))
    stream.end_capture()
    with cupy_stand_in.cuda.Device(1):
        stream.__exit__()


def test_nobody_has_a_gradient_and_the_scale_lies_on_a_device(device):
    opt = gpuopt.SGD([device(ones())], lr=0.1)
    opt.step([None], loss_scale=device(np.float32([2.0])))
    assert opt.step_count == 1


def test_the_norm_of_a_step_outlives_its_plan(backend):
    p = ones()
    opt = gpuopt.SGD([backend.asarray(p)], lr=0.1, backend=backend.name)
    opt.step([backend.asarray(3 * ones(4).repeat(10))], max_norm=1.0)
    with pytest.raises(ValueError, match="shape"):
        opt.step([backend.asarray(ones(3))], max_norm=1.0)
    assert opt.grad_norm == pytest.approx(np.sqrt(360), rel=1e-6)


def test_numbers_beyond_float32(backend):
    p = ones()
    opt = gpuopt.SGD([backend.asarray(p)], lr=0.5, backend=backend.name)
    with pytest.raises(ValueError, match=r"loss_scale must be from 1\.175e-38"):
        opt.step([backend.asarray(ones())], loss_scale=1e-39)
    opt.step([backend.asarray(ones())], max_value=1e300)
    assert (backend.to_numpy(opt._params[0].view) == 0.5).all()


def test_averages_are_swapped_out_before_a_copy(backend):
    import copy

    opt = gpuopt.SGD([backend.asarray(ones())], lr=0.5, average=0.9, backend=backend.name)
    with opt.averages():
        for forbidden in (lambda: copy.deepcopy(opt), lambda: opt.load_state_dict({})):
            with pytest.raises(RuntimeError, match=r"(do|pickle) it outside"):
                forbidden()
