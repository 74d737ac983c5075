"""Optimizer state in safetensors files."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuopt.backends.host import as_real
from gpuopt.checkpoint import buffers, description, load_state_dict

if TYPE_CHECKING:
    from gpuopt.optimizer import Optimizer


def save(opt: "Optimizer", path: Any) -> None:
    """Write a state dict to one safetensors file, through a temporary file beside it.

    Complex buffers are written as pairs of reals, for the format has no complex128.
    """
    safetensors = _safetensors()
    if not Path(path).parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {Path(path).parent}; make it first")
    steps = opt.param_steps
    tensors = {
        f"{p.key}/{name}": as_real(np.asarray(opt._backend.to_host(array), order="C"))
        for p in opt._params
        for name, array in buffers(p, steps[p.key])
    }
    about = {**description(opt), "steps": steps}
    metadata = {"gpuopt": json.dumps(about, default=lambda number: number.item())}
    unfinished = Path(f"{path}.{os.getpid()}.tmp")
    try:
        unfinished.touch()  # with the user's permissions, which the writer keeps to itself
        permissions = unfinished.stat().st_mode
        safetensors.save_file(tensors, unfinished, metadata=metadata)
        unfinished.chmod(permissions)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def load(opt: "Optimizer", path: Any) -> None:
    _safetensors()
    from safetensors import SafetensorError, safe_open

    with open(path, "rb"):  # an error that names the file
        pass
    try:
        opened = safe_open(path, framework="numpy")
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from None
    with opened as file:
        about = json.loads((file.metadata() or {}).get("gpuopt", "null"))
        if about is None:
            raise ValueError(f"{path} was not written by gpuopt's Optimizer.save")
        state: dict[str, dict[str, Any]] = {k: {"step": t} for k, t in about["steps"].items()}
        complex_keys = {p.key for p in opt._params if opt._backend.memory(p.view).dtype.kind == "c"}
        for full_name in file.keys():  # noqa: SIM118 - not a dict
            key, name = full_name.rsplit("/", 1)
            values = file.get_tensor(full_name)
            if key in complex_keys:
                values = values.view(f"c{2 * values.dtype.itemsize}")[..., 0]
            state.setdefault(key, {"step": 0})[name] = values
    load_state_dict(opt, {**about, "state": state})


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError(
            "saving and loading files needs safetensors: pip install 'gpuopt[checkpoint]' "
            "(state_dict and load_state_dict work without)"
        ) from None
    return safetensors.numpy
