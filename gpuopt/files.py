"""Optimizer state in safetensors files."""

import json
import os
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuopt.backends.host import as_real
from gpuopt.checkpoint import (
    buffers,
    carried_numbers,
    checked_changes,
    description,
)
from gpuopt.checkpoint_checks import mapping
from gpuopt.checks import flag
from gpuopt.errors import brief_errors, errors_of, listed, shortened
from gpuopt.interrupts import finish
from gpuopt.json_types import as_json, from_json, in_state, random_state
from gpuopt.replacing import replacing
from gpuopt.tensor_file import read_file

if TYPE_CHECKING:
    from gpuopt.optimizer import Optimizer

PARAMETER = "p"  # its tensor in a file, beside the buffers'; so formulas call it, too
# CRC-32 takes less time than reading: on one core of an AMD EPYC 3.5 GB/s, beside 2.6 of reading a
# file that lies in memory, 0.9 of SHA-256 and 0.6 of BLAKE2b. It notices every single flipped bit,
# and all but one in 4 billion of other damages; against forged files it is no protection.
CHECKSUM = "crc32"
Generators = Mapping[str, np.random.Generator]


def save(opt: "Optimizer", path: Any, params: bool, rngs: Generators | None, extra: Any) -> None:
    """Write a state dict to one safetensors file, which is replaced whole: tensors "key/buffer",
    and everything else as JSON in the metadata, beside a checksum.

    Complex buffers are written as pairs of reals, for the format has no complex128.
    """
    safetensors, path = _safetensors(), os.fsdecode(path)
    with brief_errors():
        tensors = written_tensors(opt, params)
        about = as_json(description_of_file(opt, rngs, extra), "extra, and each hyper-parameter,")
    metadata = {"gpuopt": about, "checksum": checksum(about, tensors)}
    try:
        with replacing(path) as new:
            safetensors.numpy.save_file(tensors, new, metadata=metadata)
    except (safetensors.SafetensorError, UnicodeError) as error:
        why = shortened(str(error))
        raise OSError(f"{shortened(path, 100)} cannot be written: {why}") from None


def written_tensors(opt: "Optimizer", params: bool) -> dict[str, np.ndarray]:
    """The arrays of a file by their names there, on the host, dense and real."""
    arrays = {
        f"{p.key}/{name}": array
        for p, step in zip(opt._params, opt.param_steps.values(), strict=True)
        for name, array in buffers(p, step)
    }
    if flag("params", params):
        if opt._swapped:
            raise RuntimeError(
                "inside `with opt.averages()` the parameters hold their averages; save them outside"
            )
        arrays.update({f"{p.key}/{PARAMETER}": p.view for p in opt._params})
    return {
        name: as_real(np.asarray(opt._backend.to_host(array), order="C"))
        for name, array in arrays.items()
    }


def description_of_file(opt: "Optimizer", rngs: Generators | None, extra: Any) -> dict[str, Any]:
    """All that a file says beside its tensors."""
    states = {name: random_state(rng) for name, rng in generators(rngs).items()}
    about = {
        **description(opt), "steps": opt.param_steps, "rngs": states, "extra": extra,
        "checksum": CHECKSUM,
    }  # fmt: skip
    if carried := carried_numbers(opt):
        about["carried"] = carried
    return about


def checksum(about: str, tensors: Mapping[str, np.ndarray]) -> str:
    """The checksum of a description, and of names, dtypes, shapes and bytes of the tensors."""
    found = zlib.crc32(about.encode(errors="surrogatepass"))
    for name, values in sorted(tensors.items()):
        header = json.dumps([name, values.dtype.name, values.shape])
        found = zlib.crc32(header.encode(), found)
        found = zlib.crc32(values.reshape(-1).view(np.uint8).data, found)
    return f"{CHECKSUM}:{found:08x}"


def load(opt: "Optimizer", path: Any, rngs: Generators | None) -> Any:
    """Check the whole file, then change the optimizer and the generators; returns the extra."""
    path = os.fsdecode(path)
    with brief_errors():
        given = generators(rngs)
    with errors_of(path):
        saved = read(opt, path)
        states = mapping(saved.get("rngs", {}), "the random states")
        if set(given) - set(states) or (rngs is None and states):
            raise ValueError(
                f"random states were saved of {listed(sorted(states))}, and rngs names "
                f"{listed(sorted(given))}; pass a mapping of the names to restore to generators"
            )
        restored = {
            name: in_state(rng, states[name], f"the random state of {name!r}").bit_generator.state
            for name, rng in given.items()
        }
        change = checked_changes(opt, saved)

    def change_all() -> None:
        change()
        for name, rng in given.items():
            rng.bit_generator.state = restored[name]

    finish(change_all)
    return saved.get("extra")


def extra_in(path: Any) -> Any:
    """The extra in a file, without an optimizer. ValueError for a file that holds none, or is
    damaged."""
    path = os.fsdecode(path)
    with errors_of(path):
        return contents(path)[0].get("extra")


def contents(path: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The description in a file, and its tensors, as they were saved."""
    metadata, tensors, steady = read_file(path)
    about, sum_saved = metadata.get("gpuopt"), metadata.get("checksum")
    if about is None:
        raise ValueError("this was not written by gpuopt's Optimizer.save")
    if sum_saved is not None:
        sum_found = checksum(about, tensors)
        if sum_saved != sum_found:
            raise ValueError(
                "the file is damaged, or was written to while it was read: its checksum is "
                f"{sum_saved!r}, and its contents have {sum_found!r}; load another copy of it"
            )
    elif not steady:
        raise ValueError("the file was written to while it was read; load it again")
    saved = from_json(about)
    if not isinstance(saved, dict) or not isinstance(saved.get("steps"), dict):
        raise ValueError("its metadata are no mapping with step counts")
    if sum_saved is None and "checksum" in saved:  # files of older versions have neither
        raise ValueError("the file is damaged: its checksum is missing; load another copy of it")
    return saved, tensors


def read(opt: "Optimizer", path: str) -> dict[str, Any]:
    """The state dict in a file. ValueError for a file that holds none."""
    saved, tensors = contents(path)
    state: dict[str, dict[str, Any]] = {key: {"step": t} for key, t in saved["steps"].items()}
    for key, numbers in mapping(saved.get("carried", {}), "what rules carry").items():
        state.setdefault(key, {"step": 0}).update(mapping(numbers, f"what is carried for {key}"))
    params = {}
    dtypes = {p.key: opt._backend.memory(p.view).dtype for p in opt._params}
    for full_name, values in tensors.items():
        key, _, name = full_name.rpartition("/")
        if key in dtypes:
            values = as_saved(values, dtypes[key])
        if name == PARAMETER:
            params[key] = values
        else:
            state.setdefault(key, {"step": 0})[name] = values
    return {**saved, "state": state, "params": params or None}


def as_saved(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Pairs of reals as complex numbers, if they are those of a parameter of that dtype."""
    if dtype.kind != "c" or values.dtype != as_real(np.empty(0, dtype)).dtype:
        return values
    is_pairs = values.ndim > 0 and values.shape[-1] == 2
    return values.view(dtype)[..., 0] if is_pairs else values


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
            "saving files needs safetensors: pip install 'gpuopt[checkpoint]' (loading them, "
            "state_dict and load_state_dict work without)"
        ) from None
    return safetensors
