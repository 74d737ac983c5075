"""A sweep of a plan: one launch, and the scalars that it is given at every step."""

import struct
from typing import NamedTuple

import numpy as np

from gpuopt.backends.base import Launch
from gpuopt.backends.control import Inputs
from gpuopt.counts import Counts
from gpuopt.groups import Group
from gpuopt.options import Parts
from gpuopt.rules.base import Rule
from gpuopt.rules.knobs import knob_values


class Row(NamedTuple):
    """Parameters that share a step's scalars: their group, and one of them for its step count."""

    group: Group
    param: int


class Sweep(NamedTuple):
    """One launch, and its table of scalars: a row of `rows` by a scalar of `names`."""

    launch: Launch
    rows: list[Row]
    names: list[str]
    table: np.ndarray
    parts: Parts
    carried: dict[str, np.ndarray]  # for every row, what the rule carries after the step
    wholes: dict[int, tuple[Rule, Rule]]  # for every row, its group's rule and that with the parts
    form: struct.Struct  # of a row of the table
    memory: memoryview  # the table's

    def fill(self, counts: Counts, **whole: float) -> None:
        """Work out the scalars of the next step; `whole` is what a WholeStep's depend on."""
        if self.parts.limited:  # no bound that the table can hold is no bound
            whole["limit"] = min(whole["limit"], float(np.finfo(self.table.dtype).max))
        step, size = counts.taken + 1, self.form.size
        for k, (group, param) in enumerate(self.rows):
            rule = self.wholes.get(k)
            if rule is None or rule[0] is not group.rule:
                rule = self.wholes[k] = group.rule, self.parts.around(group.rule)
            given = {**counts.carried_by(param), **whole} if self.carried else whole
            scalars = rule[1].scalars(group.lr_at(step), counts.steps_of(param) + 1, **given)
            if [*scalars] != self.names:
                raise ValueError(
                    f"{type(group.rule).__name__}.scalars gave {list(scalars)} at this step, and "
                    f"{self.names} before; give the same names in the same order at every step"
                )
            try:  # a quarter of the time of NumPy's assignment
                self.form.pack_into(self.memory, k * size, *scalars.values())
            except (struct.error, OverflowError):  # NumPy: infinity, or what is wrong
                self.table[k] = list(scalars.values())
            for name, values in self.carried.items():
                values[k] = scalars[name]

    def inputs(self, counts: Counts) -> Inputs:
        """What a GPU needs to work out the same scalars itself."""
        knobs = [
            [group.lr_at(counts.taken + 1), *knob_values(self.parts.around(group.rule))]
            for group, _ in self.rows
        ]
        times = [
            [counts.steps_of(param), *(counts.carried[name][param] for name in self.carried)]
            for _, param in self.rows
        ]
        return Inputs(np.array(knobs, np.float64), np.array(times, np.float64))

    def carry(self, counts: Counts) -> None:
        """Hand what the rule carries from the rows to their parameters."""
        for name, values in self.carried.items():
            counts.carried[name][self.launch.work.at] = values[self.launch.work.rows]
