"""Which rows a benchmark has, in which order, on which devices, and whether they fit in memory."""

import importlib
from collections.abc import Sequence

from gpuopt import backends, rules
from gpuopt.backends.base import state_dtype
from gpuopt.bench import cases
from gpuopt.bench.problem import Problem
from gpuopt.bench.settings import LISTS, Settings, Size, cut
from gpuopt.bench.traffic import stored, traffic
from gpuopt.errors import InputError
from gpuopt.memory.budget import Budget, cpu_budget, gpu_budget
from gpuopt.memory.units import size as words

TOTALS = [10**k for k in range(3, 9)]
QUICK = [10**6, 10**3, 10**7, 10**4, 10**5]  # what says most comes first: time may run out
QUICK_LISTS = ("small500", "mlp")
MOST_COPIED = 2**29  # bytes of the two arrays between which a limit's copy goes to and fro
OTHERS_AT = 10**7  # elements: beyond most caches, below most memories

Places = dict[str, list[str]]  # the backends of each device


def places(settings: Settings) -> Places:
    """The devices to measure on, and the backends of each; InputError for what does not run."""
    device, named = settings.device, settings.backends
    reasons = {name: backends.unavailable(name) for name in backends.GPU}
    on_gpu = [name for name in backends.GPU if reasons[name] is None]
    kind = device.partition(":")[0]
    if device not in ("auto", "cpu", "cuda") and not (
        kind == "cuda" and device.removeprefix("cuda:").isdecimal()
    ):
        raise InputError(f"--device {device}: must be auto, cpu, cuda or cuda:<number>")
    for name in named:
        if device != "auto" and (name in backends.GPU) != (kind == "cuda"):
            fitting = ", ".join(backends.GPU if kind == "cuda" else backends.CPU)
            raise InputError(f"--backends {name} does not run on {device}; there is {fitting}")
    if kind == "cuda" and not on_gpu:
        raise InputError(f"--device {device}: {reasons['cupy']}; use --device cpu")
    found: Places = {}
    if kind != "cuda":
        usable = [name for name in backends.CPU if backends.unavailable(name) is None]
        found["cpu"] = [name for name in named if name in backends.CPU] if named else usable[:1]
    if kind != "cpu":
        index = int(device.partition(":")[2] or 0)
        chosen = [name for name in named if name in backends.GPU] if named else on_gpu[:1]
        found[f"cuda:{index}"] = chosen
    return {device: names for device, names in found.items() if names}


def problems(settings: Settings, devices: Sequence[str]) -> list[Problem]:
    """Every row to measure. Without --rules and --sizes: Adam at all sizes, every rule at one."""
    sizes = settings.sizes or default_sizes(settings.quick)
    names = settings.rules or ("Adam",)
    pairs = [(rule, size) for rule in names for size in sizes]
    if settings.rules is None and settings.sizes is None:
        (size,) = cut([OTHERS_AT], [1])
        others = [rule.__name__ for rule in rules.ALL]
        pairs += [(rule, size) for rule in (["SGD", "RMSprop"] if settings.quick else others)]
    ways = [(device, False) for device in devices]
    ways += [(device, True) for device in devices if settings.copies and device != "cpu"]
    found = [
        Problem(rule, size.name, size.shapes, dtype, device, copies, settings.seed)
        for rule, size in pairs
        for dtype in settings.dtypes
        for device, copies in ways
    ]
    return list({case(problem): problem for problem in found}.values())


def default_sizes(quick: bool) -> tuple[Size, ...]:
    names = QUICK_LISTS if quick else tuple(LISTS)
    lists = [Size(LISTS[name], cases.LISTS[LISTS[name]]()) for name in names]
    if not quick:
        return (*cut(TOTALS, [1]), *lists)
    first, *rest = cut(QUICK, [1])
    return (first, *lists, *rest)


def case(problem: Problem) -> str:
    """A row's name."""
    where = "" if problem.device == "cpu" else f", {problem.device}"
    copies = ", with copies" if problem.copies else ""
    return f"{problem.rule} {problem.dtype}, {problem.list}{where}{copies}"


def parameters(problem: Problem) -> int:
    return cases.elements(problem.shapes)


def needed(problem: Problem, peers: bool) -> int:
    """Bytes that a row takes at most: what all share, two copies of the parameters to compare, what
    the limit is measured with, and four times as much as is shared for peers' own arrays and
    temporaries. Adam with all peers was measured at 84 bytes a parameter, of 97 for 6e7."""
    kind = stored(problem.dtype)
    state = len(getattr(rules, problem.rule)().state) * state_dtype(kind).itemsize
    shared = 2 * kind.itemsize + state
    moved = traffic(problem.rule, problem.dtype).bytes * parameters(problem)
    each = (5 if peers else 1) * shared + 2 * kind.itemsize
    return each * parameters(problem) + min(moved, MOST_COPIED)


def budget(device: str) -> Budget:
    if device == "cpu":
        return cpu_budget()
    cupy = importlib.import_module("cupy")
    with cupy.cuda.Device(int(device.partition(":")[2])):
        return gpu_budget(cupy)


def fitting(
    wanted: Sequence[Problem], peers: bool, given: bool
) -> tuple[list[Problem], list[dict[str, str]]]:
    """The problems that fit in memory, and the others as skipped.

    given: whether the user asked for them; InputError then, before anything is measured.
    """
    free = {device: budget(device) for device in dict.fromkeys(p.device for p in wanted)}
    keep, skipped = [], []
    for problem in wanted:
        need, there = needed(problem, peers), free[problem.device]
        if need <= there.bytes:
            keep.append(problem)
            continue
        alone = needed(problem, False)
        fewer = f"--peers none, which takes {words(alone)}, or " if alone <= there.bytes else ""
        why = f"may take {words(need)}{' with peers' * peers}, and there is {there}"
        if given:
            raise InputError(f"{case(problem)}: {why}; give {fewer}a smaller size")
        skipped.append({"what": case(problem), "why": why})
    return keep, skipped
