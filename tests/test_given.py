"""Parameters as they were given: what their containers hold later, lazy ones, copies, rebinding."""

import copy
import pickle
from collections import OrderedDict, UserDict, defaultdict, namedtuple
from types import MappingProxyType

import numpy as np
import pytest

import gpuopt
from gpuopt.given import params_of, rebound, structure_of
from tests.optional import optional

A, B, C = np.zeros(2), np.zeros(3), np.zeros(4)
Layer = namedtuple("Layer", "W b")


def same(found, expected):
    return len(found) == len(expected) and all(map(lambda a, b: a is b, found, expected))


@pytest.mark.parametrize(
    ("params", "replace"),
    [
        ({"x": A, "y": B}, lambda p: p.update(y=C)),
        ({"x": B}, lambda p: p.update(x=C)),
        ([A, B], lambda p: p.__setitem__(1, C)),
        ([{"x": A}, [A, B]], lambda p: p[1].__setitem__(1, C)),
        ([{"x": A}, {"x": B}], lambda p: p.__setitem__(1, {"x": C})),
        (({"x": A}, {"x": B}), lambda p: p[1].update(x=C)),
        ({"a": Layer(A, B)}, lambda p: p.update(a=Layer(A, C))),
        (OrderedDict(x=A, y=B), lambda p: p.update(y=C)),
        (defaultdict(dict, x=A, y=B), lambda p: p.update(y=C)),
        (UserDict(x=A, y=B), lambda p: p.update(y=C)),
        ([{"params": A}, {"params": B}], lambda p: p[1].update(params=C)),
        ([{"params": [A, B]}], lambda p: p[0]["params"].__setitem__(1, C)),
        ({"params": {"x": A, "y": B}, "lr": 1}, lambda p: p["params"].update(y=C)),
        (({"params": A}, {"params": {"x": [B]}}), lambda p: p[1]["params"]["x"].__setitem__(0, C)),
    ],
)
def test_a_replaced_entry_is_seen(params, replace):
    structure, arrays, _ = params_of(params)
    assert structure.containers_can_change
    assert same(structure.arrays_now(), arrays)
    replace(params)
    assert same(structure.arrays_now(), [*arrays[:-1], C])


@pytest.mark.parametrize(
    "params",
    [
        A,
        (A, B),
        Layer(A, B),
        iter([A, B]),
        (x for x in (A, (B,))),
        ((A, B), (C,)),
        iter([iter([A])]),
    ],
)
def test_where_no_entry_can_be_replaced_nothing_is_read_again(params):
    structure, arrays, _ = params_of(params)
    assert not structure.containers_can_change
    assert len(arrays) == len(structure.keys)


def test_containers_in_an_iterator_are_read_again():
    layers = [{"W": A}, {"W": B}]
    for params in (iter(layers), iter([{"params": iter(layers)}]), {"net": (x for x in layers)}):
        structure, arrays, _ = params_of(params)
        assert same(structure.arrays_now(), arrays)
        layers[1]["W"] = C
        assert same(structure.arrays_now(), [A, C])
        layers[1]["W"] = B


def test_views_of_a_dict_and_other_iterables_are_read_again():
    class Layers:
        def __init__(self):
            self.layers = [A, B]

        def __iter__(self):
            return iter(self.layers)

    params = {"x": A, "y": B}
    views = params_of(params.values()).structure, params_of(MappingProxyType(params)).structure
    params["y"] = C
    assert all(same(structure.arrays_now(), [A, C]) for structure in views)
    layers = Layers()
    structure = params_of(layers).structure
    layers.layers[1] = C
    assert same(structure.arrays_now(), [A, C])


def test_a_parameter_dict_of_torch_is_a_mapping():
    torch = optional("torch")
    params = torch.nn.ParameterDict({"x": torch.zeros(2), "y": torch.zeros(3)})
    structure, arrays, _ = params_of(params)
    assert structure.keys == ("x", "y")
    assert structure.flatten({"y": 2, "x": 1}) == (1, 2)
    assert structure.flatten(torch.nn.ParameterDict({"y": arrays[0], "x": arrays[1]}))
    params["y"] = torch.nn.Parameter(torch.zeros(3))
    assert same(structure.arrays_now(), [arrays[0], params["y"]])
    del params["x"]
    with pytest.raises(ValueError, match=r"params\['x'\] is not in its container any more"):
        structure.arrays_now()


def test_later_entries_are_ignored():
    params = {"layers": [A, B]}
    structure = params_of(params).structure
    params["layers"].append(C)
    params["more"] = C
    assert same(structure.arrays_now(), [A, B])
    with pytest.raises(KeyError, match="grads has 'more'"):
        structure.flatten({"layers": [1, 2], "more": 3})


@pytest.mark.parametrize(
    ("params", "change", "message"),
    [
        ({"x": A, "y": B}, lambda p: p.pop("y"), r"params\['y'\] is not in its container"),
        ({"x": A}, lambda p: p.pop("x"), r"params\['x'\] is not in its container"),
        ([A, B], lambda p: p.pop(), "params had 2 entries when .* and has 1 now"),
        ({"a": [A, {"x": B}]}, lambda p: p["a"][1].clear(), r"params\['a\.1\.x'\] is not in its"),
        ({"a": [A, B]}, lambda p: p["a"].clear(), r"params\['a'\] had 2 entries .* has 0 now"),
        ({"a": [A, B]}, lambda p: p.update(a=3), r"params\['a'\] was a sequence of 2.*a int now"),
        ({"a": {"x": B}}, lambda p: p.update(a=B), r"params\['a'\] was a mapping.*a ndarray now"),
        ([{"params": A}, {"params": B}], lambda p: p.pop(), "params had 2 groups .* has 1 now"),
        ([{"params": A}, {"params": B}], lambda p: p[1].clear(), "group 1 has no 'params' any"),
        ([{"params": A}, {"params": {"x": B}}], lambda p: p[1]["params"].clear(), "group 1: .*'x'"),
    ],
)
def test_an_entry_that_is_gone_is_named(params, change, message):
    structure = params_of(params).structure
    change(params)
    with pytest.raises(ValueError, match=rf"{message}.*opt\.rebind\(params\)"):
        structure.arrays_now()


def test_containers_that_give_another_array_at_each_access_are_refused(tmp_path):
    class Lazy:
        def keys(self):
            return ["w"]

        def __getitem__(self, name):
            return np.zeros(3)

    class LazyList:
        def __iter__(self):
            return iter([A, np.zeros(3)])

    np.savez(tmp_path / "w.npz", w=np.ones(3), b=np.ones(2))
    with np.load(tmp_path / "w.npz") as weights:
        for params, name in (
            (weights, "'w'"),
            ({"net": weights}, "'net.w'"),
            ([{"params": weights}, {"params": A}], "'w'"),
            (Lazy(), "'w'"),
            ({"net": [Lazy()]}, "'net.0.w'"),
            (LazyList(), "1"),
        ):
            name = name.replace(".", r"\.")
            message = rf"params\[{name}\] is another array at each access.*params = dict\(params\)"
            with pytest.raises(ValueError, match=message):
                gpuopt.SGD(params, lr=1, backend="numpy")
        params = dict(weights)
        gpuopt.SGD(params, lr=1, backend="numpy").step({"w": np.ones(3), "b": None})
        np.testing.assert_array_equal(params["w"], 0)


def test_new_views_of_the_same_memory_are_updated():
    """As of a mapping that cuts one vector into parameters. They cannot be told from others."""

    class Cut:
        theta = np.ones(5)

        def keys(self):
            return ["w", "b"]

        def __getitem__(self, name):
            return self.theta[:3] if name == "w" else self.theta[3:]

    params = Cut()
    structure, arrays, _ = params_of(params)
    assert not structure.containers_can_change
    assert [len(x) for x in arrays] == [3, 2]
    gpuopt.SGD(params, lr=1, backend="numpy").step({"w": np.ones(3), "b": None})
    np.testing.assert_array_equal(Cut.theta, [0, 0, 0, 1, 1])


def test_an_iterable_that_can_be_read_once_is_read_once():
    class Once:
        def __init__(self):
            self.rest = iter([A, B])

        def __iter__(self):
            return self.rest

    structure, arrays, _ = params_of(Once())
    assert same(arrays, [A, B])
    assert not structure.containers_can_change


def test_gradient_checking_takes_a_lazy_mapping(tmp_path):
    np.savez(tmp_path / "w.npz", w=np.ones(3))
    with np.load(tmp_path / "w.npz") as weights:
        assert gpuopt.check_gradients(lambda p: (p["w"] ** 2).sum(), weights, {"w": 2 * np.ones(3)})


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_looks_at_the_copied_containers(duplicate):
    params = {"layers": [{"W": np.zeros(2)}, (np.zeros(3),)], "s": OrderedDict(x=np.zeros(1))}
    structure = params_of(params).structure
    mine, copied = duplicate((params, structure))
    mine["layers"][0]["W"] = C
    assert copied.arrays_now()[0] is C
    assert same(copied.arrays_now()[1:], [mine["layers"][1][0], mine["s"]["x"]])
    assert copied.flatten(mine) == copied.arrays_now()
    assert structure.arrays_now()[0] is params["layers"][0]["W"]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_without_its_container_is_no_error(duplicate):
    schedule = [{"params": np.zeros(2), "lr": lambda step: 1 / step}]
    for params in (
        {"x": np.zeros(2)}.values(),
        MappingProxyType({"x": np.zeros(2)}),
        {"net": {"x": np.zeros(2)}.values()},
        {"net": iter([np.zeros(2)])},
        schedule,
    ):
        opt = gpuopt.SGD(params, lr=1, backend="numpy")
        opt.lr = 0.5
        assert opt._structure.containers_can_change
        copied = duplicate(opt)
        assert not copied._structure.containers_can_change
        copied.step({key: np.ones(2) for key in copied.state})
        assert copied.step_count == 1


def test_other_parameters_of_the_same_names_can_be_bound():
    first = {"layers": [{"W": A, "b": B}], "s": C}
    structure = params_of(first).structure
    second = {"s": C.copy(), "layers": ({"b": B.copy(), "W": A.copy()},)}
    new, arrays = rebound(structure, second)
    assert new.keys == structure.keys
    assert same(arrays, [second["layers"][0]["W"], second["layers"][0]["b"], second["s"]])
    assert same(new.arrays_now(), arrays)
    groups = [{"params": {"W": A}, "lr": 1, "eps": 3}, {"params": iter([B]), "lr": 2}]
    structure = params_of(groups).structure
    new, arrays = rebound(structure, [{"params": {"W": B}}, {"params": [A]}])
    assert same(arrays, [B, A])


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"x": A}, ValueError, r"rebind lacks params\['y.0'\]"),
        ({"x": A, "y": [B], "z": C}, ValueError, r"rebind has params\['z'\], which the optimizer"),
        ({"x": None, "y": [B]}, TypeError, r"params\['x'\] is None"),
        ({"x": A, "y": [1.0]}, TypeError, r"params\['y'\] is a list of numbers"),
        ({"x": A, "y": B}, ValueError, r"rebind has params\['y'\]"),
        ([], ValueError, "params holds no array"),
        (3, TypeError, "params must be an array"),
    ],
)
def test_what_cannot_be_bound_anew(params, error, message):
    structure = params_of({"x": A, "y": [B]}).structure
    with pytest.raises(error, match=message):
        rebound(structure, params)


def test_unflatten_gives_the_containers_kinds():
    params = OrderedDict(a=[A, (B, Layer(A, C))], b=({},))
    structure = structure_of(params).structure
    found = structure.unflatten((1, 2, 3, 4))
    assert found == {"a": [1, (2, Layer(3, 4))], "b": ({},)}
    assert type(found["a"][1][1]) is Layer
