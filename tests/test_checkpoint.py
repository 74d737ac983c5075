"""Resuming bit for bit, through state dicts and files."""

import numpy as np
import pytest

import gpuopt
from tests.checkpoints import bits, make, run
from tests.optional import optional

OPTIONS = {"amsgrad": True, "weight_decay": 0.1}


def resume_through_dict(opt, fresh, path):
    fresh.load_state_dict(opt.state_dict())


def resume_through_file(opt, fresh, path):
    optional("safetensors.numpy")
    opt.save(path / "state.safetensors")
    fresh.load(path / "state.safetensors")
    assert [x.name for x in path.iterdir()] == ["state.safetensors"]


@pytest.mark.parametrize("resume", [resume_through_dict, resume_through_file])
@pytest.mark.parametrize("after", [0, 2, 5])
def test_bit_exact_resume(backend, resume, after, tmp_path):
    opt, p = make(backend, **OPTIONS)
    run(opt, p, backend, 0, after)
    opt.param_groups[0]["eps"] = 1e-3
    opt.lr = 0.05
    fresh, q = make(backend, **OPTIONS)
    for k in p:
        q[k][...] = p[k]
    resume(opt, fresh, tmp_path)
    assert (fresh.lr, fresh.rule) == (opt.lr, opt.rule)
    assert bits(fresh, q, backend) == bits(opt, p, backend)
    run(opt, p, backend, after, after + 10)
    run(fresh, q, backend, after, after + 10)
    assert bits(fresh, q, backend) == bits(opt, p, backend)


@pytest.mark.parametrize("after", [0, 5])
def test_parameters_are_restored_in_place(backend, after, tmp_path):
    optional("safetensors.numpy")
    opt, p = make(backend, **OPTIONS)
    run(opt, p, backend, 0, after)
    fresh, q = make(backend, **OPTIONS)
    run(fresh, q, backend, 20, 23)
    q["u"][1::2] = between = np.arange(20)
    opt.save(tmp_path / "state.safetensors", params=True)
    fresh.load(tmp_path / "state.safetensors")
    np.testing.assert_array_equal(q["u"][1::2], between)  # beside the view that is the parameter
    q["u"][1::2] = p["u"][1::2]
    assert bits(fresh, q, backend) == bits(opt, p, backend)
    run(opt, p, backend, after, after + 5)
    run(fresh, q, backend, after, after + 5)
    assert bits(fresh, q, backend) == bits(opt, p, backend)


def test_a_state_dict_is_a_copy(backend):
    opt, p = make(backend)
    run(opt, p, backend, 0, 4)
    saved = opt.state_dict()
    held = {n: backend.to_numpy(a).copy() for n, a in saved["state"]["w"].items() if n != "step"}
    run(opt, p, backend, 4, 5)
    other, q = make(backend)
    other.load_state_dict(saved)
    run(other, q, backend, 4, 6)
    for name, values in held.items():
        np.testing.assert_array_equal(backend.to_numpy(saved["state"]["w"][name]), values)


def test_loading_replaces_state_and_forgets_the_plan(backend):
    opt, p = make(backend)
    saved = opt.state_dict()
    start = {k: v.copy() for k, v in p.items()}
    run(opt, p, backend, 0, 3)
    once = bits(opt, p, backend)
    opt.load_state_dict(saved)
    assert opt.state["w"] == {}
    for k in p:
        p[k][...] = start[k]
    run(opt, p, backend, 0, 3)
    assert bits(opt, p, backend) == once


def test_host_arrays_load_anywhere(backend):
    opt, p = make(backend)
    run(opt, p, backend, 0, 4)
    saved = opt.state_dict()
    for buffers in saved["state"].values():
        for name in set(buffers) - {"step"}:
            buffers[name] = backend.to_numpy(buffers[name])
    fresh, _ = make(backend)
    fresh.load_state_dict(saved)
    assert bits(fresh, p, backend) == bits(opt, p, backend)


def test_schedules_are_not_saved_but_kept():
    opt = gpuopt.SGD(np.ones(3), lr=lambda step: 0.5, backend="numpy")
    opt.step(np.ones(3))
    saved = opt.state_dict()
    assert (saved["lr"], saved["groups"][0]["lr"]) == ("schedule", "common")
    schedule = lambda step: 1.0 * step  # noqa: E731
    other = gpuopt.SGD(np.ones(3), lr=schedule, backend="numpy")
    other.load_state_dict(saved)
    assert other.lr is schedule
    assert other.step_count == 1
    constant = gpuopt.SGD(np.ones(3), lr=0.5, backend="numpy")
    with pytest.raises(ValueError, match="lr was a schedule when the state was saved"):
        constant.load_state_dict(saved)
    assert constant.step_count == 0


def test_groups_that_follow_the_optimizers_rate_still_do_after_a_load(backend):
    def build(lr):
        groups = [{"params": backend.asarray(np.ones(2))} for _ in range(3)]
        groups[1]["lr"] = 0.5
        return gpuopt.SGD(groups, lr=lr, backend=backend.name)

    other = build(0.25)
    other.load_state_dict(build(0.125).state_dict())
    assert [g["lr"] for g in other.param_groups] == [0.125, 0.5, 0.125]
    assert [group.follows for group in other.param_groups] == [True, False, True]


def test_a_group_saved_as_following_follows_again():
    def build(**own):
        return gpuopt.SGD([{"params": np.ones(2), **own}], lr=0.5, backend="numpy")

    other = build(lr=0.125)
    other.load_state_dict(build().state_dict())
    other.lr = 2
    assert other.param_groups[0]["lr"] == 2
