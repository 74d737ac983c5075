"""Rules that users write: what may go wrong in them, and what must not."""

from dataclasses import dataclass, field

import numpy as np
import pytest

import gpuopt


@dataclass(frozen=True)
class Named(gpuopt.Rule):
    """Gives its scalars as `order` says; p becomes a."""

    order: tuple[str, ...] = ("a", "b")

    def scalars(self, lr, t):
        values = {"a": 1.0, "b": 100.0, "c": 0.0}
        names = self.order if t == 1 else self.order[::-1]
        return {name: values[name] for name in names}

    def update(self, p, g, s):
        return s.a + 0 * s.b * p


def test_scalars_that_change_their_names_or_order_are_refused(backend):
    p = backend.asarray(np.zeros(3))
    opt = gpuopt.Optimizer(p, Named(), lr=1.0, backend=backend.name)
    opt.step(backend.asarray(np.ones(3)))
    np.testing.assert_array_equal(backend.to_numpy(p), 1)
    with pytest.raises(ValueError, match=r"gave \['b', 'a'\] at this step"):
        opt.step(backend.asarray(np.ones(3)))
    assert opt.step_count == 1


@dataclass(frozen=True)
class Given(gpuopt.Rule):
    """p becomes a scalar that is whatever a user gives from the second step on."""

    value: object = 0.0

    def scalars(self, lr, t):
        return {"value": 1.0 if isinstance(lr, float) and t == 1 else self.value}

    def update(self, p, g, s):
        return s.value + 0 * p


@pytest.mark.parametrize("value", [np.inf, 1e300, 10**300, np.float32(3), True])
def test_scalars_as_numpy_takes_them(value):
    p = np.zeros(3, np.float32)
    opt = gpuopt.Optimizer(p, Given(value), lr=1.0)
    opt.step(p.copy())
    with np.errstate(over="ignore"):
        opt.step(p.copy())
        np.testing.assert_array_equal(p, np.float32(value))


def test_a_scalar_that_is_no_number():
    p = np.zeros(3, np.float32)
    opt = gpuopt.Optimizer(p, Given("high"), lr=1.0)
    opt.step(p.copy())
    with pytest.raises(ValueError, match="high"):
        opt.step(p.copy())
    np.testing.assert_array_equal(p, 1)
    assert opt.step_count == 1


@dataclass(frozen=True)
class Edge(gpuopt.Rule):
    """Infinite literals and signs of zero."""

    def scalars(self, lr, t):
        return {}

    def update(self, p, g, s):
        return np.where(g > 0, -np.inf, np.where(g < 0, np.inf, 1 / np.sign(g)))


def test_literals_and_signs_are_numpys(backend):
    p = backend.asarray(np.zeros(4, np.float32))
    g = backend.asarray(np.array([1, -1, 0.0, -0.0], np.float32))
    gpuopt.Optimizer(p, Edge(), lr=1.0, backend=backend.name).step(g)
    np.testing.assert_array_equal(backend.to_numpy(p), [-np.inf, np.inf, np.inf, np.inf])


@dataclass(frozen=True)
class Hidden(gpuopt.Rule):
    """A flag that does not count when rules are compared."""

    up: bool = field(default=False, compare=False)

    def scalars(self, lr, t):
        return {"lr": lr}

    def update(self, p, g, s):
        return p + s.lr * g if self.up else p - s.lr * g


def stepped(rule: gpuopt.Rule, backend) -> float:
    p = backend.asarray(np.zeros(1))
    gpuopt.Optimizer(p, rule, lr=1.0, backend=backend.name).step(backend.asarray(np.ones(1)))
    return float(backend.to_numpy(p)[0])


def test_equal_rules_with_other_formulas_are_told_apart(backend):
    assert [stepped(Hidden(), backend), stepped(Hidden(up=True), backend)] == [-1, 1]


def test_a_formula_replaced_at_run_time_is_the_one_that_runs(backend, monkeypatch):
    assert stepped(Hidden(), backend) == -1
    monkeypatch.setattr(Hidden, "update", lambda self, p, g, s: p - 100 * s.lr * g)
    assert stepped(Hidden(), backend) == -100


@dataclass(frozen=True)
class Buffers(gpuopt.Rule):
    names: tuple[str, ...] = ()

    @property
    def state(self):
        return self.names

    def scalars(self, lr, t):
        return {}

    def update(self, p, g, *rest):
        return p - g, *rest[:-1]


@pytest.mark.parametrize("name", ["xor", "nullptr", "int64", "true", "reinterpret_cast", "sweep"])
def test_names_that_printed_code_needs_are_refused(name):
    with pytest.raises(gpuopt.LoweringError, match="reserved"):
        gpuopt.Optimizer(np.ones(3), Buffers((name,)), lr=1.0).step(np.ones(3))


def test_as_many_buffers_as_a_sweep_takes_and_one_more(backend):
    names = tuple(f"buffer{k}" for k in range(15))
    assert stepped(Buffers(names[:14]), backend) == -1
    if backend.name != "numpy":
        with pytest.raises(gpuopt.LoweringError, match="at most 14"):
            stepped(Buffers(names), backend)


def test_tuples_come_back_from_a_file(tmp_path):
    pytest.importorskip("safetensors")
    first, second = (gpuopt.Optimizer(np.ones(3), Buffers(("u", "w")), lr=0.5) for _ in range(2))
    first.step(np.ones(3))
    first.save(tmp_path / "state.safetensors")
    second.load(tmp_path / "state.safetensors")
    assert second.rule == Buffers(("u", "w"))
    second.step(np.ones(3))
    assert second.step_count == 2


@dataclass(frozen=True)
class OfAnotherShape(gpuopt.Rule):
    """Only the NumPy backend runs it: it looks at the whole block. Its state does not fit."""

    @property
    def state(self):
        return ("m",)

    def scalars(self, lr, t):
        return {}

    def update(self, p, g, m, s):
        return p - g, np.concatenate([m, g, g])


def test_a_formula_of_another_shape_changes_nothing():
    params = [np.ones(2), np.ones(3)]
    opt = gpuopt.Optimizer(params, OfAnotherShape(), lr=1.0, backend="numpy")
    with pytest.raises(ValueError, match="broadcast"):
        opt.step([np.ones(2), np.ones(3)])
    assert all((p == 1).all() for p in params)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (type("Bare", (Edge,), {})(), "dataclass"),
        (Buffers(["a"]), "hashable"),  # type: ignore[arg-type]
        (gpuopt.rules.Adam, "must be a gpuopt.Rule"),
    ],
)
def test_what_is_no_rule_is_refused(rule, message):
    with pytest.raises(TypeError, match=message):
        gpuopt.Optimizer(np.ones(3), rule, lr=1.0)


@dataclass(frozen=True)
class Misspelt(gpuopt.Rule):
    def scalars(self, lr, t):
        return {"lr": lr}

    def update(self, p, g, s):
        return p - s.rate * g


@dataclass(frozen=True)
class Summing(gpuopt.Rule):
    def scalars(self, lr, t):
        return {"lr": lr}

    def update(self, p, g, s):
        return p - s.lr * (g * g).sum()


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Misspelt(), r"update uses s.rate, but scalars\(\) returns lr"),
        (Summing(), r"\.sum of an element"),
    ],
)
def test_mistakes_in_a_formula_are_told_as_they_are(rule, message):
    with pytest.raises(gpuopt.LoweringError, match=message):
        gpuopt.Optimizer(np.ones(3), rule, lr=1.0).step(np.ones(3))


def test_a_state_without_its_comma_is_told():
    with pytest.raises(TypeError, match="must be a tuple of names"):
        gpuopt.Optimizer(np.ones(3), Buffers("mom"), lr=1.0)  # type: ignore[arg-type]
