"""The parameters of an optimizer: arrays as the backend sees them, and their state."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gpuopt.backends.base import Backend
from gpuopt.backends.memory import Memory
from gpuopt.backends.overlaps import first_overlap, overlaps_itself
from gpuopt.groups import Group, Member
from gpuopt.options import Parts
from gpuopt.structure import labelled


@dataclass
class Param:
    """One parameter: its key in checkpoints, its array as the user gave it and as the backend sees
    it, its state.

    view: the optimizer's own, so that nobody else can assign to its shape or strides.
    memory: where that lies.
    parts: what every step has around the rule, whatever else it is asked for: the average.
    grad: where its gradient lay when a plan was last made; None before the first.
    """

    key: str
    given: Any
    view: Any
    memory: Memory
    group: Group
    parts: Parts
    state: dict[str, Any] = field(default_factory=dict)
    grad: Memory | None = None

    @property
    def label(self) -> str:
        """The parameter's name in error messages."""
        return labelled(self.key)

    @property
    def buffers(self) -> tuple[str, ...]:
        """Names of the state buffers that the parameter has, or will have."""
        return self.parts.around(self.group.rule).state

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles hold the array as it was given, and nothing about addresses: whoever
        holds the same array in the same copy shares it with the optimizer again."""
        return {**self.__dict__, "view": None, "memory": None, "grad": None}


def make_params(
    backend: Backend, keys: Sequence[str], members: Sequence[Member], parts: Parts
) -> list[Param]:
    """The parameters, checked: raises for one that cannot be updated in place."""
    if len(set(keys)) != len(keys):
        raise ValueError(f"two parameters have the same name, as text: {sorted(keys)}")
    for _, group in members:
        _ = parts.around(
            group.rule
        ).state  # raises for a rule that has a buffer of the average's name
    arrays = [array for array, _ in members]
    views = own_views(backend, keys, arrays)
    return [
        Param(key, array, view, memory, group, parts)
        for key, (array, group), (view, memory) in zip(keys, members, views, strict=True)
    ]


def own_views(
    backend: Backend, keys: Sequence[str], arrays: Sequence[Any]
) -> list[tuple[Any, Memory]]:
    """Views of parameters, and where they lie. Raises for one that cannot be updated in place."""
    labels = list(map(labelled, keys))
    pairs = zip(arrays, labels, strict=True)
    views = [backend.own(backend.view(array, label, written=True)) for array, label in pairs]
    memories = list(map(backend.memory, views))
    check_memory(list(zip(labels, memories, strict=True)))
    return list(zip(views, memories, strict=True))


def check_rebound(backend: Backend, param: Param, array: Any) -> None:
    """ValueError for an array that cannot take the place of a parameter's."""
    memory = backend.memory(backend.view(array, param.label, written=True))
    for what in ("shape", "dtype", "device"):
        given, expected = getattr(memory, what), getattr(param.memory, what)
        if given != expected:
            raise ValueError(
                f"{param.label} to bind has {what} {given}, and its state is for {what} {expected}"
            )


def check_memory(memories: list[tuple[str, Any]]) -> None:
    for label, memory in memories:
        if overlaps_itself(memory):
            raise ValueError(
                f"{label} has elements that share memory (broadcast or expanded); pass a copy of it"
            )
    pair = first_overlap(memories)
    if pair:
        raise ValueError(
            f"{pair[0]} and {pair[1]} share memory; a step would update it twice. "
            "Pass each parameter once"
        )
