"""Parameters on two devices in one optimizer: one norm, one decision, each device its own work."""

import math

import numpy as np
import pytest

import gpuopt

SIZES = (300, 5, 3000, 0, 17)
PLACES = (0, 1, 1, 0, 0)


def draw(seed, bad=None):
    rng = np.random.default_rng(seed)
    grads = [rng.normal(size=n).astype(np.float32) for n in SIZES]
    if bad is not None:
        grads[bad][-1] = np.inf
    return grads


def run(make, options, places=PLACES, bad_steps=(), **more):
    """p, averages, norms, loss scales and step counts over six steps, on `places` (None: CPU)."""
    params = [np.ones(n, np.float32) for n in SIZES]
    mine = [make(p, k) for p, k in zip(params, places, strict=True)]
    backend = "numpy" if mine[0] is params[0] else "cupy"
    opt = gpuopt.AdamW(mine, lr=0.1, average=0.9, backend=backend, **more)
    scaler = gpuopt.LossScaler(4.0, growth_interval=2) if options.pop("scaler", None) else None
    if scaler:
        options["loss_scale"] = scaler
    seen = []
    for t in range(6):
        grads = draw(t, dict(bad_steps).get(t))
        opt.step([make(g, k) for g, k in zip(grads, places, strict=True)], **options)
        scale = scaler.state_dict()["scale"] if scaler else None
        seen.append((opt.grad_norm, scale, opt.step_count))
    averages = [a.get() if hasattr(a, "get") else a for a in opt.averaged_params()]
    return params, averages, seen


BAD = ((0, 2), (3, 0), (4, 4))  # step, tensor: on either device
OPTIONS = [
    {"max_norm": 2.0},
    {"max_norm": 2.0, "skip_nonfinite": True, "max_value": 0.1, "zero_grads": True},
    {"max_norm": 2.0, "scaler": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_two_devices_agree_with_one_and_with_the_cpu(options, cupy_stand_in):
    bad = BAD if len(options) > 1 else ()
    array = cupy_stand_in.ndarray
    two = run(array, dict(options), bad_steps=bad)
    one = run(array, dict(options), places=(0,) * 5, bad_steps=bad)
    cpu = run(lambda a, k: a, dict(options), bad_steps=bad)
    for other in (one, cpu):
        for mine, theirs in zip(two[:2], other[:2], strict=True):
            for p, q in zip(mine, theirs, strict=True):
                np.testing.assert_allclose(p, q, rtol=1e-5, atol=1e-6)
        for a, b in zip(two[2], other[2], strict=True):
            np.testing.assert_allclose(a[0], b[0], rtol=1e-6)
            assert a[1:] == b[1:]
    assert two[2][-1][2] == 6 - len(bad)


def test_launches_and_copies_are_where_they_belong(cupy_stand_in):
    array = cupy_stand_in.ndarray
    opt = gpuopt.AdamW([array(np.ones(9, "f4"), k) for k in (1, 0, 1)], backend="cupy")
    grads = [array(np.full(9, 2, "f4"), k) for k in (1, 0, 1)]
    for _ in range(2):
        cupy_stand_in.events.clear()
        opt.step(grads, max_norm=1.0)
    happened = [(event.kind, event.device) for event in cupy_stand_in.events]
    assert happened[:2] == [("launch", 0), ("launch", 1)]  # norms
    assert sorted(happened[2:4]) == [("peer copy", 0), ("peer copy", 1)]
    # control of each device, then its sweep
    assert sorted(happened[4:]) == 2 * [("launch", 0)] + 2 * [("launch", 1)]
    assert opt.grad_norm == pytest.approx(2 * math.sqrt(27))


def test_devices_wait_for_each_others_sums_and_for_their_readers(cupy_stand_in, monkeypatch):
    """Marks on both streams, waited for on both, before the copies and after them."""
    array, order, stand_in = cupy_stand_in.ndarray, [], cupy_stand_in
    opt = gpuopt.AdamW([array(np.ones(9, "f4"), k) for k in (0, 1)], backend="cupy")
    grads = [array(np.ones(9, "f4"), k) for k in (0, 1)]
    opt.step(grads, max_norm=1.0)
    wait = stand_in.cuda.Stream.wait_event

    def waits(stream, event):
        order.append(("wait", len(stand_in.events)))
        wait(stream, event)

    monkeypatch.setattr(stand_in.cuda.Stream, "wait_event", waits)
    stand_in.events.clear()
    opt.step(grads, max_norm=1.0)
    copies = [n for n, event in enumerate(stand_in.events) if event.kind == "peer copy"]
    assert copies == [2, 3]
    assert sum(at == 2 for _, at in order) >= 2  # after both norms, before the copies
    assert sum(at == 4 for _, at in order) >= 2  # after the copies, before either control
    order.clear()
    opt.step(grads)
    assert not order, "a plain step has nothing to wait for"


def test_each_device_has_the_same_loss_scale(cupy_stand_in):
    array = cupy_stand_in.ndarray
    opt = gpuopt.AdamW([array(np.ones(9, "f4"), k) for k in (0, 1)], backend="cupy")
    scaler = gpuopt.LossScaler(8.0, growth_interval=1)
    for value, after in ((8, 16), (16, 32), (math.inf, 16), (16, 32)):
        grads = [array(np.full(9, value if k else 1, "f4"), k) for k in (0, 1)]
        opt.step(grads, loss_scale=scaler)
        held = [a.get().tolist() for a in scaler._arrays.values()]
        assert held == [[after, 0], [after, 0]]
    assert sorted(scaler._arrays) == [0, 1]
    assert opt.param_steps == {"0": 3, "1": 3}


def test_a_step_on_two_devices_is_not_captured(cupy_stand_in):
    array, params = cupy_stand_in.ndarray, [np.ones(9, "f4"), np.ones(9, "f4")]
    opt = gpuopt.AdamW([array(p, k) for k, p in enumerate(params)], backend="cupy")
    grads, stream = [array(np.ones(9, "f4"), k) for k in (0, 1)], cupy_stand_in.cuda.Stream(7)
    with stream:
        opt.step(grads)
        before = [p.tobytes() for p in params]
        stream.begin_capture()
        with pytest.raises(RuntimeError, match="several devices cannot be captured"):
            opt.step(grads)
        stream.end_capture().launch()
    assert [p.tobytes() for p in params] == before
    assert opt.step_count == 1


SKIPPING = {"skip_nonfinite": True}


@pytest.mark.parametrize("options", [{}, {"max_norm": math.inf}, SKIPPING], ids=str)
@pytest.mark.parametrize("places", [(1, 0), (0, 1), (1, 0, 1, 0), (1, 1, 0, 0), (0, 1, 1, 0)])
def test_each_group_keeps_its_rate_on_whatever_device_it_lies(places, options, cupy_stand_in):
    """The decision goes through the devices in their order, groups and dtypes come in any."""
    array = cupy_stand_in.ndarray
    dtypes = ("f4", "f4", "f8", "f8")[: len(places)]
    params = [np.ones(7, dtype) for dtype in dtypes]
    groups = [
        {"params": [array(p, place)], "lr": 0.1 * (k + 1)}
        for k, (p, place) in enumerate(zip(params, places, strict=True))
    ]
    opt = gpuopt.SGD(groups, lr=9.0, backend="cupy")
    given = [[array(np.ones(7, dtype), place)] for dtype, place in zip(dtypes, places, strict=True)]
    opt.step(given, **options)
    for k, p in enumerate(params):
        np.testing.assert_allclose(p, 1 - 0.1 * (k + 1), rtol=1e-6)
    opt.param_groups[-1]["lr"] = 0.05
    opt.step(given, **options)
    rates = [0.1 * (k + 1) for k in range(len(params) - 1)]
    for p, lr in zip(params, rates, strict=False):
        np.testing.assert_allclose(p, 1 - 2 * lr, rtol=1e-6)
    np.testing.assert_allclose(params[-1], 1 - 0.1 * len(params) - 0.05, rtol=1e-6)


def test_each_parameter_keeps_its_count_and_what_it_carries_on_whatever_device_it_lies(
    cupy_stand_in,
):
    """Read back after steps that may have been skipped, and where some had no gradient."""
    array, places, dtypes = cupy_stand_in.ndarray, (1, 0, 1, 0), ("f4", "f4", "f8", "f8")
    params = [[np.ones(5, dtype) for dtype in dtypes] for _ in range(2)]
    mine = [array(p, place) for p, place in zip(params[0], places, strict=True)]
    groups = [
        [{"params": [p], "betas": (0.5 + 0.1 * k, 0.9)} for k, p in enumerate(given)]
        for given in (mine, params[1])
    ]
    opt = gpuopt.NAdam(groups[0], lr=0.1, backend="cupy")
    host = gpuopt.NAdam(groups[1], lr=0.1, backend="numpy")
    for t, without in enumerate([(0,), (0, 1), (), (), (2,), ()]):
        value = np.nan if t == 2 else 0.3 + 0.1 * t
        grads = [np.full(5, value, dtype) for dtype in dtypes]
        given = [array(g, place) for g, place in zip(grads, places, strict=True)]
        opt.step([[None if k in without else g] for k, g in enumerate(given)], **SKIPPING)
        host.step([[None if k in without else g] for k, g in enumerate(grads)], **SKIPPING)
        assert opt.param_steps == host.param_steps
    assert [*opt.param_steps.values()] == [3, 4, 4, 5]
    saved, expected = opt.state_dict()["state"], host.state_dict()["state"]
    for key in saved:
        assert saved[key]["mu_product"] == pytest.approx(expected[key]["mu_product"], rel=1e-14)
    for p, q in zip(*params, strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-6)


def test_kernels_are_compiled_once_for_each_device(cupy_stand_in):
    """A compiled kernel belongs to the device on which it was compiled: see `RawKernel`."""
    array = cupy_stand_in.ndarray
    for places in ((0, 1, 1, 0), (1, 0), (1,)):
        p = [np.ones(5, np.float32) for _ in places]
        opt = gpuopt.SGD([array(x, k) for x, k in zip(p, places, strict=True)], backend="cupy")
        opt.step([array(np.ones(5, "f4"), k) for k in places], max_norm=1.0)
        assert all((x < 1).all() for x in p)
    compiled = [event.device for event in cupy_stand_in.events if event.kind == "compile"]
    assert sorted(compiled) == [0] * 3 + [1] * 3  # sweep, norm and control
