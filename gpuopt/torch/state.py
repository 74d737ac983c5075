"""A parameter's state under PyTorch's keys, and what gpuopt knows it as."""

import dataclasses
from typing import Any

import torch

from gpuopt.rules.base import Rule
from gpuopt.torch.layout import is_backed
from gpuopt.torch.tensors import check_memory, local, state_dtype


@dataclasses.dataclass(frozen=True)
class Keys:
    """How torch.optim calls a rule's state.

    buffers: gpuopt's name of each buffer, and the key. scalars: the same for scalar state.
    counted: whether there is a "step". Without it a parameter that has a buffer has taken a step.
    """

    buffers: dict[str, str]
    scalars: dict[str, str] = dataclasses.field(default_factory=dict)
    counted: bool = True


def steps_taken(state: dict[str, Any], keys: Keys) -> int:
    """The step count in a parameter's state; 0 without any."""
    if keys.counted:
        return int(state.get("step", 0))
    return int(any(state.get(key) is not None for key in keys.buffers.values()))


def check_numbers(state: dict[str, Any], keys: Keys, what: str) -> None:
    """Raise ValueError for a number in a parameter's state whose memory was taken away."""
    for key in ("step", *keys.scalars.values()):
        if isinstance(state.get(key), torch.Tensor):
            check_memory(state[key], f"{key!r} in the state of {what}")


def completed(
    state: dict[str, Any], p: torch.Tensor, rule: Rule, keys: Keys, what: str
) -> dict[str, Any]:
    """`state` with every buffer that the rule needs, new ones where there is none. Raises
    ValueError for one that does not fit, or is missing after the first step; changes nothing."""
    taken = steps_taken(state, keys)
    done = {"step": 0, **state} if keys.counted else dict(state)
    for name in rule.state:
        key = keys.buffers[name]
        buffer = state.get(key)
        if buffer is None and taken and keys.counted:
            raise ValueError(
                f"the state of {what} at step {taken} has no {key!r}, which {rule} needs; make a "
                "new optimizer to change such a flag, or load a state that was saved with it"
            )
        if buffer is None:
            buffer = new_buffer(p, rule.initial.get(name, 0.0))
        check_buffer(buffer, p, f"{key!r} in the state of {what}")
        done[key] = buffer.to(state_dtype(p))
    return done


def check_buffer(buffer: Any, p: torch.Tensor, what: str) -> None:
    if not isinstance(buffer, torch.Tensor):
        raise TypeError(f"{what} is a {type(buffer).__name__}, expected a tensor")
    given = tuple(buffer.shape), buffer.device
    if given != (tuple(p.shape), p.device):
        raise ValueError(
            f"{what} has shape {given[0]} on {given[1]}, expected {tuple(p.shape)} on {p.device}"
        )
    check_memory(local(buffer), what)


def is_whole(state: dict[str, Any], p: torch.Tensor, rule: Rule, keys: Keys) -> bool:
    """Whether `completed` would find nothing to do: every number and buffer is there, and lies as a
    sweep needs it."""
    buffers = [state.get(keys.buffers[name]) for name in rule.state]
    part = local(p)
    return ("step" in state or not keys.counted) and all(
        isinstance(x, torch.Tensor)
        and (local(x).shape, x.device, x.dtype) == (part.shape, p.device, state_dtype(p))
        and is_backed(local(x))
        for x in buffers
    )


def new_buffer(p: torch.Tensor, value: float) -> torch.Tensor:
    """A buffer of one value for a parameter, in the order in which that lies; distributed as it."""
    buffer = torch.zeros_like(p, dtype=state_dtype(p), memory_format=torch.preserve_format)
    if value:
        local(buffer).fill_(complex(value, value) if p.is_complex() else value)
    return buffer


def restored(new: dict[str, Any], saved: dict[str, Any], keys: Keys) -> None:
    """Check a state that is about to be loaded, and give 16-bit parameters their float32 state
    again, and numbers their dtype, which torch.optim has cast to the parameter's."""
    params = [p for group in new["param_groups"] for p in group["params"]]
    numbers = [n for group in saved["param_groups"] for n in group["params"]]
    scalars: dict[tuple[str, torch.dtype], dict[torch.Tensor, Any]] = {}
    for p, n in zip(params, numbers, strict=True):
        for key, value in saved["state"].get(n, {}).items():
            if key == "step" or key in keys.scalars.values():
                scalars.setdefault((key, scalar_dtype(key, value)), {})[p] = value
            if not isinstance(value, torch.Tensor) or key not in keys.buffers.values():
                continue  # what a user keeps there is not ours to check
            if value.shape != p.shape:
                raise ValueError(
                    f"{key!r} to load for parameter {n} has shape {tuple(value.shape)}, expected "
                    f"{tuple(p.shape)}"
                )
            if p.element_size() == 2:
                new["state"][p][key] = value.to(device=p.device, dtype=torch.float32, copy=True)
    for (key, dtype), values in scalars.items():
        whole = numbers_of([float(value) for value in values.values()], dtype)
        for p, number in zip(values, whole, strict=True):
            new["state"][p][key] = number


def scalar_dtype(key: str, value: Any) -> torch.dtype:
    """In which a number is loaded: a step count's own, and float64 for what is rounded."""
    if key != "step":
        return torch.float64
    return value.dtype if isinstance(value, torch.Tensor) else number_dtype()


def numbers_of(values: Any, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """Tensors without axes for these numbers, side by side in the CPU's memory."""
    return torch.tensor(values, dtype=dtype, device="cpu").unbind()


def number_dtype() -> torch.dtype:
    """In which PyTorch keeps a step count."""
    return torch.float64 if torch.get_default_dtype() == torch.float64 else torch.float32
