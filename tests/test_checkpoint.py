"""Resuming bit for bit, and loads that fail without changing anything."""

import json

import numpy as np
import pytest

import gpuopt
from tests.optional import optional

SHAPES = {"w": (33, 7), "b": (), "e": (0, 3), "u": (40,), "z": (6,)}


def make(backend, cls=gpuopt.Adam, **options):
    """An optimizer with strided, 0-d, empty and complex parameters, and their memory."""
    rng = np.random.default_rng(1)
    p = {k: np.asarray(rng.normal(size=s), "f4") for k, s in SHAPES.items()}
    p["z"] = p["z"].astype("c16") * (1 + 2j)
    params = {k: backend.asarray(v) for k, v in p.items()}
    params["u"] = backend.asarray(p["u"][::2])
    params["w"] = backend.asarray(p["w"].T)
    return cls(params, backend=backend.name, **{"lr": 0.1, **options}), p


def run(opt, p, backend, first, last):
    """Steps with numbers first to last; u has no gradient before step 3."""
    for t in range(first, last):
        rng = np.random.default_rng(t)
        grads = {k: np.asarray(rng.normal(size=s), "f4") for k, s in SHAPES.items()}
        grads["z"] = grads["z"].astype("c16") * (2 - 1j)
        grads["u"] = grads["u"][::2] if t >= 3 else None
        grads["w"] = grads["w"].T
        opt.step({k: None if g is None else backend.asarray(g) for k, g in grads.items()})


def bits(opt, p, backend):
    found = {k: v.tobytes() for k, v in p.items()}
    for key, buffers in opt.state.items():
        for name, a in buffers.items():
            found[f"{key}/{name}"] = np.ascontiguousarray(backend.to_numpy(a)).tobytes()
    return found, opt.param_steps, opt.step_count


def resume_through_dict(opt, fresh, path):
    fresh.load_state_dict(opt.state_dict())


def resume_through_file(opt, fresh, path):
    opt.save(path / "state.safetensors")
    fresh.load(path / "state.safetensors")
    assert [x.name for x in path.iterdir()] == ["state.safetensors"]


@pytest.mark.parametrize("resume", [resume_through_dict, resume_through_file])
@pytest.mark.parametrize("after", [0, 2, 5])
def test_bit_exact_resume(backend, resume, after, tmp_path):
    options = {"amsgrad": True, "weight_decay": 0.1}
    opt, p = make(backend, **options)
    run(opt, p, backend, 0, after)
    opt.param_groups[0]["eps"] = 1e-3
    opt.lr = 0.05
    fresh, q = make(backend, **options)
    for k in p:
        q[k][...] = p[k]
    resume(opt, fresh, tmp_path)
    assert (fresh.lr, fresh.rule) == (opt.lr, opt.rule)
    assert bits(fresh, q, backend) == bits(opt, p, backend)
    run(opt, p, backend, after, after + 10)
    run(fresh, q, backend, after, after + 10)
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


def broken(saved, how):
    state, group = saved["state"], saved["groups"][0]
    host = {k: np.zeros(v.shape, v.dtype) for k, v in state["w"].items() if k != "step"}
    if how == "rule":
        saved["rule"] = "AdamW"
    elif how == "groups":
        saved["groups"].append(dict(group))
    elif how == "flag":
        group["amsgrad"] = True
    elif how == "number":
        group["betas"] = (0.9, 2.0)
    elif how == "lr":
        group["lr"] = -1.0
    elif how == "field":
        group["beta3"] = 1.0
    elif how == "no field":
        del group["eps"]
    elif how == "no lr":
        del group["lr"]
    elif how == "parameter":
        state["new"] = state["w"]
    elif how == "no parameter":
        del state["u"]
    elif how == "buffer":
        state["w"]["v_max"] = host["m"]
    elif how == "no buffer":
        del state["w"]["v"]
    elif how == "shape":
        state["w"]["v"] = host["v"][:, :1]
    elif how == "dtype":
        state["w"]["v"] = host["v"].astype("f8")
    elif how == "step":
        state["w"]["step"] = -1
    elif how == "half a step":
        state["w"]["step"] = 1.5
    elif how == "no buffers at step 3":
        state["w"] = {"step": 3}
    elif how == "buffers at step 0":
        state["w"]["step"] = 0
    elif how == "count":
        saved["step_count"] = -3
    else:
        del saved[how.removeprefix("no ")]


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("rule", ValueError, "rule 'AdamW', not 'Adam'"),
        ("groups", ValueError, "2 groups, not 1"),
        ("flag", ValueError, "same flags"),
        ("number", ValueError, r"betas\[1\] must be in \[0, 1\)"),
        ("lr", ValueError, "lr must be finite"),
        ("field", ValueError, r"has \['beta3'\], which Adam has not"),
        ("no field", KeyError, "lacks 'eps'"),
        ("no lr", KeyError, "lacks 'lr'"),
        ("parameter", ValueError, "not here: .*'new'"),
        ("no parameter", KeyError, "lacks 'u'"),
        ("buffer", ValueError, r"params\['w'\].*'v_max'"),
        ("no buffer", ValueError, r"params\['w'\].*expected \('m', 'v'\)"),
        ("shape", ValueError, r"v of params\['w'\].*shape \(7, 1\).*\(7, 33\)"),
        ("dtype", ValueError, r"v of params\['w'\].*float64.*float32"),
        ("step", ValueError, r"params\['w'\].*-1"),
        ("half a step", ValueError, r"params\['w'\].*1\.5"),
        ("no buffers at step 3", ValueError, r"params\['w'\] at step 3"),
        ("buffers at step 0", ValueError, r"params\['w'\] at step 0"),
        ("count", ValueError, "-3"),
        ("no rule", KeyError, "lacks 'rule'"),
        ("no groups", KeyError, "lacks 'groups'"),
        ("no state", KeyError, "lacks 'state'"),
        ("no step_count", KeyError, "lacks 'step_count'"),
    ],
)
def test_a_load_that_fails_changes_nothing(backend, how, error, message):
    opt, p = make(backend)
    run(opt, p, backend, 0, 5)
    saved = opt.state_dict()
    saved["groups"][0]["eps"] = saved["lr"] = 0.5
    broken(saved, how)
    before, group = bits(opt, p, backend), dict(opt.param_groups[0])
    with pytest.raises(error, match=message):
        opt.load_state_dict(saved)
    assert bits(opt, p, backend) == before
    assert dict(opt.param_groups[0]) == group


def test_a_file_of_someone_else(tmp_path):
    safetensors = optional("safetensors.numpy")
    path = tmp_path / "other.safetensors"
    safetensors.save_file({"0/m": np.zeros(3, "f4")}, path)
    opt = gpuopt.Adam(np.ones(3, "f4"), backend="numpy")
    with pytest.raises(ValueError, match="not written by gpuopt"):
        opt.load(path)
    about = {"rule": "Adam", "step_count": 1, "lr": 0.1, "groups": [], "steps": {"0": 1}}
    safetensors.save_file({}, path, metadata={"gpuopt": json.dumps(about)})
    with pytest.raises(ValueError, match="0 groups, not 1"):
        opt.load(path)
    with pytest.raises(FileNotFoundError):
        opt.load(tmp_path / "nowhere")


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
    other.lr = 2
    assert [g["lr"] for g in other.param_groups] == [2, 0.5, 2]


def test_errors_of_files_name_the_file(tmp_path):
    optional("safetensors.numpy")
    opt = gpuopt.SGD(np.ones(3), lr=1, backend="numpy")
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere; make it first"):
        opt.save(tmp_path / "nowhere" / "state.safetensors")
    text = tmp_path / "text"
    text.write_text("this is no safetensors file at all")
    with pytest.raises(ValueError, match="text is no safetensors file"):
        opt.load(text)
    with pytest.raises(OSError, match=str(tmp_path)):
        opt.load(tmp_path)
    opt.save(tmp_path / "state.safetensors")
    assert (tmp_path / "state.safetensors").stat().st_mode == text.stat().st_mode
    assert sorted(x.name for x in tmp_path.iterdir()) == ["state.safetensors", "text"]


def test_a_group_saved_as_following_follows_again():
    def build(**own):
        return gpuopt.SGD([{"params": np.ones(2), **own}], lr=0.5, backend="numpy")

    other = build(lr=0.125)
    other.load_state_dict(build().state_dict())
    other.lr = 2
    assert other.param_groups[0]["lr"] == 2
