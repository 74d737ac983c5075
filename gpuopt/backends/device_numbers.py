"""The numbers of a step that a GPU keeps: partial sums of the norm, step counts, knobs."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuopt.backends.control import Inputs
from gpuopt.backends.device import DeviceBackend
from gpuopt.backends.device_launch import DeviceLaunch
from gpuopt.lowering.scalars import trace_scalars


class Rows:
    """The rows of a launch on the device: knobs and step counts, and the kernel that turns them
    into scalars. What is there already is not sent again."""

    def __init__(self, backend: DeviceBackend, launch: DeviceLaunch) -> None:
        self.backend, program = backend, trace_scalars(launch.work.rule)
        self.kernel = backend.control_kernel(program, launch.real.name)
        self.knobs = backend.upload((launch.rows, len(program.knobs)), np.float64)
        self.carries = bool(program.carried)
        self.times = backend.upload((launch.rows, 1 + len(program.carried)), np.float64)
        self.sent: Inputs | None = None

    @property
    def knobs_sent(self) -> np.ndarray | None:
        return self.sent.knobs if self.sent else None

    def send(self, inputs: Inputs, count_too: bool, now: bool) -> None:
        """Bring the device up to date; the step counts as well if the host knows better."""
        old = self.sent
        if old is None or not np.array_equal(old.knobs, inputs.knobs):
            (self.knobs.send_now if now else self.knobs.send)(inputs.knobs)
        if old is None or (count_too and not np.array_equal(old.times, inputs.times)):
            (self.times.send_now if now else self.times.send)(inputs.times)
        self.sent = Inputs(inputs.knobs, inputs.times + 1)

    def read_times(self) -> np.ndarray:
        """The step counts on the device, which may have skipped steps; waits for it."""
        times = self.backend.read(self.times.target)
        if self.sent is not None:
            self.sent = self.sent._replace(times=times)
        return times


class Partials:
    """Partial sums of all gradients' squares, from every device on every device: so each works out
    the same norm, in the same order."""

    def __init__(self, backend: DeviceBackend, launches: Sequence[DeviceLaunch]) -> None:
        self.backend, self.launches = backend, launches
        self.devices = sorted({launch.device for launch in launches})
        self.ends = np.cumsum([0, *[int(launch.count) for launch in launches]])
        self.total = np.int64(self.ends[-1])
        self.on: dict[int, Any] = {}
        for device in self.devices:
            with backend.on(device):
                self.on[device] = backend.empty(2 * int(self.total), np.float64)

    def part(self, device: int, k: int) -> Any:
        """Those of launch k, as they lie on a device."""
        return self.on[device][2 * self.ends[k] : 2 * self.ends[k + 1]]

    def measure(self) -> None:
        """Launch the norms, and bring the results to all devices."""
        for k, launch in enumerate(self.launches):
            with self.backend.on(launch.device):
                launch.measure(self.part(launch.device, k))
        if len(self.devices) == 1:
            return
        self.backend.meet(self.devices)
        for device in self.devices:
            with self.backend.on(device):
                for k, launch in enumerate(self.launches):
                    if launch.device != device and launch.count:
                        self.backend.copy_over(self.part(device, k), self.part(launch.device, k))
        self.backend.meet(self.devices)  # nobody writes what another still reads
