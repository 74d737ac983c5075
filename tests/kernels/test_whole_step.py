"""A whole step's work on a GPU: norm, control and sweep, and nothing that waits or is made anew."""

import math

import numpy as np
import pytest

import gpuopt


@pytest.fixture
def device(cupy_stand_in):
    return cupy_stand_in.ndarray


def full(value=1.0, n=300):
    return np.full(n, value, np.float32)


def kinds(cupy):
    """What happened since the last call."""
    happened = [event.kind for event in cupy.events]
    cupy.events.clear()
    return happened


MEASURED = ["launch"] * 3  # norm, control, sweep
CASES = [
    ({"max_norm": 1.0}, MEASURED),
    ({"skip_nonfinite": True}, MEASURED),
    ({"max_norm": 1.0, "loss_scale": "scaler", "zero_grads": True, "max_value": 1.0}, MEASURED),
    ({"loss_scale": "device"}, ["launch"] * 2),  # control, sweep
    ({"loss_scale": 2.0}, ["upload", "launch"]),
    ({"max_value": 2.0}, ["upload", "launch"]),
    ({"zero_grads": True}, ["upload", "launch"]),
]


@pytest.mark.parametrize(("options", "expected"), CASES, ids=[str(x[0]) for x in CASES])
def test_later_steps_make_nothing_and_wait_for_nothing(options, expected, cupy_stand_in, device):
    options = dict(options)
    if options.get("loss_scale") == "scaler":
        options["loss_scale"] = gpuopt.LossScaler(growth_interval=2)
    if options.get("loss_scale") == "device":
        options["loss_scale"] = device(np.full((), 2, np.float32))
    params = [device(full()), device(full(n=5))]
    opt = gpuopt.AdamW(params, average=0.9, backend="cupy")
    grads = [device(full()), device(full(n=5))]
    opt.step(grads, **options)
    assert not {"download", "wait"} & set(kinds(cupy_stand_in))
    for _ in range(3):
        opt.step(grads, **options)
        assert kinds(cupy_stand_in) == expected
    opt.lr = 0.5
    opt.step(grads, **options)
    launches = [kind for kind in expected if kind == "launch"]
    assert sorted(kinds(cupy_stand_in)) == [*launches, "upload"]
    opt.step(grads, **options)
    assert kinds(cupy_stand_in) == expected


# For the whole device, since a graph may have been launched on any stream; then a copy.
READ = ["wait", "download"]


def test_only_reading_waits(cupy_stand_in, device):
    opt, g = gpuopt.AdamW(device(full()), backend="cupy"), device(full())
    opt.step(g, max_norm=1.0)
    assert opt.step_count == 1
    assert not {"download", "wait"} & set(kinds(cupy_stand_in))  # nothing may have been skipped
    assert opt.grad_norm == pytest.approx(math.sqrt(300))
    assert kinds(cupy_stand_in) == READ
    opt.step(g, skip_nonfinite=True)
    kinds(cupy_stand_in)
    assert opt.step_count == 2
    assert kinds(cupy_stand_in) == READ
    assert opt.param_steps == {"0": 2}
    assert kinds(cupy_stand_in) == []  # known by now


@pytest.mark.parametrize("make", [gpuopt.AdamW, gpuopt.NAdam])
@pytest.mark.parametrize("value", [1.0, math.inf], ids=["taken", "skipped"])
def test_counts_that_were_read_are_not_sent_back(value, make, cupy_stand_in, device):
    opt, good, g = make(device(full()), backend="cupy"), device(full()), device(full(value))
    for grads in (good, g):
        opt.step(grads, skip_nonfinite=True)
    assert opt.step_count == (2 if value == 1 else 1)
    kinds(cupy_stand_in)
    opt.step(g, skip_nonfinite=True)
    assert kinds(cupy_stand_in) == MEASURED


def test_new_gradient_arrays_cost_one_upload(cupy_stand_in, device):
    opt, keep = gpuopt.AdamW(device(full()), backend="cupy"), []
    for _ in range(2):
        keep.append(device(full()))
        opt.step(keep[-1], max_norm=1.0)
    kinds(cupy_stand_in)
    keep.append(device(full(3)))
    opt.step(keep[-1], max_norm=1.0)
    assert kinds(cupy_stand_in) == ["upload", *MEASURED]
    assert opt.grad_norm == pytest.approx(3 * math.sqrt(300))


def test_plain_steps_between_measured_ones_keep_the_count(cupy_stand_in, device):
    """The host knows how many steps were taken until one may have been skipped."""
    p, expected = full(), full()
    opt = gpuopt.AdamW(device(p), lr=0.1, backend="cupy")
    host = gpuopt.AdamW(expected, lr=0.1, backend="numpy")
    scaled, bad = {"loss_scale": 1.0}, full(math.nan)
    for options, g in (
        ({**scaled, "max_norm": 50.0}, full()),
        (scaled, full()),
        ({**scaled, "max_norm": 50.0}, full(2)),
        ({**scaled, "max_norm": 50.0, "skip_nonfinite": True}, bad),
        ({**scaled, "max_norm": 50.0, "skip_nonfinite": True}, full(2)),
        (scaled, full()),
        ({}, full(3)),
        ({**scaled, "max_norm": 50.0, "skip_nonfinite": True}, bad),
        ({**scaled, "max_norm": 50.0, "skip_nonfinite": True}, full(4)),
        ({**scaled, "max_norm": 50.0}, full()),
    ):
        opt.step(device(g.copy()), **options)
        host.step(g.copy(), **options)
    np.testing.assert_allclose(p, expected, rtol=1e-6)
    assert opt.step_count == host.step_count == 8


def test_reading_counts_between_skipped_steps_changes_nothing(device):
    values = [1, math.inf, 2, math.inf, math.inf, 3, 1]
    outcomes = []
    for read in (False, True):
        p = full()
        opt = gpuopt.AdamW(device(p), lr=0.1, backend="cupy")
        for value in values:
            opt.step(device(full(value)), skip_nonfinite=True)
            if read:
                assert opt.step_count == opt.param_steps["0"]
        outcomes.append((p.tobytes(), opt.step_count))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][1] == 4


def test_everything_runs_on_the_callers_stream(cupy_stand_in, device):
    opt = gpuopt.AdamW(device(full()), backend="cupy")
    for stream in (7, 8):
        with cupy_stand_in.cuda.Stream(stream):
            opt.step(device(full()), max_norm=1.0, loss_scale=gpuopt.LossScaler())
            _ = opt.grad_norm, opt.step_count
        assert {event.stream for event in cupy_stand_in.events} == {stream}
        cupy_stand_in.events.clear()


def test_resuming_after_skipped_steps_is_bit_exact(device, tmp_path):
    p, q = full(), full()
    first = gpuopt.AdamW(device(p), lr=0.1, average=0.9, backend="cupy")
    values = [1, math.inf, 2, 3, math.nan, 4]
    for t, value in enumerate(values):
        if t == 3:
            q[:] = p
            first.save(tmp_path / "state")
        first.step(device(full(value)), skip_nonfinite=True, max_norm=9.0)
    second = gpuopt.AdamW(device(q), lr=0.1, average=0.9, backend="cupy")
    second.load(tmp_path / "state")
    assert second.step_count == 2
    for value in values[3:]:
        second.step(device(full(value)), skip_nonfinite=True, max_norm=9.0)
    assert p.tobytes() == q.tobytes()
    assert (
        first.state["0"]["average"].get().tobytes() == second.state["0"]["average"].get().tobytes()
    )
    assert first.param_steps == second.param_steps == {"0": 4}
