"""Learning rates across a load: numbers are restored, and a schedule is lost on neither side."""

import numpy as np
import pytest

import gpuopt
from tests.checkpoints import NUMPY, everything
from tests.optional import optional


def through_dict(opt, fresh, folder):
    fresh.load_state_dict(opt.state_dict())


def through_file(opt, fresh, folder):
    optional("safetensors.numpy")
    opt.save(folder / "state")
    fresh.load(folder / "state")


def schedule(step):
    return 1.0 / step


def other_schedule(step):
    return 0.5 / step


COMMON = object()  # what a group has that names no lr


def make(lr, *of_groups):
    """An optimizer after one step, and its parameters."""
    p = {str(k): np.ones(2) for k in range(max(1, len(of_groups)))}
    groups = [
        {"params": {key: a}, **({} if own is COMMON else {"lr": own})}
        for (key, a), own in zip(p.items(), of_groups, strict=False)
    ]
    opt = gpuopt.SGD(groups or p, lr=lr, momentum=0.5, backend="numpy")
    opt.step([{key: a + 1} for key, a in p.items()] if groups else {"0": p["0"] + 1})
    return opt, p


both_ways = pytest.mark.parametrize("load", [through_dict, through_file])


@both_ways
@pytest.mark.parametrize(
    ("saved", "here", "words"),
    [
        (
            [0.125],
            [schedule],
            "lr was 0.125 when the state was saved, and is a schedule here; set it to 0.125 before "
            "loading, and then, to go on with the schedule, to that again after loading",
        ),
        ([0.125, COMMON], [schedule, COMMON], "lr was 0.125 when"),
        ([0.125, 0.5], [0.125, schedule], "group 0's lr was 0.5 when .* set it to 0.5 before"),
        ([1, COMMON, 0.5], [1, COMMON, schedule], "group 1's lr was 0.5 when"),
        ([schedule, COMMON, 0.5], [schedule, COMMON, COMMON], "group 1's lr was 0.5 when"),
        (
            [0.125, COMMON],
            [0.125, schedule],
            "group 0's lr was the optimizer's when .* schedule here; set it to a number before",
        ),
        ([schedule, COMMON], [schedule, other_schedule], "group 0's lr was the optimizer's when"),
        ([schedule], [0.125], "lr was a schedule when .* and is 0.125 here; set it to that sch"),
        ([1, schedule], [1, 0.5], "group 0's lr was a schedule when .* and is 0.5 here"),
        ([1, schedule], [1, COMMON], "group 0's lr was a schedule when .* and is 1.0 here"),
    ],
)
def test_a_number_and_a_schedule_do_not_take_each_others_place(load, saved, here, words, tmp_path):
    opt, _ = make(*saved)
    fresh, p = make(*here)
    before = everything(fresh, p, NUMPY, {})
    with pytest.raises(ValueError, match=words):
        load(opt, fresh, tmp_path)
    assert everything(fresh, p, NUMPY, {}) == before


@both_ways
@pytest.mark.parametrize("go_on_with", [0.125, schedule])
def test_the_mends_that_the_error_tells_of(load, go_on_with, tmp_path):
    opt, _ = make(0.125)
    fresh, _ = make(schedule)
    fresh.lr = 0.125
    load(opt, fresh, tmp_path)
    fresh.lr = go_on_with
    assert (fresh.lr, fresh.step_count) == (go_on_with, 1)


@both_ways
def test_the_mends_for_a_group(load, tmp_path):
    opt, _ = make(0.25, 0.125, COMMON)
    fresh, _ = make(0.5, schedule, other_schedule)
    for group in fresh.param_groups:
        group["lr"] = 1
    load(opt, fresh, tmp_path)
    assert [g["lr"] for g in fresh.param_groups] == [0.125, 0.25]
    fresh.param_groups[0]["lr"] = schedule
    assert fresh.param_groups[0]["lr"] is schedule


@both_ways
def test_schedules_of_groups_are_kept_where_schedules_were_saved(load, tmp_path):
    opt, _ = make(schedule, other_schedule, COMMON)
    fresh, _ = make(other_schedule, schedule, COMMON)
    load(opt, fresh, tmp_path)
    assert [g["lr"] for g in fresh.param_groups] == [schedule, other_schedule]
    assert fresh.step_count == 1
