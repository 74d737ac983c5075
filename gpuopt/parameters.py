"""The parameters of an optimizer: arrays as the backend sees them, and their state."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gpuopt.backends.base import Backend
from gpuopt.backends.memory import first_overlap, overlaps_itself
from gpuopt.groups import Group, Member
from gpuopt.options import Parts


@dataclass
class Param:
    """One parameter: its key in checkpoints, its array as the backend sees it, its state.

    parts: what every step has around the rule, whatever else it is asked for: the average.
    """

    key: str
    view: Any
    group: Group
    parts: Parts
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The parameter's name in error messages."""
        return labelled(self.key)

    @property
    def buffers(self) -> tuple[str, ...]:
        """Names of the state buffers that the parameter has, or will have."""
        return self.parts.around(self.group.rule).state


def labelled(key: str) -> str:
    """A parameter's key, its number or its name, as errors show it."""
    return f"params[{int(key)}]" if key.isdigit() else f"params[{key!r}]"


def make_params(
    backend: Backend, keys: Sequence[str], members: Sequence[Member], parts: Parts
) -> list[Param]:
    """The parameters, checked: raises for one that cannot be updated in place."""
    if len(set(keys)) != len(keys):
        raise ValueError(f"two parameters have the same name, as text: {sorted(keys)}")
    params = [
        Param(key, array, group, parts) for key, (array, group) in zip(keys, members, strict=True)
    ]
    for param in params:
        _ = param.buffers  # raises for a rule that has a buffer of the average's name
        param.view = backend.view(param.view, param.label, written=True)
    check_memory([(p.label, backend.memory(p.view)) for p in params])
    return params


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
