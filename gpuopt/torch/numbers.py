"""Step counts and scalar state: in PyTorch's tensors without axes, and in gpuopt's counts."""

from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np
import torch

from gpuopt.counts import Counts
from gpuopt.rules.base import Rule
from gpuopt.torch.layout import is_backed
from gpuopt.torch.state import Keys, number_dtype, numbers_of

EXACT = 2**22  # steps to which float32, PyTorch's dtype of a step count, is trusted to count


class Run:
    """Numbers of PyTorch's that lie side by side in memory: a step writes all of them at once."""

    def __init__(self, first: torch.Tensor, name: str, at: Sequence[int], params: int) -> None:
        """first: the first of the tensors. name: of the number; at: the positions of the parameters
        that it is of, among so many."""
        self.whole = first.detach().as_strided((len(at),), (1,))
        self.values, self.name = self.whole.numpy(), name
        self.at = slice(None) if len(at) == params else np.array(at, np.intp)
        self.last = self.values.tobytes()

    def publish(self, source: np.ndarray) -> None:
        self.values[:] = source[self.at]
        self.last = self.values.tobytes()

    def publish_around(self, source: np.ndarray) -> None:
        """Publish, but where somebody wrote another number, which the next binding takes."""
        if not is_backed(self.whole) or self.whole.data_ptr() != self.values.ctypes.data:
            return  # share_memory_() has moved them
        ours = self.values == np.frombuffer(self.last, self.values.dtype)
        np.copyto(self.values, source[self.at], where=ours, casting="unsafe")
        self.last = self.values.tobytes()


class Numbers:
    """The numbers of parameters, given the steps they took, their states ({}: none yet) and rules.

    A tensor that is in a state stays there and is written in place: other processes may share its
    memory. Missing ones are made in one tensor.
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
        names = {"step": "step"} if keys.counted else {}
        names |= {name: keys.scalars[name] for name in self.counts.carried}
        with_state = {k: state for k, state in enumerate(states) if state}
        self.runs: list[Run] = []
        for name, key in names.items():
            add_missing(with_state, key, self.source(name), self.dtypes(name))
            numbers = {k: state[key] for k, state in with_state.items()}
            self.runs += [
                Run(numbers[at[0]], name, at, len(states)) for at in side_by_side(numbers)
            ]
        self.only_steps = [run.name for run in self.runs] == ["step"]

    def source(self, name: str) -> np.ndarray:
        """A number, of all parameters."""
        return self.counts.steps if name == "step" else self.counts.carried[name]

    def dtypes(self, name: str) -> list[torch.dtype]:
        """The dtypes in which a number is exact; the first is that of a new tensor."""
        if name != "step":  # float32 would round a product
            return [torch.float64]
        exact = [torch.float64, torch.int64]
        wide = self.counts.steps.max(initial=0) >= EXACT
        return exact if wide else [number_dtype(), torch.float32, *exact]

    @property
    def holds(self) -> bool:
        """Whether the tensors show what was last put there, and can show more."""
        for run in self.runs:
            if run.values.tobytes() != run.last:
                return False
        return self.counts.taken < EXACT

    def publish(self) -> None:
        """Show the numbers."""
        together = self.counts.together
        if together is not None and self.only_steps:
            run = self.runs[0]
            run.values.fill(together)
            run.last = run.values.tobytes()
            return
        for run in self.runs:
            run.publish(self.source(run.name))

    def publish_around(self) -> None:
        """Show the numbers, but where somebody has written or moved them since the last step."""
        for run in self.runs:
            run.publish_around(self.source(run.name))


def add_missing(
    states: dict[int, dict[str, Any]], key: str, values: np.ndarray, dtypes: Sequence[torch.dtype]
) -> None:
    """Give every state a tensor for its number: the one that it has, if a step can write there what
    it counts, else one of a new tensor that holds all such."""
    missing, places = [], set()
    for k, state in states.items():
        present = state.get(key)
        if is_number(present) and present.dtype in dtypes and present.data_ptr() not in places:
            places.add(present.data_ptr())
        else:
            missing.append(k)
    for k, number in zip(missing, numbers_of(values[missing], dtypes[0]), strict=True):
        states[k][key] = number


def is_number(value: Any) -> TypeGuard[torch.Tensor]:
    """Whether a value in a state is a tensor of one element in the CPU's memory."""
    plain = type(value) in (torch.Tensor, torch.nn.Parameter)
    plain = plain and value.device.type == "cpu" and value.layout is torch.strided
    return plain and value.numel() == 1 and is_backed(value)


def side_by_side(numbers: dict[int, torch.Tensor]) -> list[list[int]]:
    """The keys of tensors of one element, parted where one does not follow the one before it in
    the same storage."""
    found: list[list[int]] = []
    before = None
    for k, number in numbers.items():
        storage, dtype = number.untyped_storage()._cdata, number.dtype
        if (storage, dtype, number.storage_offset()) == before:
            found[-1].append(k)
        else:
            found.append([k])
        before = storage, dtype, number.storage_offset() + 1
    return found
