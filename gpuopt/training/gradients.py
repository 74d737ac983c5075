"""`gpuopt train --gradient-check`: are the network's gradients those of its cost?"""

from typing import Any

from gpuopt.gradcheck import GradientCheck, check_gradients
from gpuopt.training.data import Data
from gpuopt.training.device import Device
from gpuopt.training.network import cost_and_gradients
from gpuopt.training.settings import Settings
from gpuopt.training.start import CHECK, quiet, start_of, stream

EXAMPLES = 20
DIRECTIONS = 10  # in each parameter: checking every element would take minutes


def check(data: Data, settings: Settings, device: Device) -> GradientCheck:
    """The gradients on a few examples, near the parameters that training starts from.

    Biases are moved away from zero, where a unit whose inputs are all zero has ReLU's kink.
    """
    rng = stream(settings, CHECK)
    X, Y = device.move(data.X[:, :EXAMPLES]), device.move(data.Y[:, :EXAMPLES])
    start = start_of(data, settings)
    params = {}
    for layer, (W, b) in enumerate(zip(start[::2], start[1::2], strict=True), 1):
        params[f"W{layer}"] = device.move(W)
        params[f"b{layer}"] = device.move(b + 0.1 * rng.standard_normal(b.shape))
    l2 = settings.l2 * X.shape[1] / settings.batch_size  # as a smaller last batch has it

    def cost(p: dict[str, Any]) -> Any:
        return cost_and_gradients([*p.values()], X, Y, l2)[0]

    def gradients(p: dict[str, Any]) -> dict[str, Any]:
        return dict(zip(p, cost_and_gradients([*p.values()], X, Y, l2)[1], strict=True))

    with quiet(EXAMPLES, start):
        return check_gradients(cost, params, gradients, directions=DIRECTIONS, rng=rng)
