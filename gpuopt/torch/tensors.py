"""Tensors as gpuopt takes them: the local part of a distributed one, memory that can be stepped."""

from collections.abc import Iterable
from typing import Any

import torch

from gpuopt.torch.layout import extent, is_backed

DTYPES = {
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.complex64,
    torch.complex128,
}


def is_sharded(t: torch.Tensor) -> bool:
    """Whether a tensor is distributed, so that this process holds a part of it (DTensor)."""
    return hasattr(t, "to_local") and hasattr(t, "placements")


def local(t: torch.Tensor) -> torch.Tensor:
    """The part of a tensor that lies in this process: itself, if it is not distributed."""
    if not is_sharded(t):
        return t
    part = t.to_local()  # pyright: ignore
    return part.wait() if hasattr(part, "wait") else part


def is_strided(value: Any) -> bool:
    """Whether a value in a state is a tensor whose elements strides lead to."""
    return isinstance(value, torch.Tensor) and value.layout is torch.strided


def only_gpu(params: Iterable[torch.Tensor]) -> torch.device | None:
    """The GPU on which all parameters lie; None if they lie elsewhere as well."""
    devices = {p.device for p in params}
    first = next(iter(devices), None)
    return first if len(devices) == 1 and first is not None and first.type == "cuda" else None


def check_parameter(p: torch.Tensor, what: str) -> None:
    """Raise TypeError for a parameter that cannot be stepped, ValueError for one whose memory was
    taken away."""
    part = local(p)
    if part.is_meta or type(part).__name__ == "FakeTensor":
        raise TypeError(
            f"{what} is a {'meta' if part.is_meta else 'fake'} tensor, which has a shape and no "
            "memory; make the optimizer when the model lies in memory (module.to_empty(device=...))"
        )
    if part.device.type not in ("cpu", "cuda"):
        raise TypeError(f"{what} lies on {part.device}; gpuopt steps parameters on cpu and cuda")
    if part.layout != torch.strided:
        raise TypeError(f"{what} has layout {part.layout}; gpuopt steps dense (strided) tensors")
    if part.dtype not in DTYPES:
        raise TypeError(
            f"{what} has dtype {part.dtype}; gpuopt steps float16, bfloat16, float32, float64, "
            "complex64 and complex128"
        )
    check_memory(part, what)


def is_fit(p: torch.Tensor) -> bool:
    """Whether a parameter can be stepped, if it gets a gradient."""
    try:
        check_parameter(p, "it")
    except (TypeError, ValueError):
        return False
    return True


def check_memory(t: torch.Tensor, what: str) -> None:
    """Raise ValueError for a dense tensor that reaches beyond its storage: this was made smaller,
    or is empty, as those of tensors that keep their elements elsewhere."""
    if not is_backed(t):
        needed = t.storage_offset() * t.element_size() + extent(t)
        raise ValueError(
            f"{what} has no memory: its storage has {t.untyped_storage().nbytes()} bytes, and its "
            f"elements need {needed}; before the step give the storage its size "
            f"(untyped_storage().resize_({needed})) and the tensor its values"
        )


def gradient(p: torch.Tensor, what: str, sparse: str) -> torch.Tensor:
    """The gradient of a parameter in this process, as plain memory. `sparse`: what a user of a
    sparse one can do besides making it dense.

    Raises RuntimeError for a sparse one, as PyTorch's own optimizers do, and ValueError for one
    that is otherwise than the parameter.
    """
    g = p.grad
    assert g is not None
    if is_sharded(g) != is_sharded(p) or (
        is_sharded(g) and g.placements != p.placements  # pyright: ignore
    ):
        raise RuntimeError(
            f"{what} has placements {getattr(p, 'placements', None)}, and its gradient "
            f"{getattr(g, 'placements', None)}; redistribute the gradient to the parameter's"
        )
    g, part = local(g), local(p)
    if g.layout != torch.strided:
        raise RuntimeError(
            f"the gradient of {what} is sparse ({g.layout}), and a fused sweep reads every element;"
            f" make the layer with sparse=False{sparse}"
        )
    for name, given, expected in (
        ("shape", tuple(g.shape), tuple(part.shape)),
        ("dtype", g.dtype, part.dtype),
        ("device", g.device, part.device),
    ):
        if given != expected:
            mend = "keep p.grad_dtype as the parameter's, or convert p.grad before the step"
            raise ValueError(
                f"the gradient of {what} has {name} {given}, but the parameter has {expected}; "
                f"{mend if name == 'dtype' else 'gradients must match their parameters'}"
            )
    check_memory(g, f"the gradient of {what}")
    return g.resolve_conj().resolve_neg()  # itself, unless it is conjugated only when it is read


def state_dtype(p: torch.Tensor) -> torch.dtype:
    """The dtype of state: the parameter's own, but float32 for 16-bit ones."""
    return torch.float32 if p.element_size() == 2 else p.dtype
