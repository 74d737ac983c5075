"""What a row of a measurement is about: a rule, a list of parameters, a dtype and a device."""

import dataclasses
import inspect
import math
from dataclasses import dataclass
from typing import Any

from gpuopt import optimizers, rules
from gpuopt.errors import InputError

Shapes = list[tuple[int, ...]]
DTYPES = ("float32", "float64", "float16", "bfloat16")
RULES = {cls.__name__: cls for cls in rules.ALL}
LR = 1e-2  # of a rule that has none by default


@dataclass(frozen=True)
class Problem:
    """One step of `rule` over parameters of these shapes.

    list: what the shapes are called. device: "cpu", "cuda" or "cuda:1". copies: on a GPU, the
    gradients come from the host before every step and the parameters go back after it. seed: of the
    numbers. Raises InputError for what there is not.
    """

    rule: str
    list: str
    shapes: Shapes
    dtype: str = "float32"
    device: str = "cpu"
    copies: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise InputError(f"no rule {self.rule!r}; there are {', '.join(RULES)}")
        if self.dtype not in DTYPES:
            raise InputError(f"no dtype {self.dtype!r}; there are {', '.join(DTYPES)}")
        kind, _, index = self.device.partition(":")
        if kind not in ("cpu", "cuda") or (index and not (kind == "cuda" and index.isdecimal())):
            raise InputError(f"no device {self.device!r}; give cpu, cuda or cuda:0")
        if self.copies and not self.on_gpu:
            raise InputError("copies are between a GPU and the host; give a device such as cuda:0")

    @property
    def on_gpu(self) -> bool:
        return self.device != "cpu"

    @property
    def index(self) -> int:
        """The GPU's number."""
        return int(self.device.partition(":")[2] or 0)

    @property
    def sizes(self) -> "list[int]":
        return [math.prod(shape) for shape in self.shapes]

    @property
    def settings(self) -> dict[str, Any]:
        """lr and the rule's fields, by gpuopt's defaults: every candidate is given these."""
        lr = inspect.signature(getattr(optimizers, self.rule)).parameters["lr"].default
        fields = dataclasses.asdict(self.make_rule())
        return {"lr": LR if lr is inspect.Parameter.empty else lr, **fields}

    def make_rule(self) -> rules.Rule:
        """The rule with its defaults, which are those of gpuopt's constructor of its name."""
        return RULES[self.rule]()
