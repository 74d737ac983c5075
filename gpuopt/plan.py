"""A plan: what a step does, worked out once and used as long as the gradients lie as they did."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from gpuopt.backends.base import Backend, Launch
from gpuopt.backends.control import Inputs
from gpuopt.backends.host import HostLaunch
from gpuopt.counts import Counts
from gpuopt.groups import Group
from gpuopt.options import BARE, Options, Parts, clip_coefficient
from gpuopt.rules.base import Rule
from gpuopt.rules.knobs import knob_values

if TYPE_CHECKING:
    from gpuopt.parameters import Param


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

    def fill(self, counts: Counts, **whole: float) -> None:
        """Work out the scalars of the next step; `whole` is what a WholeStep's depend on."""
        if self.parts.limited:  # no bound that the table can hold is no bound
            whole["limit"] = min(whole["limit"], float(np.finfo(self.table.dtype).max))
        for k, (group, param) in enumerate(self.rows):
            given, rule = self.wholes.get(k, (None, group.rule))
            if given is not group.rule:
                rule = self.parts.around(group.rule)
                self.wholes[k] = group.rule, rule
            t = int(counts.steps[param]) + 1
            before = counts.carried_by(param) if self.carried else {}
            scalars = rule.scalars(group.lr_at(counts.taken + 1), t, **before, **whole)
            if list(scalars) != self.names:
                raise ValueError(
                    f"{type(group.rule).__name__}.scalars gave {list(scalars)} at this step, and "
                    f"{self.names} before; give the same names in the same order at every step"
                )
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
            [counts.steps[param], *(counts.carried[name][param] for name in self.carried)]
            for _, param in self.rows
        ]
        return Inputs(np.array(knobs, np.float64), np.array(times, np.float64))

    def carry(self, counts: Counts) -> None:
        """Hand what the rule carries from the rows to their parameters."""
        for name, values in self.carried.items():
            counts.carried[name][self.launch.work.at] = values[self.launch.work.rows]


class Plan:
    """The launches of a step."""

    def __init__(
        self,
        backend: Backend,
        sweeps: list[Sweep],
        active: list[int],
        count: int,
        fresh: list[tuple["Param", dict]],
        parts: Parts,
    ) -> None:
        self.backend, self.sweeps, self.parts, self.bare = backend, sweeps, parts, parts == BARE
        self.fresh = fresh  # state made for this plan, handed to its parameters at the first run
        everyone = len(active) == count
        self.active = slice(None) if everyone else np.array(active, np.intp)
        self.idle = sorted(set(range(count)) - set(active))
        self.control = backend.control([sweep.launch for sweep in sweeps])
        self.norm: float | Callable[[], float] | None = None  # of the last step

    def follow(self, grads: tuple[Any, ...]) -> bool:
        """Take this step's gradients; False if they need a new plan."""
        for k in self.idle:
            if grads[k] is not None:
                return False
        return all(sweep.launch.follow(grads) for sweep in self.sweeps)

    def relocate(self, addresses: np.ndarray) -> bool:
        """Take gradients that lie as the plan's do, but at these addresses, one per parameter (any
        number for one without a gradient); False if they need a new plan."""
        return all(sweep.launch.relocate(addresses) for sweep in self.sweeps)

    def run(self, grads: tuple[Any, ...], counts: Counts, options: Options) -> None:
        """Run a step, and count it. Scalars are all worked out before the first launch: a schedule
        that raises changes nothing."""
        if self.control is not None and self.control.needed(options):
            self.control.run([sweep.inputs(counts) for sweep in self.sweeps], options)
            self.norm = self.control.grad_norm if options.measures else None
            if self.control.captured:
                self.control.keep(grads)
        elif not self.run_on_host(grads, counts, options):
            return
        while self.fresh:
            param, param.state = self.fresh.pop()
        counts.advance(self.active)

    def run_on_host(self, grads: tuple[Any, ...], counts: Counts, options: Options) -> bool:
        """Decide, and launch the sweeps; False for a step that is skipped."""
        scale = options.scaler.scale if options.scaler else options.scale or 1.0
        norm, found = self.measure(scale) if options.measures else (None, False)
        skipped = found and options.skip_nonfinite
        if not skipped:
            whole = {}
            if not self.bare:
                factor = clip_coefficient(norm or 0.0, options.max_norm, options.norm_eps) / scale
                whole = {"factor": factor, "limit": options.max_value}
            for sweep in self.sweeps:
                sweep.fill(counts, **whole)
            for sweep in self.sweeps:
                sweep.launch.run(sweep.table)
                sweep.carry(counts)
        elif options.zero_grads:
            for grad in grads:
                if grad is not None:
                    self.backend.assign(self.backend.view(grad, "the gradient"), 0)
        for sweep in self.sweeps:
            sweep.launch.held = []
        if options.scaler and self.sweeps:
            options.scaler.update(found)
        self.norm = norm
        return not skipped

    def measure(self, scale: float) -> tuple[float, bool]:
        """The norm of all unscaled gradients, and whether one of them is not finite.

        The sum over blocks is exact, so it does not depend on the order of the parameters.
        """
        squares, strange = [], []
        for sweep in self.sweeps:
            sums = cast(HostLaunch, sweep.launch).square_sums().T.tolist()
            squares += sums[0]
            strange += sums[1]
        try:
            total = math.fsum(squares)
        except OverflowError:  # of float64 gradients beyond 1e154
            total = math.inf
        return math.sqrt(total) / scale, any(strange)

    def fits(self, counts: Counts) -> bool:
        """Whether parameters that share a row of scalars have still taken as many steps. Others
        may have been taken without this plan, by some of them."""
        for sweep in self.sweeps:
            leaders = np.array([row.param for row in sweep.rows], np.intp)[sweep.launch.work.rows]
            at = sweep.launch.work.at
            for values in (counts.steps, *counts.carried.values()):
                if not np.array_equal(values[at], values[leaders], equal_nan=True):
                    return False
        return True

    def rest(self) -> None:
        """Keep no gradient alive: another plan takes over for some steps."""
        for sweep in self.sweeps:
            sweep.launch.rest()

    @property
    def captured(self) -> bool:
        """Whether a graph holds one of its steps, and so the addresses in its tables."""
        return self.control is not None and self.control.captured

    def settle(self, counts: Counts) -> None:
        """Correct the host's guess of the steps taken by what a GPU has counted; waits for it."""
        if self.control is None or not self.control.in_charge or not self.sweeps:
            return
        times = self.control.times()
        counts.taken += int(times[0][0, 0]) - int(counts.steps[self.sweeps[0].rows[0].param])
        for sweep, t in zip(self.sweeps, times, strict=True):
            counts.steps[sweep.launch.work.at] = t[sweep.launch.work.rows, 0]
            for values, found in zip(sweep.carried.values(), t.T[1:], strict=True):
                values[:] = found
            sweep.carry(counts)
        self.control.settled()

    def push(self, counts: Counts) -> None:
        """Have captured steps use the present learning rates and hyper-parameters in a replay."""
        if self.control is not None and self.captured:
            self.control.push([sweep.inputs(counts) for sweep in self.sweeps])
