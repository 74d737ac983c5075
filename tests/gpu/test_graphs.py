"""A step captured in a CUDA graph and replayed does what eager steps do."""

import cupy
import numpy as np
import pytest

from gpuopt import rules
from tests.gpu.graphs import Twins, capture
from tests.gpu.tools import fullest, note

OPTIONS = {
    "norm": {"max_norm": 1.0},
    "skip": {"skip_nonfinite": True},
    "all": {
        "max_norm": 1.0,
        "max_value": 0.1,
        "loss_scale": "scaler",
        "skip_nonfinite": True,
        "zero_grads": True,
        "average": 0.9,
    },
}


@pytest.mark.parametrize("case", OPTIONS)
@pytest.mark.parametrize("label", fullest())
def test_replays_are_eager_steps_bit_for_bit(label, case):
    twins = Twins(fullest()[label], **OPTIONS[case])
    twins.warm_up()
    twins.capture()
    for t in range(1, 8):
        twins.step(t)
    replayed, eager = twins.bits()
    assert replayed == eager
    assert twins.replayed.opt.step_count == twins.eager.opt.step_count == 8
    assert twins.replayed.opt.param_steps == twins.eager.opt.param_steps
    if "max_norm" in OPTIONS[case]:
        assert twins.replayed.opt.grad_norm == twins.eager.opt.grad_norm


@pytest.mark.parametrize("label", fullest())
def test_plain_steps_which_take_their_scalars_from_the_host_when_eager(label):
    """The host's pow and the device's may round a scalar differently, in float64."""
    twins = Twins(fullest()[label])
    twins.warm_up()
    twins.capture()
    for t in range(1, 8):
        twins.step(t)
    replayed, eager = twins.bits()
    note("plain graph", rule=label, same=replayed == eager, largest=twins.difference())
    assert twins.difference() <= 1e-6


def change_lr(opt):
    opt.lr = 0.05


def change_betas(opt):
    opt.param_groups[0]["betas"] = (0.8, 0.99)


def change_decay(opt):
    opt.param_groups[0]["weight_decay"] = 0.25


@pytest.mark.parametrize("change", [change_lr, change_betas, change_decay])
def test_hyper_parameters_changed_between_replays(change):
    twins = Twins(rules.AdamW(weight_decay=0.1), max_norm=1e9)
    twins.warm_up()
    twins.capture()
    twins.step(1)
    twins.step(2)
    before = twins.bits()[0]
    twins.set(change)
    twins.step(3)
    twins.step(4)
    replayed, eager = twins.bits()
    assert replayed == eager
    assert replayed != before


def test_a_schedule_is_followed_by_setting_its_value_before_each_replay():
    def schedule(t):
        return 0.1 / t

    twins = Twins(rules.Adam(), lr=schedule, max_norm=1e9)
    twins.warm_up()
    twins.capture()
    for t in range(1, 6):
        twins.finish()
        twins.replayed.opt.lr = schedule(t + 1)
        twins.step(t)
    replayed, eager = twins.bits()
    assert replayed == eager


def test_skipping_and_the_scale_happen_inside_the_graph():
    twins = Twins(rules.Adam(), loss_scale="scaler", max_norm=1.0)
    for t, bad in ((2, np.inf), (3, np.nan)):
        twins.grads[t][-1][-1] = bad
    twins.warm_up()
    twins.capture()
    scales = []
    for t in range(1, 8):
        twins.step(t)
        twins.finish()
        both = [twin.options["loss_scale"].state_dict() for twin in twins.both]
        assert both[0] == both[1], f"step {t}"
        scales.append(both[0]["scale"])
    assert scales == [512.0, 256.0, 128.0, 128.0, 256.0, 256.0, 512.0]
    replayed, eager = twins.bits()
    assert replayed == eager
    assert twins.replayed.opt.step_count == twins.eager.opt.step_count == 6


def test_captured_twice_and_replayed_in_turn():
    twins = Twins(rules.AdamW(), max_norm=1.0)
    twins.warm_up()
    graphs = [twins.capture()]
    twins.step(1)
    graphs.append(twins.capture())
    for t in range(2, 8):
        twins.step(t, graphs[t % 2])
    replayed, eager = twins.bits()
    assert replayed == eager
    assert twins.replayed.opt.step_count == 8


def test_eager_steps_between_replays():
    twins = Twins(rules.AdamW(), max_norm=1.0)
    twins.warm_up()
    twins.capture()
    for t in range(1, 5):
        twins.step(t)
        with twins.stream:
            for twin in twins.both:
                twins.take(twin)
    replayed, eager = twins.bits()
    assert replayed == eager
    assert twins.replayed.opt.step_count == twins.eager.opt.step_count == 9


def test_without_a_warm_up_an_error_says_so_and_the_optimizer_still_works():
    twins = Twins(rules.Adam(), max_norm=1.0)
    cupy.cuda.Device().synchronize()
    with pytest.raises(RuntimeError, match="before a step is captured, take one"):
        twins.capture()
    twins.warm_up()
    twins.capture()
    twins.step(1)
    replayed, eager = twins.bits()
    assert replayed == eager


def test_other_options_or_gradients_than_in_the_warm_up_are_an_error():
    twins = Twins(rules.Adam(), max_norm=1.0)
    twins.warm_up()
    twin = twins.replayed
    with pytest.raises(RuntimeError, match="before a step is captured"):
        capture(twins.stream, lambda: twin.opt.step(twin.grads, zero_grads=True))
    twins.finish()
    copies = [cupy.asarray(g) for g in twins.grads[0]]
    with pytest.raises(RuntimeError, match="before a step is captured"):
        capture(twins.stream, lambda: twin.opt.step(copies, max_norm=1.0))
