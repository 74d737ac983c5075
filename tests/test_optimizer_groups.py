"""Groups with their own learning rate, decay and flags."""

import numpy as np
import pytest

import gpuopt


def run_alone(p, g, steps, **options):
    p = p.copy()
    opt = gpuopt.Adam(p, backend="numpy", **options)
    for _ in range(steps):
        opt.step(g)
    return p


def test_each_group_steps_as_if_it_were_alone(backend):
    own = [
        {},
        {"lr": 0.25},
        {"weight_decay": 0.5},
        {"lr": lambda step: 1 / step, "betas": (0.5, 0.5), "eps": 1e-3},
        {"amsgrad": True, "maximize": True},
    ]
    rng = np.random.default_rng(1)
    params = [rng.normal(size=300) for _ in own]
    grads = [rng.normal(size=300) for _ in own]
    common = {"lr": 0.1, "weight_decay": 0.2}
    expected = [
        run_alone(p, g, 3, **{**common, **o}) for p, g, o in zip(params, grads, own, strict=True)
    ]
    groups = [{"params": backend.asarray(p), **o} for p, o in zip(params, own, strict=True)]
    opt = gpuopt.Adam(groups, backend=backend.name, **common)
    for _ in range(3):
        opt.step([backend.asarray(g) for g in grads])
    for p, e in zip(params, expected, strict=True):
        np.testing.assert_allclose(p, e, rtol=1e-13, atol=1e-13)
    assert set(opt.state["4"]) == {"m", "v", "v_max"}
    assert set(opt.state["3"]) == {"m", "v"}


def test_a_late_parameter_shares_the_launch_but_not_the_count(backend):
    g = np.full(4, 3.0)
    params = [np.ones(4) for _ in range(3)]
    opt = gpuopt.Adam([backend.asarray(p) for p in params], lr=0.1, backend=backend.name)
    for present in ((1, 0, 0), (1, 1, 0), (1, 1, 1), (1, 1, 1)):
        opt.step([backend.asarray(g) if x else None for x in present])
    for p, steps in zip(params, (4, 3, 2), strict=True):
        np.testing.assert_allclose(p, run_alone(np.ones(4), g, steps, lr=0.1), rtol=1e-14)


def test_the_optimizers_rate_is_that_of_all_groups(backend):
    p, q = np.ones(3), np.ones(3)
    groups = [{"params": backend.asarray(p)}, {"params": backend.asarray(q), "lr": 1.0}]
    opt = gpuopt.SGD(groups, lr=0.5, backend=backend.name)
    with pytest.raises(
        ValueError, match=r"different learning rates: 0\.5 in group 0, 1\.0 in group"
    ):
        _ = opt.lr
    assert "lr=0.5 in group 0, 1.0 in group 1" in repr(opt)
    assert opt.state_dict()["lr"] == 0.5
    opt.lr = 0.25
    assert [group["lr"] for group in opt.param_groups] == [0.25, 0.25]
    opt.step([backend.asarray(np.ones(3))] * 2)
    np.testing.assert_array_equal([p[0], q[0]], [0.75, 0.75])


def test_after_a_loop_over_the_groups_the_rate_is_the_new_one(backend):
    p, q = np.ones(3), np.ones(3)
    groups = [{"params": backend.asarray(p)}, {"params": backend.asarray(q)}]
    opt = gpuopt.SGD(groups, lr=1.0, backend=backend.name)
    for group in opt.param_groups:
        group["lr"] *= 0.5
    assert opt.lr == 0.5
    opt.lr = 0.0
    opt.step([backend.asarray(np.ones(3))] * 2)
    np.testing.assert_array_equal([p, q], np.ones((2, 3)))


def test_groups_of_one_schedule_have_a_common_rate():
    schedule = lambda step: 1 / step  # noqa: E731
    groups = [{"params": np.ones(2), "lr": schedule}, {"params": np.ones(2), "lr": schedule}]
    opt = gpuopt.SGD(groups, lr=1.0, backend="numpy")
    assert opt.lr is schedule
    opt.param_groups[1]["lr"] = lambda step: 1 / step
    with pytest.raises(ValueError, match="different learning rates"):
        _ = opt.lr


def test_a_rate_that_is_refused_changes_no_group():
    groups = [{"params": np.ones(2), "lr": 0.25}, {"params": np.ones(2)}]
    opt = gpuopt.SGD(groups, lr=0.5, backend="numpy")
    opt.param_groups[0].after_change = opt._common.after_change = lambda: 1 / 0
    for value, error in ((-1, ValueError), (0.125, ZeroDivisionError)):
        with pytest.raises(error):
            opt.lr = value
        assert [group["lr"] for group in opt.param_groups] == [0.25, 0.5]


def test_groups_are_as_many_as_were_given():
    opt = gpuopt.SGD([{"params": np.ones(3)}], lr=0.5, backend="numpy")
    with pytest.raises(AttributeError):
        opt.param_groups.append({"params": np.ones(3)})
    with pytest.raises(AttributeError, match="param_groups cannot be replaced"):
        opt.param_groups = []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", 2.0),
        ("momentum", 0.75),
        ("dampening", 0.5),
        ("weight_decay", 1.0),
        ("maximize", True),
    ],
)
def test_an_assignment_changes_the_next_step(backend, name, value):
    """Plain numbers of two steps of p <- p - lr b, b <- momentum b + (1 - dampening) (g + wd p)."""
    p, g = np.full(4, 8.0), backend.asarray(np.full(4, 2.0))
    opt = gpuopt.SGD(backend.asarray(p), lr=1, momentum=0.5, backend=backend.name)
    opt.step(g)
    np.testing.assert_array_equal(p, 6.0)  # b = 2
    opt.param_groups[0][name] = value
    opt.step(g)
    expected = {
        "lr": 0.0,  # 6 - 2 (1 + 2)
        "momentum": 2.5,  # 6 - (1.5 + 2)
        "dampening": 4.0,  # 6 - (1 + 1)
        "weight_decay": -3.0,  # 6 - (1 + 2 + 6)
        "maximize": 7.0,  # 6 - (1 - 2)
    }
    np.testing.assert_array_equal(p, expected[name])


def test_groups_are_mappings():
    opt = gpuopt.SGD(np.ones(3), lr=0.5, momentum=0.9, backend="numpy")
    group = opt.param_groups[0]
    assert dict(group) == {
        "lr": 0.5,
        "momentum": 0.9,
        "dampening": 0.0,
        "nesterov": False,
        "weight_decay": 0.0,
        "maximize": False,
    }
    assert len(group) == 6
    with pytest.raises(ValueError, match="momentum=0 would change the state"):
        group["momentum"] = 0


def test_groups_may_hold_equal_names(backend):
    p = [np.full(2, 4.0), np.full(3, 4.0)]
    groups = [{"params": {"w": backend.asarray(x)}} for x in p]
    opt = gpuopt.SGD(groups, lr=1, momentum=0.5, backend=backend.name)
    opt.step([{"w": backend.asarray(np.ones(2))}, {"w": None}])
    assert opt.param_steps == {"0.w": 1, "1.w": 0}
    opt.step({"1.w": backend.asarray(np.ones(3)), "0.w": None})
    np.testing.assert_array_equal(np.concatenate(p), 3.0)
    other = gpuopt.SGD(groups, lr=1, momentum=0.5, backend=backend.name)
    other.load_state_dict(opt.state_dict())
    assert other.param_steps == {"0.w": 1, "1.w": 1}


def test_errors_name_the_group():
    opt = gpuopt.SGD(
        [{"params": [np.ones(2)]}, {"params": {"w": np.ones(2)}}], lr=1, backend="numpy"
    )
    with pytest.raises(KeyError, match=r"group 1: grads has 'x'"):
        opt.step([[np.ones(2)], {"x": np.ones(2)}])
    with pytest.raises(ValueError, match="1 entries for 2 groups"):
        opt.step([[np.ones(2)]])


def test_a_lone_group_takes_gradients_as_its_parameters_were_given():
    p = [np.ones(2), np.ones(3)]
    opt = gpuopt.SGD({"params": p, "lr": 0.5}, backend="numpy")
    opt.step([np.ones(2), np.ones(3)])
    assert [float(x[0]) for x in p] == [0.5, 0.5]


def test_gradients_of_groups_may_stand_under_params():
    p = [np.ones(2), np.ones(3)]
    opt = gpuopt.SGD([{"params": p[0]}, {"params": [p[1]]}], lr=0.5, backend="numpy")
    opt.step([{"params": np.ones(2)}, [np.ones(3)]])
    assert [float(x[0]) for x in p] == [0.5, 0.5]
