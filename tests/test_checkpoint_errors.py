"""Loads that fail change nothing."""

import numpy as np
import pytest

import gpuopt
from tests.checkpoints import bits, make, run
from tests.optional import optional


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


def test_a_parameter_that_has_become_read_only(tmp_path):
    optional("safetensors.numpy")
    params = [np.zeros(3), np.zeros(3)]
    opt = gpuopt.SGD(params, lr=1, backend="numpy")
    opt.save(tmp_path / "state", params=True)
    opt.step([np.ones(3), np.ones(3)])
    params[1].flags.writeable = False
    with pytest.raises(ValueError, match=r"params\[1\] has become read-only"):
        opt.load(tmp_path / "state")
    np.testing.assert_array_equal(params, -np.ones((2, 3)))
    assert opt.step_count == 1
