"""A sweep of a plan: one launch, and the scalars that it is given at every step."""

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

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


def shared_rows(
    groups: Sequence[Group], at: np.ndarray, counts: Counts
) -> tuple[list[Row], np.ndarray]:
    """Rows for the parameters `at`, of these groups, and the row of each. Parameters of a group
    share one if they have taken as many steps and carry the same numbers."""
    carried = [values[at].tolist() for values in counts.carried.values()]
    keys = zip(map(id, groups), counts.steps[at].tolist(), *carried, strict=True)
    numbers: dict[tuple[Any, ...], int] = {}
    row_of = [numbers.setdefault(key, len(numbers)) for key in keys]
    firsts = dict(zip(reversed(row_of), reversed(range(len(row_of))), strict=True))
    rows = [Row(groups[firsts[n]], int(at[firsts[n]])) for n in range(len(numbers))]
    return rows, np.array(row_of, np.intp)


class Sweep:
    """One launch over the parameters `at`, and its table of scalars: a row of `rows` by a scalar of
    `names`."""

    def __init__(
        self,
        launch: Launch,
        groups: Sequence[Group],
        rows: list[Row],
        row_of: np.ndarray,
        names: list[str],
        parts: Parts,
    ) -> None:
        self.launch, self.groups, self.names, self.parts = launch, groups, names, parts
        self.distinct_groups = list({id(group): group for group in groups}.values())
        # for every group, a rule that has the formula of the launch
        self.traced = {id(group): group.rule for group in self.distinct_groups}
        self.form = struct.Struct(f"={len(names)}{launch.real.char}")  # of a row of the table
        self.at = self.active_at = np.array(launch.work.at, np.intp)
        self.take_rows(rows, row_of)

    def take_rows(self, rows: list[Row], row_of: np.ndarray) -> None:
        """Use these rows; `row_of`: the row of each active parameter."""
        self.rows, self.row_of = rows, row_of
        self.table = np.empty((len(rows), len(self.names)), self.launch.real)
        self.memory = self.table.data
        # for every row, what the rule carries after the step
        self.carried = {name: np.empty(len(rows)) for name in self.launch.work.rule.carried}
        # for every row, its group's rule, and that with the parts
        self.wholes: dict[int, tuple[Rule, Rule]] = {}

    def activate(self, counts: Counts) -> None:
        """Leave out tensors without a gradient in this step, and find the rows of the others."""
        active = self.launch.active
        self.active_at = self.at[active]
        groups = [group for group, yes in zip(self.groups, active.tolist(), strict=True) if yes]
        rows, row_of = shared_rows(groups, self.active_at, counts)
        self.take_rows(rows, row_of)
        self.launch.activate(row_of)

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
            counts.carried[name][self.active_at] = values[self.row_of]
