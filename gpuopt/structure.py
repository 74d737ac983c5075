"""The shape in which parameters were given, and how gradients of the same shape are read."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from gpuopt.arrays import is_array


def kind(x: Any) -> str:
    return f"a {type(x).__name__}"


class Structure(ABC):
    """The keys of parameters, in order, and `flatten`: gradients to one tuple in that order."""

    keys: tuple[str, ...]

    @abstractmethod
    def flatten(self, grads: Any) -> tuple[Any, ...]:
        """One gradient (or None) for each key. Raises if `grads` is not of this structure."""

    @abstractmethod
    def unflatten(self, flat: Sequence[Any]) -> Any:
        """The opposite of `flatten`: one value for each key, in this structure."""


class Single(Structure):
    keys = ("0",)

    def flatten(self, grads: Any) -> tuple[Any, ...]:
        if isinstance(grads, (list, tuple)) and len(grads) == 1:
            return tuple(grads)
        if grads is not None and not is_array(grads):
            raise TypeError(f"grads must be one array, like params, got {kind(grads)}")
        return (grads,)

    def unflatten(self, flat: Sequence[Any]) -> Any:
        return flat[0]


class Sequenced(Structure):
    def __init__(self, count: int) -> None:
        self.keys = tuple(map(str, range(count)))

    def flatten(self, grads: Any) -> tuple[Any, ...]:
        if type(grads) is not tuple and type(grads) is not list:
            self._check(grads)
        flat = tuple(grads)
        if len(flat) != len(self.keys):
            raise ValueError(
                f"grads has {len(flat)} entries for {len(self.keys)} parameters; "
                "pass None for a parameter without a gradient"
            )
        return flat

    def unflatten(self, flat: Sequence[Any]) -> Any:
        return list(flat)

    def _check(self, grads: Any) -> None:
        if is_array(grads) or isinstance(grads, (Mapping, str)) or not isinstance(grads, Iterable):
            expected = f"a sequence of {len(self.keys)} arrays, like params"
            raise TypeError(f"grads must be {expected}, got {kind(grads)}")


class Named(Structure):
    def __init__(self, names: Iterable[Any]) -> None:
        self.names = tuple(names)
        self.known = dict.fromkeys(self.names)
        self.keys = tuple(map(str, self.names))

    def flatten(self, grads: Any) -> tuple[Any, ...]:
        if not isinstance(grads, Mapping):
            raise TypeError(f"grads must be a mapping of names, like params, got {kind(grads)}")
        if grads.keys() != self.known.keys():
            self._explain(grads)
        return tuple([grads[name] for name in self.names])

    def unflatten(self, flat: Sequence[Any]) -> Any:
        return dict(zip(self.names, flat, strict=True))

    def _explain(self, grads: Mapping[Any, Any]) -> NoReturn:
        unknown = [name for name in grads if name not in self.known]
        missing = [name for name in self.names if name not in grads]
        if unknown:
            known = ", ".join(map(repr, self.names))
            raise KeyError(f"grads has {unknown[0]!r}, but the parameters are {known}")
        raise KeyError(f"grads lacks {missing[0]!r}; pass None for a parameter without a gradient")


class OneGroup(Structure):
    """One group: gradients of its parameters' structure, or those under "params", as they stand."""

    def __init__(self, member: Structure) -> None:
        self.member, self.keys = member, member.keys

    def flatten(self, grads: Any) -> tuple[Any, ...]:
        inside = isinstance(grads, Mapping) and grads.keys() == {"params"}
        return self.member.flatten(grads["params"] if inside else grads)

    def unflatten(self, flat: Sequence[Any]) -> Any:
        return self.member.unflatten(flat)


class Grouped(Structure):
    """A list of groups: gradients come as a list with one structure per group."""

    def __init__(self, members: Sequence[OneGroup]) -> None:
        self.members = members
        keys: list[str] = []
        for member in members:
            if isinstance(member.member, Named):
                keys += member.keys
            else:
                keys += [str(len(keys) + k) for k in range(len(member.keys))]
        self.keys = tuple(keys)

    def flatten(self, grads: Any) -> tuple[Any, ...]:
        flat: list[Any] = []
        for k, (member, part) in enumerate(
            zip(self.members, Sequenced(len(self.members)).flatten(grads), strict=True)
        ):
            try:
                flat += member.flatten(part)
            except (TypeError, ValueError, KeyError) as error:
                raise type(error)(f"group {k}: {error.args[0]}") from None
        return tuple(flat)

    def unflatten(self, flat: Sequence[Any]) -> Any:
        rest = iter(flat)
        return [m.unflatten([next(rest) for _ in m.keys]) for m in self.members]


def structure_of(params: Any) -> tuple[Structure, list[Any]]:
    """The structure of one array, a sequence or a mapping, and its arrays in order."""
    if is_array(params):
        return Single(), [params]
    if isinstance(params, Mapping):
        return Named(params), list(params.values())
    if isinstance(params, (str, bytes)) or not isinstance(params, Iterable):
        raise TypeError(
            "params must be an array, a sequence or mapping of arrays, or a list of groups "
            f"({{'params': ..., 'lr': ...}}), got {kind(params)}"
        )
    arrays = list(params)
    return Sequenced(len(arrays)), arrays
