"""A plan: what a step does, worked out once and used as long as the gradients lie as they did."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from gpuopt.backends.base import Backend
from gpuopt.backends.host import HostLaunch
from gpuopt.counts import Counts
from gpuopt.options import BARE, Options, Parts, clip_coefficient
from gpuopt.sweep import Sweep

if TYPE_CHECKING:
    from gpuopt.parameters import Param


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
        for sweep in self.sweeps:  # noqa: SIM110  no generator: this is asked at every step
            if not sweep.launch.follow(grads):
                return False
        return True

    def relocate(self, addresses: np.ndarray) -> bool:
        """Take gradients that lie as the plan's do, but at these addresses, one per parameter (any
        number for one without a gradient); False if they need a new plan."""
        for sweep in self.sweeps:  # noqa: SIM110
            if not sweep.launch.relocate(addresses):
                return False
        return True

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
        counts.taken += int(times[0][0, 0]) - counts.steps_of(self.sweeps[0].rows[0].param)
        for sweep, t in zip(self.sweeps, times, strict=True):
            counts.put(sweep.launch.work.at, t[sweep.launch.work.rows, 0])
            for values, found in zip(sweep.carried.values(), t.T[1:], strict=True):
                values[:] = found
            sweep.carry(counts)
        self.control.settled()

    def push(self, counts: Counts) -> None:
        """Have captured steps use the present learning rates and hyper-parameters in a replay."""
        if self.control is not None and self.captured:
            self.control.push([sweep.inputs(counts) for sweep in self.sweeps])
