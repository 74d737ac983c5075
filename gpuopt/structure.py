"""The containers in which parameters were given: names, and gradients read in the same shape.

Mappings, lists, tuples and other iterables may hold arrays and each other. An array's key is its
path, joined by dots: `layers.0.W`. A mapping is a parameter group only where it is given as
`params`, or in the sequence given as `params`, and has the key "params".
"""

import operator
from abc import ABC, abstractmethod
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn

import numpy as np

from gpuopt.arrays import is_array

SHOWN = 10  # names in an error message


def kind(x: Any) -> str:
    return f"a {type(x).__name__}"


def labelled(key: str) -> str:
    """A parameter's key, its number or its path, as errors show it."""
    return f"params[{int(key)}]" if key.isdigit() else f"params[{key!r}]"


def listed(names: Sequence[Any]) -> str:
    """Names in an error message: the first of them, and how many there are if these are not all."""
    shown = ", ".join([repr(name) for name in names[:SHOWN]])
    return shown if len(names) <= SHOWN else f"{shown}, ... ({len(names)} in all)"


def is_mapping(x: Any) -> bool:
    """Whether `x` has names: also one that is no `Mapping`, as torch.nn.ParameterDict."""
    return isinstance(x, Mapping) or (hasattr(x, "keys") and hasattr(x, "__getitem__"))


def has_name(mapping: Any, name: Any) -> bool:
    """Whether a mapping has a name: asked of its keys, for what has `keys` may lack `in`."""
    names = mapping.keys()
    return name in names


class Structure(ABC):
    """The keys of parameters, in order, and gradients and arrays read in that order."""

    keys: tuple[str, ...]
    given: Any = None  # the container to read arrays from again; None: nothing in it can change
    changeable = False  # whether another array can be put in the place of one of these

    @abstractmethod
    def flatten(self, grads: Any) -> tuple[Any, ...]:
        """One gradient (or None) for each key.

        grads: of this structure, where None may stand for a whole container, or a mapping of all
        keys. Raises TypeError, ValueError or KeyError, naming the path, for anything else.
        """

    @abstractmethod
    def unflatten(self, flat: Sequence[Any]) -> Any:
        """The opposite of `flatten`: one value for each key, in this structure."""

    @abstractmethod
    def now(self, container: Any) -> tuple[Any, ...]:
        """What a container of this structure holds at each key. Further entries are ignored;
        ValueError, naming the path, for one that is missing."""

    @property
    def containers_can_change(self) -> bool:
        """Whether `arrays_now` may differ from the arrays that were given."""
        return self.given is not None

    def arrays_now(self) -> tuple[Any, ...]:
        """What the given containers hold now, in the order of the keys; to be asked only where
        they can change. ValueError, naming the path, for an entry that is missing."""
        return self.now(self.given)

    def by_name(self, grads: Any) -> tuple[Any, ...] | None:
        """Gradients from a mapping of all keys, or None where `grads` is no such mapping."""
        if is_mapping(grads) and set(grads.keys()) == set(self.keys):
            return tuple([grads[key] for key in self.keys])
        return None

    def __getstate__(self) -> dict[str, Any]:
        """Containers that cannot be pickled, as views of a dict, are left out."""
        return {**self.__dict__, "given": self.given if is_plain(self.given) else None}


class Single(Structure):
    """One array, not in a container."""

    keys = ("0",)

    def flatten(self, grads: Any) -> tuple[Any, ...]:
        if type(grads) is np.ndarray or grads is None or is_array(grads):
            return (grads,)
        if isinstance(grads, (list, tuple)) and len(grads) == 1:
            return tuple(grads)
        named = self.by_name(grads)
        if named is None:
            raise TypeError(f"grads must be one array, like params, got {kind(grads)}")
        return named

    def unflatten(self, flat: Sequence[Any]) -> Any:
        return flat[0]

    def now(self, container: Any) -> tuple[Any, ...]:
        return (container,)


class Container(Structure):
    """A container of arrays and other containers.

    path: its own path with a dot behind it; "" for the outermost one.
    children: for each entry None where it is an array, else the structure of the container.
    """

    def __init__(
        self, names: Iterable[Any], children: Sequence["Container | None"], path: str
    ) -> None:
        self.names, self.children, self.path = tuple(names), tuple(children), path
        self.flat = all(child is None for child in children)
        keys: list[str] = []
        for name, child in zip(self.names, children, strict=True):
            keys += [f"{path}{name}"] if child is None else child.keys
        self.keys = tuple(keys)

    @abstractmethod
    def build(self, entries: Sequence[Any]) -> Any:
        """A container like this one, of these entries."""

    def unflatten(self, flat: Sequence[Any]) -> Any:
        return self._filled(iter(flat))

    def _filled(self, rest: Iterator[Any]) -> Any:
        return self.build([next(rest) if c is None else c._filled(rest) for c in self.children])

    def _gradients(self, entries: Sequence[Any]) -> tuple[Any, ...]:
        """The gradients in a container's entries, one for each child."""
        flat: list[Any] = []
        for child, entry in zip(self.children, entries, strict=True):
            if child is None:
                flat.append(entry)
            else:
                flat += [None] * len(child.keys) if entry is None else child.flatten(entry)
        return tuple(flat)

    def _arrays(self, entries: Sequence[Any]) -> tuple[Any, ...]:
        """The arrays in a container's entries, one for each child."""
        flat: list[Any] = []
        for child, entry in zip(self.children, entries, strict=True):
            if child is None:
                flat.append(entry)
            else:
                flat += child.now(entry if child.given is None else child.given)
        return tuple(flat)

    @property
    def _grads(self) -> str:
        """How errors call the gradients for this container."""
        return f"grads[{self.path[:-1]!r}]" if self.path else "grads"

    @property
    def _params(self) -> str:
        """How errors call this container."""
        return labelled(self.path[:-1]) if self.path else "params"

    def _shown(self, name: Any) -> Any:
        """The path of an entry; of the outermost container's the name as it was given."""
        return f"{self.path}{name}" if self.path else name


class Sequenced(Container):
    def __init__(
        self,
        children: Sequence[Container | None],
        path: str = "",
        make: Callable[[Sequence[Any]], Any] = list,
    ) -> None:
        super().__init__(range(len(children)), children, path)
        self.make = make

    def flatten(self, grads: Any) -> tuple[Any, ...]:
        if type(grads) is not tuple and type(grads) is not list:
            named = None if self.path else self.by_name(grads)
            if named is not None:
                return named
            self._check(grads)
        entries = tuple(grads)
        if len(entries) != len(self.children):
            raise ValueError(
                f"{self._grads} has {len(entries)} entries for {len(self.children)} "
                f"{'parameters' if self.flat else 'entries of params'}; "
                "pass None for a parameter without a gradient"
            )
        return entries if self.flat else self._gradients(entries)

    def build(self, entries: Sequence[Any]) -> Any:
        return self.make(entries)

    def now(self, container: Any) -> tuple[Any, ...]:
        try:
            entries = tuple(container)
        except TypeError:
            raise self._replaced(container) from None
        count = len(self.children)
        if len(entries) != count:
            if len(entries) < count:
                raise ValueError(
                    f"{self._params} had {count} entries when the optimizer was made, and has "
                    f"{len(entries)} now; put the others back, or call opt.rebind(params)"
                )
            entries = entries[:count]
        return entries if self.flat else self._arrays(entries)

    def _check(self, grads: Any) -> None:
        if is_array(grads) or is_mapping(grads) or isinstance(grads, str) or not iterable(grads):
            of = "arrays" if self.flat else "entries"
            expected = f"a sequence of {len(self.children)} {of}, like params"
            raise TypeError(f"{self._grads} must be {expected}, got {kind(grads)}")

    def _replaced(self, container: Any) -> ValueError:
        return ValueError(
            f"{self._params} was a sequence of {len(self.children)} entries when the optimizer was "
            f"made, and is {kind(container)} now; put it back, or call opt.rebind(params)"
        )


class Named(Container):
    def __init__(
        self, names: Iterable[Any], children: Sequence[Container | None], path: str = ""
    ) -> None:
        super().__init__(names, children, path)
        self.known = dict.fromkeys(self.names)
        self.pick = picker(self.names)

    def flatten(self, grads: Any) -> tuple[Any, ...]:
        if type(grads) is not dict and not is_mapping(grads):
            raise TypeError(
                f"{self._grads} must be a mapping of names, like params, got {kind(grads)}"
            )
        if grads.keys() != self.known.keys():
            named = None if self.path else self.by_name(grads)
            if named is not None:
                return named
            if set(grads.keys()) != self.known.keys():
                self._explain(list(grads.keys()))
        entries = self.pick(grads)
        return entries if self.flat else self._gradients(entries)

    def build(self, entries: Sequence[Any]) -> Any:
        return dict(zip(self.names, entries, strict=True))

    def now(self, container: Any) -> tuple[Any, ...]:
        try:
            entries = self.pick(container)
        except (KeyError, IndexError, TypeError, AttributeError):
            raise self._lost(container) from None
        return entries if self.flat else self._arrays(entries)

    def _explain(self, given: list[Any]) -> NoReturn:
        """Raise the KeyError for names that are neither this container's nor all the keys."""
        keys = dict.fromkeys(() if self.path else self.keys)
        by_key = sum(name in keys for name in given) > sum(n in self.known for n in given)
        expected = keys if by_key else self.known
        unknown = [self._shown(name) for name in given if name not in expected]
        if unknown:
            known = listed([self._shown(name) for name in expected])
            raise KeyError(f"grads has {unknown[0]!r}, but the parameters are {known}")
        missing = [self._shown(name) for name in expected if name not in given]
        raise KeyError(f"grads lacks {missing[0]!r}; pass None for a parameter without a gradient")

    def _lost(self, container: Any) -> ValueError:
        if not is_mapping(container):
            return ValueError(
                f"{self._params} was a mapping when the optimizer was made, and is "
                f"{kind(container)} now; put it back, or call opt.rebind(params)"
            )
        missing = [name for name in self.names if not has_name(container, name)]
        return ValueError(
            f"{labelled(f'{self.path}{missing[0]}')} is not in its container any more; put it "
            "back, or call opt.rebind(params)"
        )


class Grouped(Structure):
    """A list of groups, or a lone one: gradients come as a list with one structure per group, or
    as the lone one's; each as it stands or under "params".

    Names that several groups have get the group's number in front: "0.W" and "1.W".
    """

    def __init__(self, members: Sequence[Structure], lone: bool = False) -> None:
        self.members, self.lone = tuple(members), lone
        self.changeable = True
        self.keys = members[0].keys if lone else keys_of_groups(members)

    def flatten(self, grads: Any) -> tuple[Any, ...]:
        if self.lone:
            return self.members[0].flatten(without_group(grads))
        if is_mapping(grads):
            named = self.by_name(grads)
            if named is not None:
                return named
        if is_array(grads) or is_mapping(grads) or isinstance(grads, str) or not iterable(grads):
            raise TypeError(
                f"grads must be a list of {len(self.members)} groups' gradients, like params, or a "
                f"mapping of all names, got {kind(grads)}"
            )
        parts = tuple(grads)
        if len(parts) != len(self.members):
            raise ValueError(
                f"grads has {len(parts)} entries for {len(self.members)} groups of parameters; "
                "pass None for a group without gradients"
            )
        flat: list[Any] = []
        for k, (member, part) in enumerate(zip(self.members, parts, strict=True)):
            try:
                part = without_group(part)
                flat += [None] * len(member.keys) if part is None else member.flatten(part)
            except (TypeError, ValueError, KeyError) as error:
                raise type(error)(f"group {k}: {error.args[0]}") from None
        return tuple(flat)

    def unflatten(self, flat: Sequence[Any]) -> Any:
        rest = iter(flat)
        parts = [m.unflatten([next(rest) for _ in m.keys]) for m in self.members]
        return parts[0] if self.lone else parts

    def now(self, container: Any) -> tuple[Any, ...]:
        groups = (container,) if self.lone else tuple(container)
        if len(groups) < len(self.members):
            raise ValueError(
                f"params had {len(self.members)} groups when the optimizer was made, and has "
                f"{len(groups)} now; put the others back, or call opt.rebind(params)"
            )
        flat: list[Any] = []
        for k, (member, group) in enumerate(zip(self.members, groups, strict=False)):
            try:
                params = group["params"]
            except (KeyError, IndexError, TypeError):
                raise ValueError(
                    f"group {k} has no 'params' any more; put them back, or call opt.rebind(params)"
                ) from None
            with in_group(None if self.lone else k):
                flat += member.now(params if member.given is None else member.given)
        return tuple(flat)


@contextmanager
def in_group(number: int | None) -> Iterator[None]:
    """Errors name the group, if it has a number."""
    try:
        yield
    except (TypeError, ValueError, KeyError) as error:
        if number is None:
            raise
        raise type(error)(f"group {number}: {error.args[0]}") from None


def iterable(x: Any) -> bool:
    return isinstance(x, Iterable)


def picker(names: tuple[Any, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """A function from a mapping to a tuple of its values of these names."""
    if len(names) > 1:
        return operator.itemgetter(*names)
    return Few(names)


class Few(NamedTuple):
    """`operator.itemgetter` of one name or none, which would give no tuple."""

    names: tuple[Any, ...]

    def __call__(self, mapping: Any) -> tuple[Any, ...]:
        return tuple([mapping[name] for name in self.names])


def without_group(grads: Any) -> Any:
    """The gradients in {"params": gradients}, or `grads` itself."""
    inside = isinstance(grads, Mapping) and grads.keys() == {"params"}
    return grads["params"] if inside else grads


def keys_of_groups(members: Sequence[Structure]) -> tuple[str, ...]:
    """Arrays without names are numbered across all groups, others have their path within the group;
    a key that is not unique so gets the group's number in front."""
    places: list[tuple[int, str]] = []
    for group, member in enumerate(members):
        numbered = isinstance(member, Single) or (isinstance(member, Sequenced) and member.flat)
        start = len(places)
        own = [str(start + k) for k in range(len(member.keys))] if numbered else member.keys
        places += [(group, key) for key in own]
    keys = [key for _, key in places]
    while True:
        uses = Counter(keys)
        again = [k for k, (_, key) in enumerate(places) if uses[keys[k]] > 1 and keys[k] == key]
        if not again:
            return tuple(keys)
        for k in again:
            keys[k] = "{}.{}".format(*places[k])


PLAIN = (str, bytes, int, float, complex, bool, type(None))


def is_plain(x: Any) -> bool:
    """Whether a container and those in it are dicts, lists and tuples of arrays and numbers, which
    can be pickled."""
    if type(x) in (dict, OrderedDict):
        return all(map(is_plain, x.values()))
    if type(x) in (list, tuple):
        return all(map(is_plain, x))
    return is_array(x) or isinstance(x, PLAIN)
