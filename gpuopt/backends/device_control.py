"""A step whose numbers live on the GPU: norm, skipping, step counts and scalars."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuopt.backends.control import Control, Inputs
from gpuopt.backends.device import DeviceBackend
from gpuopt.backends.device_launch import DeviceLaunch
from gpuopt.backends.device_numbers import Partials, Rows
from gpuopt.lowering.program import LoweringError

if TYPE_CHECKING:
    from gpuopt.options import Options


class DeviceControl(Control):
    """The launches of a plan on one or several devices.

    Each device works out the same decision from the same partial sums, and so needs no other.
    """

    def __init__(self, backend: DeviceBackend, launches: Sequence[DeviceLaunch]) -> None:
        self.backend = backend
        self.launches = sorted(launches, key=lambda launch: launch.device)
        self.order = [self.launches.index(launch) for launch in launches]
        self.in_charge = self.captured = False
        self.marks: list[Any] = []
        self.kept: list[Any] = []  # arrays whose addresses are in a graph
        self.grads: Sequence[Any] = ()  # and the gradients
        self.stream: Any = None  # on which the last step was captured
        self.devices = sorted({launch.device for launch in launches})
        self.partials = Partials(backend, self.launches)
        self.results, self.rows = {}, []
        self.refusal: LoweringError | None = None
        for device in self.devices:
            with backend.on(device):
                self.results[device] = backend.empty(3, np.float64)
        try:
            for launch in self.launches:
                with backend.on(launch.device):
                    self.rows.append(Rows(backend, launch))
        except LoweringError as error:  # plain steps do without
            self.refusal = error
        self.marks = self.mark_all()  # of what may still use the memory that was just allocated

    def needed(self, options: "Options") -> bool:
        return self.in_charge or options.on_device or self.capturing() is not None

    def capturing(self) -> Any:
        return self.backend.capturing_on(self.devices)

    def run(self, inputs: Sequence[Inputs], options: "Options") -> None:
        stream = self.capturing()
        self.check(inputs, options, stream)
        scalers = {device: self.scaler_on(device, options) for device in self.devices}
        for launch in self.launches:
            with self.backend.on(launch.device):
                launch.send_addresses()
        for k, launch in enumerate(self.launches):
            with self.backend.on(launch.device):
                given = inputs[self.order.index(k)]
                self.rows[k].send(given, not self.in_charge, now=stream is not None)
        if options.measures:
            self.partials.measure()
        for k, launch in enumerate(self.launches):
            with self.backend.on(launch.device):
                self.decide(k, options, scalers[launch.device])
        for launch in self.launches:
            with self.backend.on(launch.device):
                launch.sweep()
            launch.held = []
        self.marks = [] if stream is not None else self.mark_all()
        carries = any(rows.carries for rows in self.rows)
        self.in_charge |= options.may_skip or carries
        if stream is not None:
            self.stream, self.captured, self.in_charge = stream, True, True
            self.kept += [options.scale_array, options.found_inf_array, *scalers.values()]

    def mark_all(self) -> list[Any]:
        marks = []
        for device in self.devices:
            with self.backend.on(device):
                marks.append(self.backend.mark())
        return marks

    def check(self, inputs: Sequence[Inputs], options: "Options", stream: Any) -> None:
        """Raise what there is to raise, before anything is launched."""
        if self.refusal is not None:
            raise self.refusal
        scaler = options.scaler
        if scaler is not None and scaler.devices and scaler.devices != set(self.devices):
            raise ValueError(
                f"this LossScaler has its scale on devices {sorted(scaler.devices)}, but the "
                f"gradients lie on {self.devices}; use one for each set of devices"
            )
        for name, array, instead in (
            ("loss_scale", options.scale_array, "pass a number or a LossScaler, or copy it there"),
            ("found_inf", options.found_inf_array, "use one optimizer for each device"),
        ):
            on = set() if array is None else {self.backend.memory(array).device}
            if on and self.devices and on != set(self.devices):
                where = " and ".join(map(str, self.devices))
                raise ValueError(
                    f"{name} lies on device {on.pop()}, the parameters on {where}; {instead}"
                )
        moved = any(launch.moved for launch in self.launches)
        if self.captured and moved:
            raise RuntimeError(
                "a step of this optimizer was captured in a graph, which reads the gradients where "
                "they were; copy the new ones into those arrays"
            )
        if stream is None:
            return
        if len(self.devices) > 1:
            raise RuntimeError("a step on several devices cannot be captured in one graph")
        if self.captured and any(
            not np.array_equal(inputs[k].knobs, self.rows[n].knobs_sent)
            for k, n in enumerate(self.order)
        ):
            raise RuntimeError(
                "the learning rate has changed since the first capture, and replays of that graph "
                "may be using it; set opt.lr to a number before another capture"
            )
        if moved or (scaler and not scaler.devices):
            raise RuntimeError(
                "before a step is captured, take one with the same gradient arrays and options"
            )
        for mark in self.marks:
            self.backend.wait(mark)  # the numbers that are to be sent may still be in use

    def scaler_on(self, device: int, options: "Options") -> Any:
        """The loss scale and its streak on a device, if a LossScaler gives it."""
        if options.scaler is None:
            return None
        with self.backend.on(device):
            return options.scaler.array(device, self.backend.to_device, self.backend.read)

    def decide(self, k: int, options: "Options", scale_and_streak: Any) -> None:
        """Launch what works out the scalars of launch k, and counts its steps."""
        launch, rows, device = self.launches[k], self.rows[k], self.launches[k].device
        last = launch is [x for x in self.launches if x.device == device][-1]
        limit = min(options.max_value, float(np.finfo(launch.real).max))  # as `Sweep.fill` has it
        scaler_at = 0
        growth = backoff = interval = 1.0
        if options.scaler is not None:
            scaler = options.scaler
            scaler_at = self.backend.memory(scale_and_streak).address
            growth, backoff = scaler.growth_factor, scaler.backoff_factor
            interval = scaler.growth_interval
        rows.kernel(
            1,
            (
                self.partials.on[device],
                self.partials.total if options.measures else np.int64(0),
                launch.table.target,
                rows.times.target,
                rows.knobs.target,
                np.int64(launch.rows),
                np.float64(np.inf if options.max_norm is None else options.max_norm),
                np.float64(limit),
                np.float64(options.scale or 1.0),
                *self.place(options.scale_array),
                *self.place(options.found_inf_array),
                np.int64(options.skip_nonfinite),
                np.int64(scaler_at),
                np.float64(growth),
                np.float64(backoff),
                np.float64(interval),
                np.int64(last),
                self.results[device],
            ),
        )

    def place(self, number: Any) -> tuple[np.int64, np.int64]:
        """The address of a number on a device, or 0 for None; and whether it is a float64."""
        if number is None:
            return np.int64(0), np.int64(False)
        memory = self.backend.memory(number)
        return np.int64(memory.address), np.int64(memory.dtype.itemsize == 8)

    def push(self, inputs: Sequence[Inputs]) -> None:
        for k, launch in enumerate(self.launches):
            with self.backend.on(launch.device), self.backend.after(self.stream):
                self.rows[k].send(inputs[self.order.index(k)], False, now=False)

    def keep(self, grads: Sequence[Any]) -> None:
        self.grads = grads

    def times(self) -> list[np.ndarray]:
        return [self.rows[k].read_times() for k in self.order]

    def settled(self) -> None:
        self.in_charge = self.captured

    def grad_norm(self) -> float:
        if not self.devices:
            return 0.0
        return float(self.backend.read(self.results[self.devices[0]])[0])
