"""Gradient checking: what it takes, what it refuses, what it says; and it changes nothing."""

import numpy as np
import pytest

from gpuopt.gradcheck import check_gradients
from tests.optional import optional
from tests.training import remote

RNG = np.random.default_rng(0)
P = RNG.normal(size=(3, 4))


def squares(p):
    return (p * p).sum() / 2


def squares_of(arrays):
    return sum(squares(p) for p in arrays)


GRID = RNG.normal(size=(6, 8))


@pytest.mark.parametrize(
    "p",
    [
        P.T,
        GRID[::2, ::-2],
        GRID[..., 0],
        np.asfortranarray(P),
        np.broadcast_to(1.5, (2, 3)),
        np.float32(1.5),
        np.array(-2.0),
        P.astype(np.float16),
        (P + 1j * P.T.reshape(3, 4)).T,
    ],
)
def test_any_layout_size_and_floating_dtype(p):
    def cost(q):
        assert q.dtype == (complex if np.iscomplexobj(p) else float)
        assert q.shape == p.shape
        return (np.abs(q) ** 2).sum() / 2

    assert check_gradients(cost, p, np.asarray(p))
    if p.ndim == 2:
        wrong = np.array(p)
        wrong[1, 0] += 1
        assert check_gradients(cost, p, wrong).worst[0].index == (1, 0)


def test_structures_reach_the_cost_as_they_came():
    first, second, last = P[0].copy(), P[1, :2].copy(), np.array(3.0)
    assert check_gradients(
        lambda p: squares_of(p.values()), {"a": first, 7: last}, {"a": first, 7: last}
    )
    assert check_gradients(squares_of, (first, last), iter([first, last]))
    assert check_gradients(lambda p: squares(p["params"]), {"params": first, "lr": 1}, first)
    groups = [{"params": [first, second], "lr": 0.1}, {"params": {"b": last}}]

    def cost(groups):
        assert groups[0]["lr"] == 0.1
        return squares_of(groups[0]["params"]) + squares(groups[1]["params"]["b"])

    assert check_gradients(cost, groups, [[first, second], {"b": last}])
    wrong = check_gradients(cost, groups, [{"params": [first, 2 * second]}, {"b": last}])
    assert [p.name for p in wrong.worst] == ["params[1]", *(p.name for p in wrong.worst[1:])]
    assert {p.name for p in wrong.worst} == {"params[0]", "params[1]", "params['b']"}


@pytest.mark.parametrize("directions", [None, 2])
def test_empty_parameters_and_none(directions):
    params = [np.empty((0, 3)), P, np.empty(0), np.ones(2)]
    grads = [None, P, np.empty(0), None]
    found = check_gradients(lambda p: squares(p[1]), params, grads, directions=directions)
    assert found
    assert found.error < 1e-6
    assert {p.name for p in found.worst} == {"params[1]", "params[3]"}


@pytest.mark.parametrize("ends", ["returns", "raises"])
def test_parameters_keep_every_bit_whatever_the_cost_does(ends):
    memory = RNG.normal(size=(4, 6)).astype(np.float32)
    params = {"a": memory[::2, 1::3], "b": np.array(2.0)}
    before, calls = memory.tobytes(), []

    def cost(p):
        calls.append(1)
        if ends == "raises" and len(calls) == 7:
            raise KeyError("seven")
        value = squares_of(p.values())
        for q in p.values():
            q[...] = np.nan
        return value

    def grads(p):
        found = {name: q.copy() for name, q in p.items()}
        p["a"][...] = 7
        return found

    if ends == "raises":
        with pytest.raises(KeyError, match="seven"):
            check_gradients(cost, params, grads)
    else:
        assert check_gradients(cost, params, grads)
    assert memory.tobytes() == before
    assert params["b"] == 2


def test_cupy_arrays_stay_on_their_device(monkeypatch):
    cupy = remote.installed(monkeypatch)
    params = {"W": cupy.array(P.astype(np.float32)), "z": cupy.array(P[0] * 1j)}

    def cost(p):
        assert all(type(x) is remote.Remote for x in p.values())
        return cupy.abs(p["W"] ** 2).sum() / 2 + (cupy.abs(p["z"]) ** 2).sum()

    def grads(p):
        return {"W": p["W"] * 1.0, "z": 2 * p["z"]}

    assert check_gradients(cost, params, grads)
    assert check_gradients(cost, params, grads(params), directions=2, rng=0)
    wrong = check_gradients(cost, params, lambda p: {**grads(p), "z": p["z"]})
    assert [p.name for p in wrong.worst if not p.passed] == ["params['z']"]
    np.testing.assert_array_equal(params["W"].get(), P.astype(np.float32))


REFUSED_COSTS = {
    "dropout": (lambda p: (p * (RNG.random(p.shape) < 0.8)).sum(), ValueError, "dropout"),
    "nan": (lambda p: np.nan, ValueError, r"the cost, must be a number, got nan"),
    "infinite": (lambda p: np.float64("inf"), ValueError, "must be finite, got inf"),
    "later": (lambda p: 0.0 if (p == P).all() else np.nan, ValueError, "got nan"),
    "complex": (lambda p: p.sum() + 0j, TypeError, "must be a number, got"),
    "array": (lambda p: p.sum(keepdims=True), TypeError, r"shape \(1, 1\); expected one real"),
    "nothing": (lambda p: None, TypeError, "must be a number, got None"),
}


@pytest.mark.parametrize("kind", REFUSED_COSTS)
def test_a_cost_must_be_one_finite_number_and_the_same_again(kind):
    f, error, words = REFUSED_COSTS[kind]
    with pytest.raises(error, match=words):
        check_gradients(f, P, P)


def bad(value):
    g = P.copy()
    g[1, 2] = value
    return g


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"params": [P, np.arange(3)]}, TypeError, r"params\[1\] has dtype int64; expected float"),
        ({"params": [P, [1.0]]}, TypeError, r"params\[1\] must be a NumPy or CuPy array, got a li"),
        ({"params": 3.0}, TypeError, "params must be an array, a sequence or mapping"),
        ({"params": []}, ValueError, "no elements"),
        ({"params": np.empty((0, 2))}, ValueError, "no elements"),
        (
            {"grads": P.T},
            ValueError,
            r"gradient of params\[0\] has shape \(4, 3\); expected",
        ),
        ({"grads": lambda p: p[0]}, ValueError, r"shape \(4,\)"),
        ({"grads": [P, P]}, TypeError, "grads must be one array"),
        (
            {"grads": bad(np.nan)},
            ValueError,
            r"NaN or infinity in 1 of 12 .* first at \[1, 2",
        ),
        ({"grads": P * 1j}, TypeError, "has dtype complex128; expected real numbers"),
        ({"grads": P.astype(str)}, TypeError, "expected real numbers"),
        (
            {"params": {"W": P}, "grads": {"w": P}},
            KeyError,
            "grads has 'w', but the param",
        ),
        ({"params": [P, P], "grads": [P]}, ValueError, "1 entries for 2 parameters"),
        ({"eps": 0}, ValueError, "eps must be > 0"),
        ({"eps": 1e-18}, ValueError, "eps is too small: steps of .* move nothing"),
        ({"tolerance": -1}, ValueError, "tolerance must be > 0"),
        ({"directions": 0}, ValueError, "directions must be at least 1"),
        ({"rng": "x"}, TypeError, "rng must be None, a seed"),
    ],
)
def test_what_cannot_be_checked_raises(change, error, words):
    with pytest.raises(error, match=words):
        check_gradients(**{"f": squares, "params": P, "grads": P, **change})


def test_torch_tensors_are_refused():
    torch = optional("torch")
    with pytest.raises(TypeError, match="must be a NumPy or CuPy array, got a Tensor; try numpy"):
        check_gradients(squares, torch.ones(3), torch.ones(3))


def test_a_gradient_that_lies_otherwise_is_told_the_call_that_turns_it():
    with pytest.raises(ValueError, match=r"has shape \(3,\); .* try \.reshape\(\(3, 1\)\)$"):
        check_gradients(lambda w: (w**2).sum(), np.ones((3, 1)), np.ones(3))
