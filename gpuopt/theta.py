"""Parameters end to end in one vector theta, and the way back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuopt.arrays import array_module, on_host
from gpuopt.given import structure_of
from gpuopt.structure import Grouped, Structure, labelled

FLOAT64 = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Part:
    """One parameter in theta: its name, its place there, and what its arrays are."""

    name: str
    place: slice
    shape: tuple[int, ...]
    dtype: type
    module: Any

    def array(self, values: np.ndarray) -> np.ndarray:
        """The elements in `values`, which is theta or another vector like it; a view."""
        return values[self.place].view(self.dtype).reshape(self.shape)


class Theta:
    """The parameters as one vector `values` of float64, each complex number as two of its elements.

    Raises TypeError for what is no NumPy or CuPy array of floating or complex numbers.
    """

    def __init__(self, params: Any) -> None:
        self.structure, arrays, self.rebuild = read(params)
        self.parts: list[Part] = []
        end = 0
        for key, x in zip(self.structure.keys, arrays, strict=True):
            name = labelled(key)
            module = array_module(x)
            if not isinstance(x, (module.ndarray, np.generic)):
                raise TypeError(
                    f"{name} must be a NumPy or CuPy array, got a {type(x).__name__}; "
                    "try numpy.asarray"
                )
            if x.dtype.kind not in "fc":
                raise TypeError(
                    f"{name} has dtype {x.dtype}; expected floating-point or complex numbers: "
                    "leave out what has no gradient"
                )
            dtype = np.complex128 if x.dtype.kind == "c" else np.float64
            start, end = end, end + x.size * (1 + (dtype is np.complex128))
            self.parts.append(Part(name, slice(start, end), x.shape, dtype, module))
        if not end:
            raise ValueError("params hold no elements: there is no gradient to check")
        self.values = np.concatenate(
            [reals(x, part.dtype) for x, part in zip(arrays, self.parts, strict=True)]
        )

    def params(self) -> Any:
        """Copies of the parameters, as they are in `values`, in the structure they came in."""
        return self.rebuild([p.module.array(p.array(self.values)) for p in self.parts])

    def gradient(self, grads: Any) -> tuple[np.ndarray, float]:
        """Gradients as a vector like `values`, and the rounding unit of their coarsest dtype.

        None gives zeros. Raises where a gradient does not fit its parameter or is not finite.
        """
        vector, unit = np.zeros_like(self.values), FLOAT64
        for part, given in zip(self.parts, self.structure.flatten(grads), strict=True):
            if given is None:
                continue
            g = on_host(given)
            what = f"the gradient of {part.name}"
            if g.shape != part.shape:
                turned = f": try .reshape({part.shape})" if g.size == np.prod(part.shape) else ""
                raise ValueError(
                    f"{what} has shape {g.shape}; expected {part.shape}, as it has{turned}"
                )
            if g.dtype.kind not in "fiu" and not (g.dtype.kind == "c" == part.dtype(0).dtype.kind):
                kinds = "real" if part.dtype is np.float64 else "real or complex"
                raise TypeError(f"{what} has dtype {g.dtype}; expected {kinds} numbers")
            bad = np.argwhere(~np.isfinite(g))
            if len(bad):
                raise ValueError(
                    f"{what} has NaN or infinity in {len(bad)} of {g.size} elements, "
                    f"first at {bad[0].tolist()}"
                )
            vector[part.place] = reals(g, part.dtype)
            if g.dtype.kind in "fc":
                unit = max(unit, float(np.finfo(g.dtype).eps))
        return vector, unit


def reals(x: Any, dtype: type) -> np.ndarray:
    """The elements of `x` as a new vector of float64, in C order."""
    return np.array(on_host(x), dtype, order="C").reshape(-1).view(np.float64)


def read(params: Any) -> tuple[Structure, list[Any], Callable[[Sequence[Any]], Any]]:
    """The structure of `params`, its arrays in order, and what puts others in their place."""
    structure, arrays, groups = structure_of(params)
    if not isinstance(structure, Grouped):
        return structure, arrays, structure.unflatten

    def rebuild(flat: Sequence[Any]) -> Any:
        parts = [structure.unflatten(flat)] if structure.lone else structure.unflatten(flat)
        rebuilt = [{**group, "params": part} for group, part in zip(groups, parts, strict=True)]
        return rebuilt[0] if structure.lone else rebuilt

    return structure, arrays, rebuild
