"""Optimizer state in safetensors files."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuopt.backends.host import as_real
from gpuopt.checkpoint import buffers, carried_numbers, description, load_state_dict
from gpuopt.checkpoint_checks import mapping
from gpuopt.checks import flag
from gpuopt.json_types import as_json, from_json, in_state, random_state
from gpuopt.replacing import replacing

if TYPE_CHECKING:
    from gpuopt.optimizer import Optimizer

PARAMETER = "p"  # its tensor in a file, beside the buffers'; so formulas call it, too
Generators = Mapping[str, np.random.Generator]


def save(opt: "Optimizer", path: Any, params: bool, rngs: Generators | None, extra: Any) -> None:
    """Write a state dict to one safetensors file, which is replaced whole: tensors "key/buffer",
    and everything else as JSON in the metadata.

    Complex buffers are written as pairs of reals, for the format has no complex128.
    """
    safetensors = _safetensors()
    steps = opt.param_steps
    arrays = {f"{p.key}/{name}": a for p in opt._params for name, a in buffers(p, steps[p.key])}
    if flag("params", params):
        if opt._swapped:
            raise RuntimeError(
                "inside `with opt.averages()` the parameters hold their averages; save them outside"
            )
        arrays.update({f"{p.key}/{PARAMETER}": p.view for p in opt._params})
    tensors = {
        name: as_real(np.asarray(opt._backend.to_host(array), order="C"))
        for name, array in arrays.items()
    }
    states = {name: random_state(rng) for name, rng in generators(rngs).items()}
    about = {**description(opt), "steps": steps, "rngs": states, "extra": extra}
    if carried := carried_numbers(opt):
        about["carried"] = carried
    metadata = {"gpuopt": as_json(about, "extra, and each hyper-parameter,")}
    try:
        with replacing(path) as new:
            safetensors.numpy.save_file(tensors, new, metadata=metadata)
    except safetensors.SafetensorError as error:
        raise OSError(f"{path} cannot be written: {error}") from None


def load(opt: "Optimizer", path: Any, rngs: Generators | None) -> Any:
    """Check the whole file, then change the optimizer and the generators; returns the extra."""
    given = generators(rngs)
    with open(path, "rb"):  # an error that names the file
        pass
    try:
        saved = read(opt, path)
        states = saved.get("rngs", {})
        if set(given) - set(states) or (rngs is None and states):
            raise ValueError(
                f"random states were saved of {sorted(states)}, and rngs names {sorted(given)}; "
                "pass a mapping of the names to restore to generators"
            )
        restored = {
            name: in_state(rng, states[name], f"the random state of {name!r}").bit_generator.state
            for name, rng in given.items()
        }
        load_state_dict(opt, saved)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error.args[0] if error.args else error}") from error
    for name, rng in given.items():
        rng.bit_generator.state = restored[name]
    return saved.get("extra")


def extra_in(path: Any) -> Any:
    """The extra in a file, without an optimizer. ValueError for a file that holds none."""
    try:
        return contents(path, tensors=False)[0].get("extra")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def contents(path: Any, tensors: bool) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The metadata of a file, and its tensors if they are wanted."""
    safetensors = _safetensors()
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            about = (file.metadata() or {}).get("gpuopt")
            names = file.keys() if about is not None and tensors else []
            arrays = {name: file.get_tensor(name) for name in names}
    except safetensors.SafetensorError as error:
        raise ValueError(f"this is no safetensors file: {error}") from None
    if about is None:
        raise ValueError("this was not written by gpuopt's Optimizer.save")
    saved = from_json(about)
    if not isinstance(saved, dict) or not isinstance(saved.get("steps"), dict):
        raise ValueError("its metadata are no mapping with step counts")
    return saved, arrays


def read(opt: "Optimizer", path: Any) -> dict[str, Any]:
    """The state dict in a file. ValueError for a file that holds none."""
    saved, tensors = contents(path, tensors=True)
    state: dict[str, dict[str, Any]] = {key: {"step": t} for key, t in saved["steps"].items()}
    for key, numbers in mapping(saved.get("carried", {}), "what rules carry").items():
        state.setdefault(key, {"step": 0}).update(mapping(numbers, f"what is carried for {key}"))
    params = {}
    complex_keys = {p.key for p in opt._params if opt._backend.memory(p.view).dtype.kind == "c"}
    for full_name, values in tensors.items():
        key, _, name = full_name.rpartition("/")
        if key in complex_keys and values.ndim and values.shape[-1] == 2:
            values = values.view(f"c{2 * values.dtype.itemsize}")[..., 0]
        if name == PARAMETER:
            params[key] = values
        else:
            state.setdefault(key, {"step": 0})[name] = values
    return {**saved, "state": state, "params": params or None}


def generators(rngs: Generators | None) -> Generators:
    """What was given as `rngs`; TypeError unless it maps names to generators."""
    if rngs is None:
        return {}
    if not isinstance(rngs, Mapping):
        raise TypeError(f"rngs must map names to numpy.random.Generators, got {rngs!r}")
    for name, rng in rngs.items():
        if not isinstance(name, str) or not isinstance(rng, np.random.Generator):
            raise TypeError(
                f"rngs must map names to numpy.random.Generators, got {name!r}: {rng!r}"
            )
    return rngs


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError(
            "saving and loading files needs safetensors: pip install 'gpuopt[checkpoint]' "
            "(state_dict and load_state_dict work without)"
        ) from None
    return safetensors
