"""Step counts and scalar state: in PyTorch's tensors without axes, and in gpuopt's counts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from gpuopt.counts import Counts
from gpuopt.rules.base import Rule
from gpuopt.torch.state import Keys

EXACT = 2**22  # steps to which float32, PyTorch's dtype of a step count, is trusted to count


class Numbers:
    """The numbers of parameters, given the steps they took, their states ({}: none yet) and rules.

    The tensors that show one number of all parameters lie in one tensor: a step sets them at once.
    """

    def __init__(
        self,
        taken: Sequence[int],
        states: Sequence[dict[str, Any]],
        rules: Sequence[Rule],
        keys: Keys,
    ) -> None:
        self.counts = Counts([rule.carried for rule in rules])
        self.counts.put(slice(None), taken)
        for name, values in self.counts.carried.items():
            for k, state in enumerate(states):
                values[k] = state.get(keys.scalars[name], values[k])
        at = [k for k, state in enumerate(states) if state]
        self.at = slice(None) if len(at) == len(states) else np.array(at, np.intp)
        names = ["step"] * keys.counted + [keys.scalars[name] for name in self.counts.carried]
        self.counted = keys.counted
        self.only_steps = keys.counted and not keys.scalars
        self.shown: list[np.ndarray] = []  # a tensor's memory for each of the sources
        self.wholes: list[torch.Tensor] = []
        wide = self.counts.steps.max(initial=0) >= EXACT
        for key, source in zip(names, self.sources, strict=True):
            dtype = number_dtype() if key == "step" and not wide else torch.float64
            whole = torch.tensor(source[self.at], dtype=dtype)  # a product is not exact in float32
            for k, number in zip(at, whole.unbind(), strict=True):
                states[k][key] = number
            self.shown.append(whole.numpy())
            self.wholes.append(whole)
        self.last = [values.tobytes() for values in self.shown]

    @property
    def sources(self) -> list[np.ndarray]:
        """What is shown, for all parameters."""
        return [self.counts.steps] * self.counted + list(self.counts.carried.values())

    @property
    def holds(self) -> bool:
        """Whether the tensors show what was last put there, and can show more."""
        now = [values.tobytes() for values in self.shown]
        return now == self.last and self.counts.taken < EXACT

    def publish(self) -> None:
        """Show the numbers."""
        together = self.counts.together
        if together is not None and self.only_steps:
            self.shown[0].fill(together)
        else:
            for values, source in zip(self.shown, self.sources, strict=True):
                values[:] = source[self.at]
        self.last = [values.tobytes() for values in self.shown]

    def publish_around(self) -> None:
        """Show the numbers, but where somebody wrote another, which the next binding takes."""
        for values, source, last, whole in zip(
            self.shown, self.sources, self.last, self.wholes, strict=True
        ):
            if whole.data_ptr() != values.ctypes.data:  # share_memory_() has moved it
                continue
            ours = values == np.frombuffer(last, values.dtype)
            np.copyto(values, source[self.at], where=ours, casting="same_kind")


def number_dtype() -> torch.dtype:
    """In which PyTorch keeps a step count."""
    return torch.float64 if torch.get_default_dtype() == torch.float64 else torch.float32
