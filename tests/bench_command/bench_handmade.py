"""Results as `gpuopt bench` writes them, made by hand: times that follow from the arguments."""

from typing import Any

from gpuopt.bench.settings import cut_name


def times(median: float, noise: float = 0.02) -> dict[str, float]:
    half = median * noise / 2
    return {
        "median": median,
        "q1": median - half,
        "q3": median + half,
        "noise": noise,
        "count": 20,
    }


def row(
    parameters: int = 10**6,
    tensors: int = 1,
    *,
    rule: str = "Adam",
    device: str = "cpu",
    copies: bool = False,
    dtype: str = "float32",
    name: str | None = None,
    **seconds: float,
) -> dict[str, Any]:
    """A row of a step of 28 bytes a parameter, at 10 GB/s where nothing is said. `seconds`:
    medians by candidate, with _ for a space."""
    per_step = 28 * parameters / 1e10
    given = {key.replace("_", " "): value for key, value in seconds.items()}
    medians = given or {"gpuopt numba": per_step, "torch fused": 2 * per_step}
    called = name or cut_name(parameters, tensors)
    return {
        "case": f"{rule} {dtype}, {called}" + f", {device}" * (device != "cpu"),
        "rule": rule,
        "list": called,
        "dtype": dtype,
        "parameters": parameters,
        "tensors": tensors,
        "device": device,
        "copies": copies,
        "clock": "wall",
        "bytes": 28 * parameters,
        "times": {name: times(median) for name, median in medians.items()},
        "host_us": {"gpuopt numba": 1.25},
        "launches": {"gpuopt numba": 1},
        "temporary_bytes": {"gpuopt numba": 800, "naive NumPy": 12 * parameters},
        "largest_difference": {},
        "remarks": {},
    }


def results(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    machine = {"processor": "a processor", "cores": 2}
    found = {"command": "bench", "machine": machine, "rows": list(rows), "seconds": 1.0}
    return {**found, "skipped": [], "failures": [], "crossover": [], **more}
