"""A plan: what a step does, worked out once and used as long as the gradients lie as they did."""

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from gpuopt.backends.base import Backend
from gpuopt.backends.host import HostLaunch
from gpuopt.counts import Counts
from gpuopt.options import BARE, Options, Parts, clip_coefficient
from gpuopt.rules.base import Rule
from gpuopt.sweep import Sweep

if TYPE_CHECKING:
    from gpuopt.parameters import Param


class Plan:
    """The launches of a step.

    On the CPU it may have parameters without a gradient in this step: their tensors are left out.
    """

    def __init__(
        self,
        backend: Backend,
        sweeps: list[Sweep],
        count: int,
        fresh: list[tuple["Param", dict]],
        parts: Parts,
    ) -> None:
        self.backend, self.sweeps, self.parts, self.bare = backend, sweeps, parts, parts == BARE
        self.fresh = fresh  # state made for this plan, handed to its parameters at the first run
        self.count = count
        self.idle = sorted(set(range(count)).difference(*(sweep.at.tolist() for sweep in sweeps)))
        self.rows_hold = False  # whether the rows of all sweeps suit the step counts
        self.control = backend.control([sweep.launch for sweep in sweeps])
        self.find_active()
        # a step between `prepare` and the end of `run`; what a GPU is told of it
        self.coming: tuple[Any, ...] | None = None
        self.inputs: list[Any] | None = None

    def find_active(self) -> None:
        """Which parameters have a gradient in this step: positions, or a slice for all."""
        active = np.concatenate([np.empty(0, np.intp), *(s.active_at for s in self.sweeps)])
        self.active = slice(None) if len(active) == self.count else active

    def follow(self, grads: tuple[Any, ...]) -> bool:
        """Take this step's gradients; False if they need a new plan."""
        for k in self.idle:
            if grads[k] is not None:
                return False
        for sweep in self.sweeps:
            if not sweep.launch.follow(grads):
                return False
            if sweep.launch.changed:
                self.rows_hold = False
        return True

    def relocate(self, addresses: np.ndarray) -> bool:
        """Take gradients of the same parameters as in the last step, which lie as they did, but at
        these addresses, one per parameter (any number for one without a gradient); False if they
        need a new plan."""
        for sweep in self.sweeps:  # noqa: SIM110
            if not sweep.launch.relocate(addresses):
                return False
        return True

    def prepare(self, grads: tuple[Any, ...], counts: Counts, options: Options) -> None:
        """Work out all that `run` needs for a step. What raises (a schedule, say) raises here, when
        nothing has changed; on a GPU also at the beginning of `run`."""
        if self.control is not None and self.control.needed(options):
            self.inputs = [sweep.inputs(counts) for sweep in self.sweeps]
            self.coming = grads, counts, options, None, None, None
            return
        self.inputs = None
        if not self.rows_hold:
            self.find_rows(counts)
        norm, found, scale = None, False, 1.0
        if not self.bare or options.measures:
            scale = options.scaler.scale if options.scaler else options.scale or 1.0
        if options.measures:
            norm, found = self.measure(scale)
        after = scaled = None
        if not (found and options.skip_nonfinite):
            whole = {}
            if not self.bare:
                factor = clip_coefficient(norm or 0.0, options.max_norm, options.norm_eps) / scale
                whole = {"factor": factor, "limit": options.max_value}
            for sweep in self.sweeps:
                sweep.fill(counts, **whole)
                sweep.launch.begin()
            after = counts.after(self.active)
        if options.scaler and self.sweeps:
            scaled = options.scaler.after(found)
        self.coming = grads, counts, options, after, scaled, norm

    def find_rows(self, counts: Counts) -> None:
        """Leave out tensors without a gradient, and share out the others among rows by their step
        counts. On a GPU a plan is for the same tensors and counts as long as it is used."""
        if self.backend.masks:
            for sweep in self.sweeps:
                sweep.activate(counts)
            self.find_active()
        self.rows_hold = True  # not before: an exception may have stopped it half-way

    def run(self) -> None:
        """Take the step that was prepared, and count it. On the CPU, called again after an
        exception has stopped it, it goes on where it was."""
        if self.coming is None:  # all is done
            return
        grads, counts, options, after, scaled, norm = self.coming
        if self.inputs is not None:
            self.coming = None
            self.run_on_device(self.inputs, grads, counts, options)
            return
        if after is not None:
            for sweep in self.sweeps:
                sweep.launch.run(sweep.table)
                if sweep.carried:
                    sweep.carry(counts)
            if self.fresh:
                self.hand_over()
            counts.take(after)
        elif options.zero_grads:
            for grad in grads:
                if grad is not None:
                    self.backend.assign(self.backend.view(grad, "the gradient"), 0)
        for sweep in self.sweeps:
            sweep.launch.let_go()
        if scaled and options.scaler:
            options.scaler.take(scaled)
        counts.norm = norm
        self.coming = None

    def run_on_device(
        self, inputs: list[Any], grads: tuple[Any, ...], counts: Counts, options: Options
    ) -> None:
        """A step that a GPU decides and counts."""
        assert self.control is not None
        self.control.run(inputs, options)
        if self.control.captured:
            self.control.keep(grads)
        self.hand_over()
        counts.take(counts.after(self.active))
        counts.norm = self.control.grad_norm if options.measures else None

    def hand_over(self) -> None:
        """Give the parameters the state that was made for this plan."""
        for param, state in self.fresh:
            param.state = state
        self.fresh = []

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

    def suits(self, grads: tuple[Any, ...], counts: Counts) -> bool:
        """Whether it can be used again, after steps that were taken without it."""
        if self.backend.masks:
            self.rows_hold = False
        elif not self.counts_match(counts):
            return False
        return self.has_formulas() and self.follow(grads)

    def counts_match(self, counts: Counts) -> bool:
        """Whether parameters that share a row of scalars have still taken as many steps."""
        for sweep in self.sweeps:
            leaders = np.array([row.param for row in sweep.rows], np.intp)[sweep.row_of]
            for values in (counts.steps, *counts.carried.values()):
                if not np.array_equal(values[sweep.at], values[leaders], equal_nan=True):
                    return False
        return True

    def has_formulas(self) -> bool:
        """Whether all groups' rules still have the formulas that the sweeps were made of."""
        for sweep in self.sweeps:
            for group in sweep.distinct_groups:
                if group.rule is not sweep.traced[id(group)]:
                    if not self.has_formula(sweep, group.rule):
                        return False
                    sweep.traced[id(group)] = group.rule
        return True

    def has_formula(self, sweep: Sweep, rule: Rule) -> bool:
        return self.backend.key(self.parts.around(rule)) == sweep.launch.work.key

    def takes(self, old: Rule, new: Rule) -> bool:
        """Whether sweeps of parameters with the rule `old` would do for another one."""
        for sweep in self.sweeps:
            if any(group.rule is old for group in sweep.groups):
                return self.has_formula(sweep, new)
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
        counts.taken += int(times[0][0, 0]) - counts.steps_of(self.sweeps[0].rows[0].param)
        for sweep, t in zip(self.sweeps, times, strict=True):
            counts.put(sweep.at, t[sweep.row_of, 0])
            for values, found in zip(sweep.carried.values(), t.T[1:], strict=True):
                values[:] = found
            sweep.carry(counts)
        self.control.settled()

    def push(self, counts: Counts) -> None:
        """Have captured steps use the present learning rates and hyper-parameters in a replay."""
        if self.control is not None and self.captured:
            self.control.push([sweep.inputs(counts) for sweep in self.sweeps])
