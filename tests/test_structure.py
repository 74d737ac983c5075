"""How gradients are read in the structure of the parameters."""

from types import MappingProxyType

import numpy as np
import pytest

from gpuopt.structure import Grouped, OneGroup, structure_of

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
    structure, arrays = structure_of(params)
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
    structure, _ = structure_of(params)
    with pytest.raises(error, match=message):
        structure.flatten(grads)


def test_flatten_follows_the_order_of_the_parameters():
    assert structure_of(A)[0].flatten(B) == (B,)
    assert structure_of(A)[0].flatten([B]) == (B,)
    assert structure_of(A)[0].flatten(None) == (None,)
    assert structure_of([A, B])[0].flatten(x for x in (None, 2)) == (None, 2)
    assert structure_of({"x": A, "y": B})[0].flatten({"y": 2, "x": 1}) == (1, 2)
    grouped = Grouped([OneGroup(structure_of(x)[0]) for x in (A, [A, B], {"x": A}, [B])])
    assert grouped.keys == ("0", "1", "2", "x", "4")
    assert grouped.flatten([None, [2, 3], {"x": 4}, [5]]) == (None, 2, 3, 4, 5)
    with pytest.raises(ValueError, match="group 1: grads has 1 entries"):
        grouped.flatten([A, [2], {"x": 4}, [5]])


@pytest.mark.parametrize(
    ("params", "flat", "expected"),
    [
        (A, (B,), B),
        ([A, B], (1, 2), [1, 2]),
        ((A, B), (1, 2), [1, 2]),
        ({"x": A, 3: B}, (1, 2), {"x": 1, 3: 2}),
        ([], (), []),
        ({}, (), {}),
    ],
)
def test_unflatten_is_the_opposite_of_flatten(params, flat, expected):
    structure, _ = structure_of(params)
    found = structure.unflatten(flat)
    assert found is expected or found == expected
    assert structure.flatten(found) == flat


def test_unflatten_in_groups():
    members = [OneGroup(structure_of(x)[0]) for x in (A, [A, B], {"x": A}, [B], [])]
    expected = [A, [2, 3], {"x": 4}, [5], []]
    assert Grouped(members).unflatten((A, 2, 3, 4, 5)) == expected
    assert members[1].unflatten((2, 3)) == [2, 3]
    assert Grouped(members).flatten(expected) == (A, 2, 3, 4, 5)
