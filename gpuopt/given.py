"""What was given as `params`: read into a structure and its arrays, and checked."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from numbers import Number
from typing import Any, NamedTuple

import numpy as np

from gpuopt.arrays import is_array
from gpuopt.structure import (
    Container,
    Grouped,
    Named,
    Sequenced,
    Single,
    Structure,
    has_name,
    in_group,
    is_mapping,
    kind,
    labelled,
    listed,
)


class Given(NamedTuple):
    """What was given as `params`: its structure, its arrays in the order of the keys, and the
    groups' mappings where it has any."""

    structure: Structure
    arrays: list[Any]
    groups: list[Any]


def structure_of(params: Any, like: Structure | None = None) -> Given:
    """The structure of `params`. TypeError or ValueError for what cannot be one.

    like: a structure whose order of names is kept where the names are the same.
    """
    if is_leaf(params):
        return Given(*read_whole(params, like), [])
    held = list(params) if isinstance(params, Iterator) else params
    lone = is_mapping(held)
    if lone:
        entries, groups = None, [held] if has_name(held, "params") else []
    else:
        entries = list(held)
        groups = groups_in(entries)
    if groups:
        members, arrays = [], list[Any]()
        others = like.members if isinstance(like, Grouped) else ()
        for k, group in enumerate(groups):
            with in_group(None if lone else k):
                other = others[k] if k < len(others) else None
                member, own = read_whole(group["params"], other)
            members.append(member)
            arrays += own
        structure: Structure = Grouped(members, lone)
    else:
        structure, arrays = read_whole(held, like, entries, fixed=held is not params)
    structure.given = held if structure.changeable else None
    return Given(structure, arrays, groups)


def groups_in(entries: list[Any]) -> list[Any]:
    """The parameter groups among the entries of a sequence: all or none. Raises for a mixture."""
    marked = [is_mapping(entry) and has_name(entry, "params") for entry in entries]
    if not any(marked):
        return []
    if all(marked):
        return entries
    group, other = marked.index(True), marked.index(False)
    entry = entries[other]
    if is_mapping(entry):
        raise KeyError(
            f"group {other}: it has no 'params', only {listed([*entry.keys()])}; entry {group} "
            "has, and groups cannot be mixed with other parameters"
        )
    raise TypeError(
        f"params is a list of groups, since entry {group} has 'params', but entry {other} is "
        f"{kind(entry)}; put it in a group of its own: {{'params': ...}}"
    )


def read_whole(
    params: Any, like: Structure | None, entries: list[Any] | None = None, fixed: bool = False
) -> tuple[Structure, list[Any]]:
    """The structure of parameters that are no groups, and their arrays."""
    if is_one_array(params):
        return Single(), [params]
    if is_leaf(params):
        raise TypeError(
            "params must be an array, a sequence or mapping of arrays, which may nest, or a list "
            f"of groups ({{'params': ..., 'lr': ...}}), got {in_words(params)}"
        )
    structure, arrays = read(params, "", like, (), entries, fixed)
    if len(set(structure.keys)) < len(structure.keys):
        first = next(key for key, uses in Counter(structure.keys).items() if uses > 1)
        one, other = [
            p for p, k in zip(places(structure), structure.keys, strict=True) if k == first
        ][:2]
        raise ValueError(
            f"params{one} and params{other} would both have the name {first!r}; rename one of them"
        )
    return structure, arrays


def read(
    value: Any,
    path: str,
    like: Structure | None,
    above: tuple[Any, ...],
    entries: list[Any] | None = None,
    fixed: bool = False,
) -> tuple[Container, list[Any]]:
    """The structure of a container, and the arrays in it.

    above: the containers that this one is in. entries: of a sequence, if they were read already,
    since some can be read only once. fixed: nobody else can change it.
    """
    if any(value is x for x in above):
        raise ValueError(f"{labelled(path[:-1])} is a container that it is in itself")
    held = list(value) if isinstance(value, Iterator) else value
    named = is_mapping(held)
    names = names_of(held, like) if named else ()
    if entries is None:
        entries = [held[name] for name in names] if named else list(held)
    children: list[Container | None] = []
    arrays: list[Any] = []
    others = like.children if isinstance(like, Container) else ()
    for k, entry in enumerate(entries):
        if is_leaf(entry):
            children.append(None)
            arrays.append(entry)
            continue
        other = others[k] if k < len(others) else None
        at = f"{path}{names[k] if named else k}."
        child, below = read(entry, at, other, (*above, value))
        children.append(child)
        arrays += below
    if named:
        structure: Container = Named(names, children, path)
    else:
        make = getattr(type(held), "_make", tuple) if isinstance(held, tuple) else list
        structure = Sequenced(children, path, make)
    if held is not value:  # an iterator, which cannot be read again
        structure.given = held
    fixed = fixed or held is not value or isinstance(held, tuple)
    structure.changeable = not fixed or any(c is not None and c.changeable for c in children)
    return structure, arrays


def names_of(mapping: Any, like: Structure | None) -> tuple[Any, ...]:
    """The names in a mapping, in the order of `like` where it has the same."""
    names = tuple(mapping.keys())
    if isinstance(like, Named) and like.known.keys() == set(names):
        return like.names
    return names


def places(container: Container) -> Iterator[str]:
    """How each array is reached from a container: "['layers'][0]['W']"."""
    for name, child in zip(container.names, container.children, strict=True):
        at = f"[{name!r}]"
        if child is None:
            yield at
        else:
            yield from (at + below for below in places(child))


def params_of(params: Any, like: Structure | None = None) -> Given:
    """`structure_of` parameters for steps that change them in place. Raises also where there is no
    array, for a number or None, and for containers that give another array at each access."""
    given = structure_of(params, like)
    structure, arrays, _ = given
    if not arrays:
        raise ValueError(
            f"params holds no array ({kind(params)}), so there is nothing to update; an iterator "
            "that was read before is empty"
        )
    for key, array in zip(structure.keys, arrays, strict=True):
        check_leaf(labelled(key), array)
    check_lasting(structure, arrays)
    return given


def check_leaf(what: str, value: Any) -> None:
    """TypeError, with the mend, for what is no array that can be changed, but easily given."""
    if value is None or is_number(value) or isinstance(value, np.generic) or holds_numbers(value):
        raise TypeError(f"{what} is {in_words(value)}")
    if type(value).__module__.partition(".")[0] in ("jax", "jaxlib"):
        raise TypeError(
            f"{what} is an array of jax, which cannot be changed in place; give a NumPy copy that "
            "can: np.array(...)"
        )


def in_words(value: Any) -> str:
    """What was given in the place of an array, and how to mend it."""
    if value is None:
        return "None; leave out of params what is not trained"
    if holds_numbers(value):
        return f"{kind(value)} of numbers; make it one array: np.array(..., dtype=float)"
    if is_number(value) or isinstance(value, np.generic):
        number = value.item() if isinstance(value, np.generic) else value
        number = float(number) if isinstance(number, (bool, int)) else number
        return (
            f"{kind(value)}, which cannot be changed in place; make it a 0-d array: "
            f"np.array({number!r}), or np.asarray of it"
        )
    return kind(value)


def check_lasting(structure: Structure, arrays: Sequence[Any]) -> None:
    """Raise ValueError for containers that give an array of other memory when they are read again.

    Where they give other arrays over the same memory, or can be read only once, steps are right but
    nothing tells whether an entry was replaced: they are not looked at again.
    """
    if not structure.containers_can_change:
        return
    try:
        again = structure.arrays_now()
    except ValueError:
        structure.given = None
        return
    for key, array, other in zip(structure.keys, arrays, again, strict=True):
        if array is other:
            continue
        if not same_memory(array, other):
            raise ValueError(
                f"{labelled(key)} is another array at each access, as of a file that is read anew, "
                "so every step would be lost; read its container into memory first: "
                "params = dict(params), or list(params) for a sequence"
            )
        structure.given = None


def same_memory(a: Any, b: Any) -> bool:
    """Whether two arrays are known to lie at the same place in the same shape."""
    if type(a) is not type(b):
        return False
    if hasattr(a, "data_ptr"):  # a torch tensor
        return (a.data_ptr(), a.shape, a.stride()) == (b.data_ptr(), b.shape, b.stride())
    for name in ("__array_interface__", "__cuda_array_interface__"):
        if hasattr(a, name):
            return getattr(a, name) == getattr(b, name)
    return False


def rebound(structure: Structure, params: Any) -> tuple[Structure, list[Any]]:
    """Other parameters of the same keys, in the same order: their structure and their arrays.

    Groups' learning rates and other settings are not looked at. ValueError, naming the first that
    is missing or unknown, where the keys are not the same.
    """
    new, arrays, _ = params_of(params, structure)
    if new.keys != structure.keys:
        unknown = [key for key in new.keys if key not in structure.keys]
        missing = [key for key in structure.keys if key not in new.keys]
        what = (
            f"has {labelled(unknown[0])}, which the optimizer has not"
            if unknown
            else f"lacks {labelled(missing[0])}"
            if missing
            else "has the same names in another order"
        )
        raise ValueError(f"what was given to rebind {what}; give the parameters as at first")
    return new, arrays


def is_one_array(x: Any) -> bool:
    """Whether `x` is an array, or shows its memory as one."""
    return is_array(x) or hasattr(x, "__dlpack__") or hasattr(x, "__cuda_array_interface__")


def is_leaf(x: Any) -> bool:
    """Whether `x` stands for one parameter, right or wrong, rather than holding several."""
    if is_one_array(x) or isinstance(x, (str, bytes, bytearray)) or holds_numbers(x):
        return True
    return not is_mapping(x) and not isinstance(x, Iterable)


def holds_numbers(x: Any) -> bool:
    """Whether `x` is a list of Python's numbers, which was meant to be one array."""
    return isinstance(x, (list, tuple)) and len(x) > 0 and all(map(is_number, x))


def is_number(x: Any) -> bool:
    return isinstance(x, Number) and not isinstance(x, np.generic)
