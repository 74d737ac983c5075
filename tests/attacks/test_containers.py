"""Random nestings of parameters: read, replaced, damaged, copied; gradients by every way."""

import copy
import pickle

import numpy as np
import pytest

import gpuopt
from gpuopt.given import params_of

FEW, MANY = 300, 20_000
NAMES = ["W", "b", "a", "a.b", "b.0", "0", 0, 1, "1", "params", "", "layers"]  # some collide


class Tree:
    """A random container, and how each of its arrays is reached: a list of names."""

    def __init__(self, rng):
        self.rng, self.places = rng, []
        self.params = self.container((), rng.integers(1, 5))
        if isinstance(self.params, dict):
            self.params.pop("params", None)  # which would make it a group
        elif not all(isinstance(x, dict) for x in self.params):
            for x in self.params:
                if isinstance(x, dict):
                    x.pop("params", None)
        self.places = [place for place in self.places if self.reaches(place)]

    def container(self, above, depth):
        count = self.rng.integers(0, 4)
        names = list(range(count))
        kind = self.rng.choice(["dict", "dict", "list", "tuple"])
        if kind == "dict":
            names = [NAMES[k] for k in self.rng.choice(len(NAMES), count, replace=False)]
        entries = [self.entry((*above, name), depth - 1) for name in names]
        if kind == "dict":
            return dict(zip(names, entries, strict=True))
        return entries if kind == "list" else tuple(entries)

    def entry(self, place, depth):
        if depth and self.rng.random() < 0.5:
            return self.container(place, depth)
        self.places.append(place)
        return self.rng.normal(size=self.rng.integers(1, 4))

    def reaches(self, place):
        try:
            return isinstance(self.at(place), np.ndarray)
        except (KeyError, IndexError):
            return False

    def at(self, place):
        x = self.params
        for name in place:
            x = x[name]
        return x

    @property
    def arrays(self):
        return [self.at(place) for place in self.places]


def cases(tries):
    """Random trees that can be parameters, each with random numbers to go on with; those that
    cannot be are refused with the right words."""
    refused = 0
    for seed in range(tries):
        rng = np.random.default_rng([14, 9, seed])
        tree = Tree(rng)
        if has_groups(tree.params):
            continue
        paths = [".".join(map(str, place)) for place in tree.places]
        if len(set(paths)) < len(paths) or not paths:
            refused += 1
            words = "would both have the name" if paths else "params holds no array"
            with pytest.raises(ValueError, match=words) as info:
                params_of(tree.params)
            assert len(str(info.value)) < 500
        else:
            yield rng, tree, paths
    assert refused > tries / 50


def has_groups(params):
    entries = [params] if isinstance(params, dict) else params
    return any(isinstance(x, dict) and "params" in x for x in entries)


def same(found, expected):
    return len(found) == len(expected) and all(map(lambda a, b: a is b, found, expected))


@pytest.mark.parametrize("tries", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
def test_names_are_paths_and_gradients_come_nested_or_by_name(tries):
    for rng, tree, paths in cases(tries):
        structure, arrays, _ = params_of(tree.params)
        assert structure.keys == tuple(paths)
        assert same(arrays, tree.arrays)
        assert same(structure.arrays_now() if structure.containers_can_change else arrays, arrays)
        flat = tuple(range(len(paths)))
        nested = structure.unflatten(flat)
        assert shape_of(nested) == shape_of(tree.params)
        assert structure.flatten(nested) == flat
        order = rng.permutation(len(paths))
        assert structure.flatten({paths[k]: k for k in order}) == flat
        assert same(structure.flatten(tree.params), arrays)
        place, less = cut(nested, rng)
        kept = [k if at[: len(place)] != place else None for k, at in enumerate(tree.places)]
        assert structure.flatten(less) == tuple(kept)


def shape_of(x):
    if isinstance(x, dict):
        return {name: shape_of(value) for name, value in x.items()}
    if isinstance(x, (list, tuple)):
        return type(x)(map(shape_of, x))
    return None


def cut(x, rng):
    """The place of a random entry, however deep, and a copy of the container with None there."""
    names = list(x) if isinstance(x, dict) else list(range(len(x)))
    full = [name for name in names if not isinstance(x[name], int)]
    if full and rng.random() < 0.5:
        name = full[rng.integers(len(full))]
        if len(x[name]):
            below, value = cut(x[name], rng)
            return (name, *below), put(x, name, value)
    name = names[rng.integers(len(names))]
    return (name,), put(x, name, None)


def put(x, name, value):
    """A copy of a container with another entry."""
    if isinstance(x, dict):
        return {**x, name: value}
    return type(x)(value if k == name else y for k, y in enumerate(x))


@pytest.mark.parametrize("tries", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
def test_a_replaced_or_missing_entry_is_noticed(tries):
    noticed = 0
    for rng, tree, paths in cases(tries):
        structure, arrays, _ = params_of(tree.params)
        if not structure.containers_can_change:
            assert is_fixed(tree.params)
            continue
        k = rng.integers(len(paths))
        owner, name = tree.at(tree.places[k][:-1]), tree.places[k][-1]
        if not isinstance(owner, tuple):
            noticed += 1
            owner[name] = other = np.zeros(2)
            assert same(structure.arrays_now(), [*arrays[:k], other, *arrays[k + 1 :]])
            del owner[name]
            if isinstance(owner, list):
                del owner[:]
            with pytest.raises(ValueError, match=r"opt\.rebind\(params\)") as info:
                structure.arrays_now()
            assert len(str(info.value)) < 500
    assert noticed > tries / 5


def is_fixed(x):
    """Whether nothing but tuples holds arrays."""
    return not isinstance(x, (dict, list)) and (not isinstance(x, tuple) or all(map(is_fixed, x)))


@pytest.mark.parametrize("tries", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
def test_damaged_gradients_raise_and_name_a_path(tries):
    raised = 0
    for rng, tree, paths in cases(tries):
        structure = params_of(tree.params).structure
        nested = structure.unflatten(range(len(paths)))
        damaged = [
            {**dict.fromkeys(paths), "unknown": 1},
            dict.fromkeys(paths[1:]) or 3,
            damage(nested, rng),
            np.zeros(3),
            None,
        ]
        for grads in damaged:
            raised += 1
            with pytest.raises((KeyError, TypeError, ValueError), match="grads") as info:
                structure.flatten(grads)
            assert len(str(info.value)) < 500
    assert raised > tries


def damage(x, rng):
    """A container with one entry more, or one container, however deep, turned into another kind."""
    names = list(x) if isinstance(x, dict) else list(range(len(x)))
    below = [name for name in names if isinstance(x[name], (dict, list, tuple))]
    if below and rng.random() < 0.7:
        name = below[rng.integers(len(below))]
        return put(x, name, damage(x[name], rng))
    if isinstance(x, dict):
        return {**x, "unknown": 1} if rng.random() < 0.5 else list(x.values())
    return [*x, 1] if rng.random() < 0.5 else {"unknown": 1}


@pytest.mark.parametrize("tries", [FEW // 6, pytest.param(MANY // 20, marks=pytest.mark.long)])
def test_steps_of_nested_parameters_are_those_of_a_list(tries):
    for rng, tree, paths in cases(tries):
        start = [x.copy() for x in tree.arrays]
        grads = [rng.normal(size=x.shape) for x in start]
        opt = gpuopt.Adam(tree.params, lr=0.1, backend="numpy")
        plain = gpuopt.Adam(start, lr=0.1, backend="numpy")
        copies = [
            copy.deepcopy((tree, opt)),
            pickle.loads(pickle.dumps((tree, opt))),
        ]
        for mine, each in [(tree, opt), *copies]:
            each.step(each._structure.unflatten(grads))
            each.step(dict(zip(paths, grads, strict=True)))
            if each is opt:
                plain.step(grads)
                plain.step(grads)
            assert list(each.param_steps) == paths
            for found, expected in zip(mine.arrays, start, strict=True):
                np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("tries", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
def test_groups_of_random_trees_have_unique_names(tries):
    shared, trees = 0, []
    for _, tree, paths in cases(tries):
        trees.append((tree, paths))
        if len(trees) < 3:
            continue
        groups = [{"params": tree.params} for tree, _ in trees]
        structure, arrays, _ = params_of(groups)
        assert len(set(structure.keys)) == len(structure.keys) == len(arrays)
        assert same(structure.arrays_now(), arrays)
        assert same(arrays, [x for tree, _ in trees for x in tree.arrays])
        flat = tuple(range(len(arrays)))
        parts = structure.unflatten(flat)
        assert structure.flatten(parts) == flat
        assert structure.flatten([{"params": part} for part in parts]) == flat
        assert structure.flatten(dict(zip(structure.keys, flat, strict=True))) == flat
        names = [path for _, own in trees for path in own]
        shared += len(set(names)) < len(names)
        trees = []
    assert shared > tries / 50
