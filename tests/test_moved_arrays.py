"""Arrays of the user that were replaced, reshaped, resized or made read-only."""

import copy
import pickle

import numpy as np
import pytest

import gpuopt
from tests.optional import optional

CPU = pytest.mark.parametrize("name", ["numpy", "numba"])


def make(name, params=None, **options):
    params = {"w": np.ones((4, 6), "f4"), "b": np.ones(6, "f4")} if params is None else params
    opt = gpuopt.Adam(params, lr=0.1, backend=name, **options)
    opt.step({key: np.ones_like(p) for key, p in params.items()})
    return opt, params


def unchanged(opt, params, act):
    """Whether what `act` does to `b` is refused by name, and nothing has moved."""
    before = {key: (p, p.copy()) for key, p in params.items()}
    with pytest.raises(ValueError, match=r"params\['b'\].*rebind") as caught:
        act()
    assert len(str(caught.value)) < 500
    assert opt.step_count == 1
    for p, old in before.values():
        assert p.tobytes() == old.tobytes()


CHANGES = {
    "shape": lambda b: setattr(b, "shape", (2, 3)),
    "dtype": lambda b: setattr(b, "dtype", "i4"),
    "resized": lambda b: b.resize(5, refcheck=False),
    "resized to much more": lambda b: b.resize(100_000, refcheck=False),
    "read-only": lambda b: setattr(b.flags, "writeable", False),
}


@CPU
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.filterwarnings("ignore:Setting the (shape|dtype)")
def test_an_array_that_came_to_lie_otherwise_is_refused(name, change):
    opt, params = make(name, average=0.9)
    CHANGES[change](params["b"])
    grads = {key: np.ones(p.shape, "f4") for key, p in params.items()}
    unchanged(opt, params, lambda: opt.step(grads))
    unchanged(opt, params, lambda: opt.step({"w": grads["w"], "b": None}))
    saved = opt.state_dict()
    unchanged(opt, params, lambda: opt.load_state_dict(saved))
    unchanged(opt, params, opt.averaged_params)

    def look():
        with opt.averages():
            pass

    unchanged(opt, params, look)


@CPU
@pytest.mark.filterwarnings("ignore:Setting the strides")
def test_strides_that_were_assigned_are_refused(name):
    opt, params = make(name, {"w": np.ones(3, "f4"), "b": np.ones((3, 4), "f4")[:, :3]})
    params["b"].strides = (4, 4)
    unchanged(opt, params, lambda: opt.step({key: np.ones_like(p) for key, p in params.items()}))


@CPU
@pytest.mark.filterwarnings("ignore:Setting the shape")
def test_an_array_that_was_put_back_is_right_again(name):
    opt, params = make(name)
    grads = {key: np.ones_like(p) for key, p in params.items()}
    params["b"].flags.writeable = False
    params["w"].shape = (24,)
    with pytest.raises(ValueError, match="params"):
        opt.step(grads)
    params["b"].flags.writeable = True
    params["w"].shape = (4, 6)
    opt.step(grads)
    for p in params.values():
        np.testing.assert_allclose(p, 0.8, rtol=1e-5)


@CPU
def test_a_replaced_entry_is_refused_and_rebind_mends_it(name):
    opt, params = make(name)
    grads = {key: np.ones_like(p) for key, p in params.items()}
    old = params["b"]
    params["b"] = np.clip(old, -0.5, 0.5)
    unchanged(opt, params, lambda: opt.step(grads))
    opt.rebind(params)
    assert opt.params["b"] is params["b"]
    assert opt.step_count == 1
    opt.step(grads)
    np.testing.assert_allclose(params["b"], 0.4, rtol=1e-5)
    np.testing.assert_allclose(params["w"], 0.8, rtol=1e-5)
    np.testing.assert_allclose(old, 0.9, rtol=1e-5)


@pytest.mark.parametrize(
    ("params", "replace"),
    [
        ([np.ones(2), np.ones(3)], lambda ps: ps.__setitem__(1, np.ones(3))),
        ({"net": [{"b": np.ones(3)}]}, lambda ps: ps["net"][0].update(b=np.ones(3))),
        ([{"params": [np.ones(3)]}], lambda ps: ps[0]["params"].__setitem__(0, np.ones(3))),
        ({"params": {"b": np.ones(3)}}, lambda ps: ps.update(params={"b": np.ones(3)})),
        (({"b": np.ones(3)},), lambda ps: ps[0].update(b=np.ones(3))),
    ],
    ids=["list", "nested", "groups", "group", "tuple"],
)
@CPU
def test_every_kind_of_container_is_looked_at(name, params, replace):
    params = copy.deepcopy(params)
    opt = gpuopt.SGD(params, lr=0.1, backend=name)
    opt.step(copy.deepcopy(opt.params))
    replace(params)
    with pytest.raises(ValueError, match="rebind"):
        opt.step(copy.deepcopy(opt.params))
    opt.rebind(params)
    opt.step(copy.deepcopy(opt.params))


def test_a_file_that_is_read_anew_at_each_access_is_refused(tmp_path):
    np.savez(tmp_path / "w.npz", w=np.ones(3))
    with (
        np.load(tmp_path / "w.npz") as file,
        pytest.raises(ValueError, match=r"params\['w'\].*dict"),
    ):
        gpuopt.SGD(file, lr=0.1)


@CPU
def test_rebind_refuses_what_does_not_fit_and_changes_nothing(name):
    opt, params = make(name)
    w, b = params["w"], params["b"]
    for other, word in (
        ({"w": w}, "lacks"),
        ({"w": w, "b": b, "c": b.copy()}, "'c'"),
        ({"w": w, "b": np.ones(5, "f4")}, r"shape \(5,\)"),
        ({"w": w, "b": np.ones(6, "f8")}, "dtype float64"),
        ({"w": w, "b": w[0]}, "share memory"),
    ):
        with pytest.raises(ValueError, match=word):
            opt.rebind(other)
        assert opt.params["w"] is w
        assert opt.params["b"] is b
    opt.step({key: np.ones_like(p) for key, p in params.items()})
    np.testing.assert_allclose(b, 0.8, rtol=1e-5)


class Sub(np.ndarray):
    pass


def kinds(folder):
    mapped = np.memmap(folder / "w.bin", dtype="f8", mode="w+", shape=(1, 3))
    mapped[:] = 1
    found = {
        "ndarray": np.ones((1, 3)),
        "memmap": mapped,
        "matrix": np.ones((1, 3)).view(np.matrix),
        "subclass": np.ones((1, 3)).view(Sub),
        "strided": np.ones((3, 2)).T[:1],
    }
    found["tensor"] = optional("torch").ones(1, 3, dtype=optional("torch").float64)
    return found


@CPU
@pytest.mark.parametrize("how", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("held", ["alone", "dict"])
def test_copies_step_the_arrays_of_the_same_copy(tmp_path, name, how, held):
    for kind, w in kinds(tmp_path).items():
        params = {"w": w} if held == "dict" else w
        model = {"w": w, "params": params, "opt": gpuopt.SGD(params, lr=0.25, backend=name)}
        grad = w * 0 + 1
        model["opt"].step({"w": grad} if held == "dict" else grad)
        other = how(model)
        assert other["w"] is not w
        other["opt"].step({"w": grad} if held == "dict" else grad)
        assert np.asarray(other["w"]).tolist() == [[0.5] * 3], kind
        assert np.asarray(w).tolist() == [[0.75] * 3], kind
        assert other["opt"].step_count == 2
        shown = other["opt"].params
        assert (shown["w"] if held == "dict" else shown) is other["w"], kind


def test_a_copy_by_joblib_says_that_it_steps_arrays_of_its_own(tmp_path):
    """joblib (of scikit-learn) writes an array once for each place that holds it."""
    joblib = optional("joblib")
    w = np.ones(3)
    model = {"w": w, "opt": gpuopt.SGD({"w": w}, lr=0.25)}
    joblib.dump(model, tmp_path / "model")
    with pytest.warns(UserWarning, match=r"opt\.rebind\(params\)"):
        other = joblib.load(tmp_path / "model")
    other["opt"].step({"w": np.ones(3)})
    assert other["opt"].params["w"].tolist() == [0.75] * 3
    assert other["w"].tolist() == [1.0] * 3
    other["opt"].rebind({"w": other["w"]})
    other["opt"].step({"w": np.ones(3)})
    assert other["w"].tolist() == [0.75] * 3
    assert other["opt"].step_count == 2


@CPU
def test_state_is_shown_by_views(name):
    opt, params = make(name)
    shown = opt.state["b"]["m"]
    shown[:] = 0
    shown.shape = (2, 3)
    assert opt.state["b"]["m"].tolist() == [0.0] * 6
    opt.step({key: np.ones_like(p) for key, p in params.items()})


def test_a_tensor_whose_storage_was_freed_is_refused():
    torch = optional("torch")
    freed = torch.ones(300_000)
    freed.untyped_storage().resize_(0)
    with pytest.raises(ValueError, match=r"params\['p'\].*no memory"):
        gpuopt.SGD({"p": freed}, lr=0.5)
    p = torch.ones(300_000)
    opt = gpuopt.SGD({"p": p}, lr=0.5)
    opt.step({"p": torch.ones(300_000)})
    with pytest.raises(ValueError, match=r"gradient of params\['p'\].*no memory"):
        opt.step({"p": freed})
    assert opt.step_count == 1
    assert bool((p == 0.5).all())


def test_a_numpy_scalar_is_the_gradient_of_a_0_d_parameter():
    b = np.array(0.0)
    opt = gpuopt.SGD({"b": b}, lr=0.1)
    opt.step({"b": np.ones(4).sum()})
    assert b == -0.4
