"""How gradients are read in the structure of the parameters."""

from types import MappingProxyType

import numpy as np
import pytest

from gpuopt.given import structure_of
from gpuopt.structure import Grouped

A, B = np.zeros(2), np.zeros(3)


@pytest.mark.parametrize(
    ("params", "keys"),
    [
        (A, ("0",)),
        ([A, B], ("0", "1")),
        ((A,), ("0",)),
        ({"x": A, "y": B}, ("x", "y")),
        (MappingProxyType({"x": A, 3: B}), ("x", "3")),
        ([], ()),
        ({}, ()),
    ],
)
def test_keys(params, keys):
    structure, arrays, _ = structure_of(params)
    assert structure.keys == keys
    assert len(arrays) == len(keys)


@pytest.mark.parametrize("wrong", ["text", b"bytes", 3.5, None])
def test_what_is_no_structure(wrong):
    with pytest.raises(TypeError, match="params must be an array, a sequence or mapping"):
        structure_of(wrong)


@pytest.mark.parametrize(
    ("params", "grads", "error", "message"),
    [
        (A, 3.0, TypeError, "must be one array"),
        (A, [A, A], TypeError, "must be one array"),
        (A, {"x": A}, TypeError, "must be one array"),
        ([A, B], A, TypeError, "a sequence of 2 arrays"),
        ([A, B], {"x": A}, TypeError, "got a dict"),
        ([A, B], "ab", TypeError, "got a str"),
        ([A, B], None, TypeError, "got a NoneType"),
        ([A, B], [A], ValueError, "1 entries for 2 parameters; pass None"),
        ([A, B], [A, B, A], ValueError, "3 entries for 2 parameters"),
        ({"x": A}, [A], TypeError, "a mapping of names"),
        ({"x": A, "y": B}, {"x": A}, KeyError, "lacks 'y'; pass None"),
        ({"x": A}, {"x": A, "z": A}, KeyError, "has 'z', but the parameters are 'x'"),
    ],
)
def test_gradients_of_another_structure(params, grads, error, message):
    structure = structure_of(params).structure
    with pytest.raises(error, match=message):
        structure.flatten(grads)


def test_flatten_follows_the_order_of_the_parameters():
    assert structure_of(A)[0].flatten(B) == (B,)
    assert structure_of(A)[0].flatten([B]) == (B,)
    assert structure_of(A)[0].flatten(None) == (None,)
    assert structure_of([A, B])[0].flatten(x for x in (None, 2)) == (None, 2)
    assert structure_of({"x": A, "y": B})[0].flatten({"y": 2, "x": 1}) == (1, 2)
    grouped = Grouped([structure_of(x).structure for x in (A, [A, B], {"x": A}, [B])])
    assert grouped.keys == ("0", "1", "2", "x", "4")
    assert grouped.flatten([None, [2, 3], {"x": 4}, [5]]) == (None, 2, 3, 4, 5)
    with pytest.raises(ValueError, match="group 1: grads has 1 entries"):
        grouped.flatten([A, [2], {"x": 4}, [5]])


@pytest.mark.parametrize(
    ("params", "flat", "expected"),
    [
        (A, (B,), B),
        ([A, B], (1, 2), [1, 2]),
        ((A, B), (1, 2), (1, 2)),
        ({"x": A, 3: B}, (1, 2), {"x": 1, 3: 2}),
        ([], (), []),
        ({}, (), {}),
    ],
)
def test_unflatten_is_the_opposite_of_flatten(params, flat, expected):
    structure = structure_of(params).structure
    found = structure.unflatten(flat)
    assert found is expected or found == expected
    assert structure.flatten(found) == flat


def test_unflatten_in_groups():
    members = [structure_of(x).structure for x in (A, [A, B], {"x": A}, [B], [])]
    expected = [A, [2, 3], {"x": 4}, [5], []]
    assert Grouped(members).unflatten((A, 2, 3, 4, 5)) == expected
    assert Grouped(members[1:2], lone=True).unflatten((2, 3)) == [2, 3]
    assert Grouped(members).flatten(expected) == (A, 2, 3, 4, 5)
    assert Grouped(members).flatten([A, {"params": [2, 3]}, None, [5], []]) == (A, 2, 3, None, 5)


LAYERS = {"layers": [{"W": A, "b": B}, {"W": A, 3: (B, A)}], "scale": A, "none": {}}
PATHS = ("layers.0.W", "layers.0.b", "layers.1.W", "layers.1.3.0", "layers.1.3.1", "scale")


def nested(*flat):
    """Six values in the shape of LAYERS."""
    a, b, c, d, e, f = flat
    return {"layers": [{"W": a, "b": b}, {"W": c, 3: (d, e)}], "scale": f, "none": {}}


def test_names_in_nested_containers_are_paths():
    structure, arrays, groups = structure_of(LAYERS)
    assert structure.keys == PATHS
    assert [id(x) for x in arrays] == [id(x) for x in (A, B, A, B, A, A)]
    assert groups == []
    assert structure_of([{"W": A}, {"W": B}]).structure.keys == ("0.W", "1.W")
    assert structure_of({"enc": {"W": A}, "dec": {"W": B}}).structure.keys == ("enc.W", "dec.W")


def test_gradients_are_nested_as_the_parameters_or_given_by_name():
    structure = structure_of(LAYERS).structure
    flat = (1, 2, 3, 4, 5, 6)
    assert structure.flatten(nested(*flat)) == flat
    assert structure.flatten(dict(zip(PATHS[::-1], flat[::-1], strict=True))) == flat
    assert structure.unflatten(flat) == nested(*flat)
    layers = {"layers": [None, {"W": 3, 3: None}], "scale": None, "none": None}
    assert structure.flatten(layers) == (None, None, 3, None, None, None)
    assert structure.flatten({**layers, "layers": None}) == (None,) * 6
    assert structure_of([A, B]).structure.flatten({"1": 2, "0": 1}) == (1, 2)
    assert structure_of(A).structure.flatten({"0": 1}) == (1,)
    assert structure_of({3: A}).structure.flatten({"3": 1}) == (1,)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"layers": []}, ValueError, r"grads\['layers'\] has 0 entries for 2 entries of params"),
        ({"layers": {"0": 1}}, TypeError, r"\['layers'\] must be a sequence of 2 entries.*a dict"),
        ({"layers": A}, TypeError, r"\['layers'\] must be a sequence of 2 entries.*an? ndarray"),
        ({"layers": [{"W": 1}, None]}, KeyError, r"grads lacks 'layers\.0\.b'; pass None"),
        ({"layers": [None, {"W": 1, 3: 2, "c": 3}]}, KeyError, r"grads has 'layers\.1\.c', but"),
        ({"layers": [A, None]}, TypeError, r"\['layers\.0'\] must be a mapping of names, like"),
        ({"layers": [None, {"W": 1, 3: [2]}]}, ValueError, r"\['layers\.1\.3'\] has 1 entries"),
        ({"more": A}, KeyError, "grads has 'more', but the parameters are 'layers', 'scale', 'n"),
    ],
)
def test_gradients_of_another_nesting_are_named_by_their_path(change, error, message):
    structure = structure_of(LAYERS).structure
    with pytest.raises(error, match=message):
        structure.flatten({**nested(1, 2, 3, 4, 5, 6), **change})


def test_a_name_that_lacks_or_is_unknown_among_flat_ones():
    structure = structure_of(LAYERS).structure
    flat = dict(zip(PATHS, range(6), strict=True))
    with pytest.raises(KeyError, match=r"has 'layers\.2\.W', but .* are 'layers\.0\.W'"):
        structure.flatten({**flat, "layers.2.W": 1})
    del flat["layers.1.W"], flat["scale"]
    with pytest.raises(KeyError, match=r"grads lacks 'layers\.1\.W'"):
        structure.flatten(flat)


def test_messages_about_many_names_stay_short():
    structure = structure_of({f"layer_{k}": A for k in range(500)}).structure
    with pytest.raises(
        KeyError, match=r"grads has 'x', .*'layer_9', \.\.\. \(500 in all\)"
    ) as info:
        structure.flatten({"x": A})
    assert len(str(info.value)) < 500


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"a.b": A, "a": {"b": B}}, r"params\['a\.b'\] and params\['a'\]\['b'\] .* 'a\.b'"),
        ({1: A, "1": B}, r"params\[1\] and params\['1'\] .* '1'; rename"),
        ([{"x": [A], "x.0": B}], r"params\[0\]\['x'\]\[0\] and params\[0\]\['x\.0'\]"),
    ],
)
def test_two_paths_of_the_same_name(params, message):
    with pytest.raises(ValueError, match=message):
        structure_of(params)


def test_a_container_that_holds_itself():
    layers = [{"W": A}]
    layers[0]["all"] = layers
    with pytest.raises(ValueError, match=r"params\['0\.all'\] is a container that it is in itself"):
        structure_of(layers)


def test_keys_of_groups_with_equal_names():
    def keys(*members):
        return structure_of([{"params": x} for x in members]).structure.keys

    assert keys({"W": A, "b": B}, {"W": A, "c": B}) == ("0.W", "b", "1.W", "c")
    assert keys([{"W": A}], [{"W": A}, {"W": B}]) == ("0.0.W", "1.0.W", "1.W")
    assert keys({"W": A}, {"W": A}, {"0.W": B}) == ("0.W", "1.W", "2.0.W")
    assert keys([A, B], {"0": A}) == ("0.0", "1", "1.0")
    assert keys(A, [A, B], {"x": A}, [B]) == ("0", "1", "2", "x", "4")


def test_gradients_of_groups_by_name():
    structure = structure_of([{"params": {"W": A}}, {"params": {"W": B, "b": A}}]).structure
    assert structure.flatten({"0.W": 1, "1.W": 2, "b": 3}) == (1, 2, 3)
    assert structure.flatten([{"W": 1}, {"params": {"W": 2, "b": None}}]) == (1, 2, None)
    with pytest.raises(TypeError, match="a list of 2 groups' gradients, like params, or a mapping"):
        structure.flatten({"0.W": 1})


def test_groups_and_other_entries_do_not_mix():
    with pytest.raises(KeyError, match=r"group 1: it has no 'params', only 'W'; entry 0 has"):
        structure_of([{"params": A}, {"W": B}])
    with pytest.raises(TypeError, match=r"entry 1 has 'params', but entry 0 is a ndarray; put it"):
        structure_of([A, {"params": B}])
