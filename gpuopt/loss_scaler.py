"""Dynamic loss scaling for 16-bit gradients, without waiting for the device."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuopt.checks import finite, positive

SMALLEST = float(np.finfo(np.float32).tiny)  # a scale of 0 would make every gradient NaN
LARGEST = float(np.finfo(np.float32).max)


class LossScaler:
    """A loss scale that grows while gradients stay finite, and backs off when they overflow.

        scaler = gpuopt.LossScaler()
        ...
        grads = gradients of (loss * scaler.scale)
        opt.step(grads, loss_scale=scaler)

    Such a step divides the gradients by the scale. If one of them is NaN or infinite, it is
    skipped and the scale multiplied by `backoff_factor`; after `growth_interval` steps in a row
    that were not skipped, the scale is multiplied by `growth_factor`. These are the rules and the
    defaults of torch.amp.GradScaler.

    Each step updates it. So one scaler may serve several optimizers in turn, on the same devices,
    if each has its own backward pass, with the scale as it is then; gradients of one pass that
    several optimizers step on need one scaler for each of them, or one optimizer with groups. A
    captured step keeps the factors and the interval that the scaler had.
    """

    def __init__(
        self,
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
    ) -> None:
        self._scale = in_float32("init_scale", init_scale)
        self._streak = 0
        self.growth_factor = finite("growth_factor", growth_factor)
        self.backoff_factor = positive("backoff_factor", backoff_factor)
        if self.growth_factor < 1:
            raise ValueError(f"growth_factor must be >= 1, got {growth_factor!r}")
        if self.backoff_factor > 1:
            raise ValueError(f"backoff_factor must be in (0, 1], got {backoff_factor!r}")
        self.growth_interval = whole_interval(growth_interval)
        self._arrays: dict[int, Any] = {}  # on each device [scale, streak], once it was used there
        self._read: Callable[[Any], np.ndarray] = np.asarray

    @property
    def scale(self) -> Any:
        """What to multiply the loss by. A float; after a step on a GPU a 0-d array there, which is
        the scale itself: reading its value waits for the device, multiplying by it does not."""
        for array in self._arrays.values():
            return array[:1].reshape(())
        return self._scale

    def __repr__(self) -> str:
        where = f"on GPU {sorted(self.devices)}" if self.devices else f"{self._scale!r}"
        return f"LossScaler(scale {where})"

    def after(self, found: bool) -> tuple[float, int]:
        """The scale and the streak after a step on the CPU that found a NaN or an infinity, or
        none."""
        if found:
            lower = self._scale * self.backoff_factor
            return (lower if lower >= SMALLEST else self._scale), 0
        if self._streak + 1 < self.growth_interval:
            return self._scale, self._streak + 1
        grown = self._scale * self.growth_factor
        return (grown if grown <= LARGEST else self._scale), 0

    def take(self, after: tuple[float, int]) -> None:
        """Go on with what `after` gave; may be repeated."""
        self._scale, self._streak = after

    @property
    def devices(self) -> set[int]:
        """The GPUs that hold the scale: those of the first step on a GPU that used it."""
        return set(self._arrays)

    def array(
        self, device: int, upload: Callable[[np.ndarray], Any], read: Callable[[Any], np.ndarray]
    ) -> Any:
        """[scale, streak] as float32 on a GPU, made by `upload` when first asked for; kernels
        update it from then on, and `read` gives it back to the host."""
        if device not in self._arrays:
            self._read = read
            values = self.state_dict()
            now = np.array([values["scale"], values["streak"]], np.float32)
            self._arrays[device] = upload(now)
        return self._arrays[device]

    def state_dict(self) -> dict[str, Any]:
        """The scale and the number of good steps since it changed. Waits for a GPU."""
        for array in self._arrays.values():
            scale, streak = self._read(array)
            return {"scale": float(scale), "streak": int(streak)}
        return {"scale": self._scale, "streak": self._streak}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave. A captured graph keeps the scale it was made with."""
        if not isinstance(saved, dict) or saved.keys() != {"scale", "streak"}:
            raise ValueError(f"a LossScaler's state has a scale and a streak, got {saved!r}")
        scale, streak = in_float32("scale", saved["scale"]), saved["streak"]
        if isinstance(streak, bool) or not isinstance(streak, int) or streak < 0:
            raise ValueError(f"streak must be a whole number >= 0, got {streak!r}")
        self._scale, self._streak = scale, streak
        self._arrays = {}


def in_float32(name: str, value: Any) -> float:
    """A scale that float32 can hold, as which a loss is multiplied by it."""
    number = positive(name, value)
    if not SMALLEST <= number <= LARGEST:
        raise ValueError(f"{name} must be from {SMALLEST:.4g} to {LARGEST:.4g}, got {number!r}")
    return number


def whole_interval(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"growth_interval must be a whole number, got {value!r}")
    if not 1 <= value < 2**24:  # the streak is counted in float32 on a GPU
        raise ValueError(f"growth_interval must be from 1 to 2^24 - 1, got {value}")
    return int(value)
