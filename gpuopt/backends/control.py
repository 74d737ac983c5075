"""The protocol of a step whose numbers live on a GPU."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from gpuopt.options import Options


class Control(ABC):
    """The numbers of a step that live on a GPU: norm, skipping, step counts, scalars.

    in_charge: whether the host can only guess how many steps were taken, because some may have been
    skipped or replayed. captured: whether a graph holds one of the steps.
    """

    in_charge: bool
    captured: bool

    @abstractmethod
    def needed(self, options: "Options") -> bool:
        """Whether a step with these options must be `run` here, not launch by launch."""

    @abstractmethod
    def run(self, inputs: "Sequence[Inputs]", options: "Options") -> None:
        """Run a whole step: norm, decision, scalars and sweeps. Waits for nothing."""

    @abstractmethod
    def keep(self, grads: Sequence[Any]) -> None:
        """Keep these gradients alive: a graph reads them."""

    @abstractmethod
    def push(self, inputs: "Sequence[Inputs]") -> None:
        """Have steps that were captured use these hyper-parameters when they are replayed."""

    @abstractmethod
    def times(self) -> list[np.ndarray]:
        """For each launch, (rows, 1 + carried): the step count of every row and the numbers that
        the rule carries. Waits for the device."""

    @abstractmethod
    def settled(self) -> None:
        """The host has taken over the counts that `times` gave."""

    @abstractmethod
    def grad_norm(self) -> float:
        """The norm that the last step found. Waits for the device."""


class Inputs(NamedTuple):
    """What the host tells a GPU about the rows of a launch: knobs (rows, knobs) in float64, the
    learning rate and the rule's hyper-parameters, and times (rows, 1 + carried), the step counts so
    far with the numbers that the rule carries."""

    knobs: np.ndarray
    times: np.ndarray
