"""The surfaces and the paths on them, against formulas written once more."""

import dataclasses

import numpy as np
import pytest

from gpuopt.errors import InputError
from gpuopt.surfaces import paths
from gpuopt.surfaces.functions import SURFACES
from gpuopt.training.settings import MAKERS

COSTS = {  # as each surface's formula says
    "bowl": lambda x, y: (x**2 / 100 + y**2) / 2,
    "saddle": lambda x, y: (x**2 - y**2 / 100) / 2,
    "plateau": lambda x, y: 1 - np.exp(-(x**2 / 9 + y**2) / 2),
}
POINTS = np.array([[-4.0, 1.5], [0.3, -0.2], [-1.5, 0.1], [-3.0, 1.0], [2.0, 0.0], [0.0, 0.0]])
surfaces = pytest.mark.parametrize("name", SURFACES)


@surfaces
def test_costs_are_those_of_the_formula(name):
    surface = SURFACES[name]
    written = surface.formula.removeprefix("J = ").replace("^", "**")
    values = [eval(written, {"x": x, "y": y, "exp": np.exp}) for x, y in POINTS]
    np.testing.assert_allclose(surface.cost(POINTS), values, rtol=1e-14, atol=0)
    np.testing.assert_allclose(values, COSTS[name](*POINTS.T), rtol=1e-14, atol=0)


@surfaces
def test_gradients_are_those_of_central_differences(name):
    cost, eps = COSTS[name], 1e-5
    x, y = POINTS.T
    across = (cost(x + eps, y) - cost(x - eps, y)) / (2 * eps)
    up = (cost(x, y + eps) - cost(x, y - eps)) / (2 * eps)
    found = SURFACES[name].gradient(POINTS)
    np.testing.assert_allclose(found, np.stack([across, up], axis=-1), rtol=1e-7, atol=1e-10)


@surfaces
def test_the_curvature_is_1_at_the_centre_and_nowhere_above(name):
    surface, eps = SURFACES[name], 1e-4
    (x0, x1), (y0, y1) = surface.window
    grid = np.stack(np.meshgrid(np.linspace(x0, x1, 41), np.linspace(y0, y1, 41)), axis=-1)

    def largest(points):
        columns = [
            (surface.gradient(points + d) - surface.gradient(points - d)) / (2 * eps)
            for d in eps * np.eye(2)
        ]
        return np.linalg.eigvalsh(np.stack(columns, axis=-1)).max(axis=-1)

    assert largest(np.zeros(2)) == pytest.approx(1, abs=1e-6)
    assert largest(grid).max() <= 1 + 1e-6


@pytest.mark.parametrize(
    ("name", "done", "not_yet"),
    [
        ("bowl", [0.06, -0.07], [-0.08, 0.08]),
        ("saddle", [5.0, -10.1], [5.0, 9.9]),
        ("plateau", [0.0, 1.17], [0.0, 1.18]),
    ],
)
def test_where_the_task_is_done(name, done, not_yet):
    missing = SURFACES[name].missing(np.array([done, not_yet, SURFACES[name].start]))
    assert (missing <= 0).tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("inside", "in_a_row", "arrived"),
    [
        ("0010", 1, 2),
        ("0000", 1, None),
        ("01011100", 3, 3),
        ("0101100", 3, None),
        ("0100111", 3, 4),
        ("0100011", 3, 5),  # to the last
        ("0111", 1, 1),
    ],
)
def test_arrival_is_where_it_stays(inside, in_a_row, arrived):
    def missing(points):
        return 0.5 - points[:, 0]

    surface = dataclasses.replace(SURFACES["bowl"], missing=missing, in_a_row=in_a_row)
    points = np.array([[float(c), 0.0] for c in inside])
    assert paths.arrival(surface, points) == arrived


def by_hand(name, rates, steps):
    """Points (rates, steps + 1, 2) on the bowl, by each method's equations."""
    lr, p = np.array(rates)[:, None], np.tile([-4.0, 1.5], (len(rates), 1))
    m, v, seen = np.zeros_like(p), np.zeros_like(p), [p]
    for t in range(1, steps + 1):
        g = p * (1 / 100, 1)
        if name == "sgd":
            p = p - lr * g
        elif name == "momentum":
            v = 0.9 * v + 0.1 * g
            p = p - lr * v
        elif name == "rmsprop":
            v = 0.99 * v + 0.01 * g**2
            p = p - lr * g / (np.sqrt(v) + 1e-8)
        else:
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            step = m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
            p = p - lr * step
        seen.append(p)
    return np.stack(seen, axis=1)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("name", ["sgd", "momentum", "rmsprop", "adam"])
def test_a_path_follows_the_method_s_equations(name, backend):
    found = paths.walk(MAKERS[name], [0.1, 1.9], SURFACES["bowl"], 50, backend)
    expected = by_hand(name, [0.1, 1.9], 50)
    for path, points in zip(found, expected, strict=True):
        np.testing.assert_allclose(path.points, points, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(path.costs, COSTS["bowl"](*points.T), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["sgd", "momentum", "rmsprop", "adam"])
def test_the_rate_is_the_smallest_that_is_nearly_the_fastest(name):
    rates = [float(f"{10 ** (k / 7):.2g}") for k in range(-14, 8)]
    with np.errstate(all="ignore"):
        ways = by_hand(name, rates, 500)
        costs = COSTS["bowl"](*np.moveaxis(ways, -1, 0))
    steps = {}
    for lr, way, cost in zip(rates, ways, costs, strict=True):
        outside = np.hypot(*way.T) > 0.1
        stays = [t for t in range(501) if not outside[t : t + 300].any()]
        if stays and cost.max() <= cost[0]:
            steps[lr] = stays[0]
    fast = [lr for lr, count in steps.items() if count <= 1.25 * min(steps.values())]
    assert paths.best_rate(MAKERS[name], "numpy") == min(fast)


def test_a_method_that_arrives_at_no_rate_asks_for_one(monkeypatch):
    monkeypatch.setattr(paths, "RATES", (1e-9, 1e-8))
    monkeypatch.setattr(paths, "SEARCH_STEPS", 5)
    with pytest.raises(InputError, match=r"no learning rate from 1e-09 to 1e-08 suits; give --lr"):
        paths.best_rate(MAKERS["sgd"], "numpy")


def test_a_way_ends_with_the_arrival():
    points = np.arange(8.0).reshape(4, 2)
    assert paths.Path(points, points[:, 0], 2).way.tolist() == points[:3].tolist()
    assert paths.Path(points, points[:, 0], None).way.tolist() == points.tolist()
