"""What a user may get wrong: each raises, names the parameter or field, and changes nothing."""

import numpy as np
import pytest

import gpuopt
from tests.optional import optional


def adam(params, **options):
    return gpuopt.Adam(params, backend="numpy", **options)


def ones(*shape, dtype="f4"):
    return np.ones(shape, dtype)


def test_arrays_that_cannot_be_parameters(backend):
    def build(p):
        return gpuopt.SGD({"fine": backend.asarray(ones(2)), "w": p}, lr=1, backend=backend.name)

    for wrong in ([1.0, 2.0], 3.5, "text", None, object(), np.float32(1)):
        with pytest.raises(TypeError, match=r"params\['w'\]"):
            build(wrong)


def test_host_arrays_that_cannot_be_parameters():
    frozen = ones(3)
    frozen.flags.writeable = False
    for wrong, error, message in (
        (np.arange(3), TypeError, "int64"),
        (np.ones(3, bool), TypeError, "bool"),
        (frozen, ValueError, "read-only"),
        (np.broadcast_to(np.float32(1), (3,)), ValueError, "read-only|share memory"),
        (np.ma.masked_array(ones(3), [0, 1, 0]), TypeError, "masked"),
        (np.ones(3, ">f4"), TypeError, "swapped"),
        (np.zeros(13, "u1")[1:].view("f4"), ValueError, "address"),
        (np.array([1, "a"], object), TypeError, "object"),
    ):
        with pytest.raises(error, match=rf"params\[1\].*({message})"):
            adam([ones(3), wrong])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"w": ones(2), "b": 0.0}, r"params\['b'\] is a float, .*: np\.array\(0\.0\)"),
        ({"w": ones(2), "b": np.float64(0.5)}, r"params\['b'\] is a float64, .* np\.array\(0\.5\)"),
        ([{"w": ones(2), "b": 1}], r"params\['0\.b'\] is a int, .* np\.array\(1\.0\)"),
        ({"layers": [{"w": None}]}, r"params\['layers\.0\.w'\] is None; leave out"),
        (
            {"layers": [[1.0, 2.0]]},
            r"params\['layers\.0'\] is a list of numbers; make it one array",
        ),
        ([{"params": {"w": None}}, {"params": {"w": ones(2)}}], r"params\['0\.w'\] is None"),
        ({"layers": [{"w": np.arange(3)}]}, r"params\['layers\.0\.w'\] has dtype int64"),
        (2.5, r"params must be an array.* got a float, .* np\.array\(2\.5\)"),
    ],
)
def test_what_is_taken_for_an_array_is_named_with_its_mend(params, message):
    with pytest.raises(TypeError, match=message) as info:
        adam(params)
    assert len(str(info.value)) < 500


def test_jax_arrays_cannot_be_changed():
    jax = optional("jax.numpy")
    with pytest.raises(TypeError, match=r"params\['w'\] is an array of jax.* np\.array\("):
        adam({"w": jax.ones(3)})


def test_overlapping_parameters(backend):
    w = ones(12)
    wide = np.lib.stride_tricks.as_strided(w, (4, 4), (4, 4))
    x = backend.asarray(w)
    for params, message in (
        ([x, x], r"params\[0\] and params\[1\] share memory"),
        ([x[:8], backend.asarray(ones(2)), x[7:]], r"params\[0\] and params\[2\] share memory"),
        ([x[::2], x[2:3]], "share memory"),
        ([backend.asarray(wide)], r"params\[0\] has elements that share memory"),
    ):
        with pytest.raises(ValueError, match=message):
            gpuopt.SGD(params, lr=1, backend=backend.name)
    gpuopt.SGD([x[:6], x[6:]], lr=1, backend=backend.name)


@pytest.mark.parametrize("steps_before", [0, 1])
def test_gradients_that_do_not_fit(backend, steps_before):
    p, q = np.full((4, 3), 2, "f4"), np.full(3, 2, "f4")
    params = {"p": backend.asarray(p), "q": backend.asarray(q)}
    opt = gpuopt.Adam(params, backend=backend.name)
    right = backend.asarray(ones(4, 3))
    for _ in range(steps_before):
        opt.step({"p": right, "q": backend.asarray(ones(3))})
    before = p.copy(), q.copy()
    wrong = [
        (ones(1), ValueError, r"has shape \(1,\), but the parameter has \(3,\)"),
        (ones(3, 1), ValueError, "shape"),
        (ones(4), ValueError, "shape"),
        (np.array(1, "f4"), ValueError, "shape"),
        (ones(3, dtype="f8"), ValueError, "dtype float64, but the parameter has float32"),
        (ones(3, dtype="c8"), ValueError, "dtype"),
        (q, ValueError, r"(?=.*params\['q'\] and|.*and params\['q'\]).*share memory"),
        (p[1], ValueError, r"params\['p'\].*share memory"),
    ]
    wrong = [(backend.asarray(g), error, message) for g, error, message in wrong]
    if steps_before:
        wrong.append((opt.state["p"]["m"][1], ValueError, r"m of params\['p'\]"))
    wrong += [(x, TypeError, "") for x in (np.ma.masked_array(ones(3)), [1.0] * 3, 1.0, "ones")]
    for g, error, message in wrong:
        with pytest.raises(error, match=rf"(?=.*gradient of params\['q'\]).*{message}"):
            opt.step({"p": right, "q": g})
        np.testing.assert_array_equal(p, before[0])
        np.testing.assert_array_equal(q, before[1])
        assert opt.step_count == steps_before
        assert set(opt.param_steps.values()) == {steps_before}
    opt.step({"p": right, "q": backend.asarray(ones(3))})
    assert opt.step_count == steps_before + 1


def test_two_parameters_may_share_a_gradient(backend):
    p, q, g = ones(5), ones(5), backend.asarray(ones(5))
    opt = gpuopt.SGD([backend.asarray(p), backend.asarray(q)], lr=1, backend=backend.name)
    opt.step([g, g])
    np.testing.assert_array_equal([p, q], np.zeros((2, 5)))


WRONG = [
    ("lr", np.nan, ValueError),
    ("lr", -1, ValueError),
    ("lr", np.inf, ValueError),
    ("lr", "0.1", TypeError),
    ("lr", None, TypeError),
    ("lr", [0.1], TypeError),
    ("lr", np.array([0.1]), TypeError),
    ("lr", 1j, TypeError),
    ("lr", np.complex64(1), TypeError),
    ("eps", -1, ValueError),
    ("eps", "1", TypeError),
    ("weight_decay", -0.1, ValueError),
    ("betas", (0.9, 1.0), ValueError),
    ("betas", (-0.1, 0.9), ValueError),
    ("betas", (0.9, np.nan), ValueError),
    ("betas", 0.9, TypeError),
    ("betas", (0.9,), TypeError),
    ("betas", ("a", "b"), TypeError),
    ("maximize", 1, TypeError),
    ("amsgrad", "yes", TypeError),
]


@pytest.mark.parametrize(("name", "value", "error"), WRONG)
def test_hyperparameters_are_checked_where_they_are_given(name, value, error):
    with pytest.raises(error, match=name):
        adam(ones(3), **{name: value})
    with pytest.raises(error, match=f"group 1: {name}"):
        adam([{"params": ones(3)}, {"params": ones(3), name: value}])
    opt = adam(ones(3))
    group = opt.param_groups[0]
    before = dict(group)
    with pytest.raises(error, match=name):
        group[name] = value
    assert dict(group) == before
    if name == "lr":
        with pytest.raises(error, match=name):
            opt.lr = value
        assert opt.lr == before["lr"]


@pytest.mark.parametrize("value", [1, np.float32(1), np.int64(1), np.array(1.0), np.array(1, "f4")])
def test_numbers_of_any_kind_are_taken(value):
    opt = adam(ones(3), lr=value, weight_decay=value, eps=value)
    assert (opt.lr, opt.rule.eps, type(opt.lr), type(opt.rule.eps)) == (1.0, 1.0, float, float)
    opt.lr = value
    opt.param_groups[0]["weight_decay"] = value
    assert type(opt.param_groups[0]["weight_decay"]) is float


def test_assignments_to_a_group_that_cannot_be(backend):
    opt = gpuopt.Adam(backend.asarray(ones(3)), backend=backend.name)
    group = opt.param_groups[0]
    before = dict(group)
    with pytest.raises(ValueError, match=r"amsgrad=True would change the state.*new optimizer"):
        group["amsgrad"] = True
    with pytest.raises(KeyError, match=r"'beta1' is no hyper-parameter; Adam has lr, betas"):
        group["beta1"] = 0.5
    with pytest.raises(KeyError, match="'nothing'"):
        _ = group["nothing"]
    with pytest.raises(TypeError, match="deleted"):
        del group["lr"]
    assert dict(group) == before


def test_arguments_of_the_optimizer():
    with pytest.raises(TypeError, match=r"rule must be a gpuopt\.Rule"):
        gpuopt.Optimizer(ones(3), gpuopt.rules.Adam, lr=1)
    with pytest.raises(ValueError, match="backend must be None or one of numpy, numba"):
        gpuopt.Adam(ones(3), backend="jax")
    with pytest.raises(ValueError, match="nesterov needs momentum > 0"):
        gpuopt.SGD(ones(3), nesterov=True)
    with pytest.raises(ValueError, match="ewma=True"):
        gpuopt.Momentum(ones(3), 0.1, ewma=False, bias_correction=True)
    with pytest.raises(KeyError, match=r"group 1: .*'params'"):
        adam([{"params": ones(3)}, {"lr": 3}])
    with pytest.raises(KeyError, match=r"group 0: 'beta'"):
        adam([{"params": ones(3), "beta": 3}])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("learning_rate", r"no attribute 'learning_rate': the learning rate is opt\.lr"),
        ("weight_decay", r"it belongs to the groups: opt\.param_groups\[0\]\['weight_decay'\] ="),
        (
            "beta",
            r"did you mean opt\.param_groups\[0\]\['betas'\]\? The groups have lr, betas, eps",
        ),
        (
            "momentum",
            r"'momentum': The groups have lr, betas, eps, weight_decay, amsgrad, maximize",
        ),
        ("step_count", "step_count"),
        ("rule", "rule"),
    ],
)
def test_settings_that_nothing_would_read_cannot_be_assigned(name, message):
    opt = adam(ones(3))
    with pytest.raises(AttributeError, match=message):
        setattr(opt, name, 3)
    assert name not in vars(opt)


def test_a_subclass_may_have_attributes_of_its_own():
    class Logged(gpuopt.Optimizer):
        def __init__(self, params):
            self.log = []
            super().__init__(params, gpuopt.rules.SGD(), lr=1, backend="numpy")

    opt = Logged(ones(3))
    opt.name = "first"
    assert (opt.log, opt.name) == ([], "first")
    with pytest.raises(AttributeError, match="param_groups cannot be replaced"):
        opt.param_groups = []


def test_hyperparameters_are_entries_of_a_group_and_frozen_in_a_rule():
    opt = adam(ones(3))
    for name in ("lr", "weight_decay", "learning_rate"):
        with pytest.raises(AttributeError, match=rf"no attribute '{name}' .*group\['{name}'\]"):
            setattr(opt.param_groups[0], name, 3)
        with pytest.raises(AttributeError):
            setattr(opt.rule, name, 3)
    assert (opt.lr, opt.rule) == (1e-3, gpuopt.rules.Adam())
