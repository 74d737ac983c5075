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


def test_a_group_without_its_own_rate_follows_the_optimizers(backend):
    p, q = np.ones(3), np.ones(3)
    groups = [{"params": backend.asarray(p)}, {"params": backend.asarray(q), "lr": 1.0}]
    opt = gpuopt.SGD(groups, lr=0.5, backend=backend.name)
    opt.lr = 0.25
    assert [group["lr"] for group in opt.param_groups] == [0.25, 1.0]
    opt.step([backend.asarray(np.ones(3))] * 2)
    np.testing.assert_array_equal([p[0], q[0]], [0.75, 0.0])
    opt.param_groups[0]["lr"] = 2
    opt.lr = 0.125
    assert [group["lr"] for group in opt.param_groups] == [2.0, 1.0]


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


def test_names_must_be_unique_over_groups():
    with pytest.raises(ValueError, match="same name, as text"):
        gpuopt.SGD(
            [{"params": {"w": np.ones(2)}}, {"params": {"w": np.ones(2)}}], lr=1, backend="numpy"
        )


def test_errors_name_the_group():
    opt = gpuopt.SGD(
        [{"params": [np.ones(2)]}, {"params": {"w": np.ones(2)}}], lr=1, backend="numpy"
    )
    with pytest.raises(KeyError, match=r"group 1: grads has 'x'"):
        opt.step([[np.ones(2)], {"x": np.ones(2)}])
    with pytest.raises(ValueError, match="2 parameters"):
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
