"""The report of the memory-fit check, in words and for programs."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gpuopt.memory.events import GRADIENTS, INPUTS, REST, STATE
from gpuopt.memory.units import size as words

if TYPE_CHECKING:
    from gpuopt.memory.report import FitReport

FITS, FAILS, UNCERTAIN = "fits", "does not fit", "uncertain"
VERDICTS = {FITS: "fits", FAILS: "does not fit", UNCERTAIN: "is uncertain"}
PARAMETERS, ROUNDING, UNSEEN, OUTSIDE = (
    "parameters",
    "pool rounding",
    "other objects",
    "libraries and their buffers",
)
ROLES: tuple[str, ...] = (PARAMETERS, INPUTS, GRADIENTS, STATE, REST, ROUNDING, UNSEEN, OUTSIDE)


def lines(report: "FitReport") -> list[str]:
    """The report as text."""
    size, budget = report.batch_size, report.budget
    left = budget.bytes - report.predicted
    rest = f"leaves {words(left)}" if left >= 0 else f"{words(-left)} too much"
    text = [
        f"A batch of {size} {VERDICTS[report.verdict]}: projected to use "
        f"{words(report.predicted)} of {words(budget.bytes)}; {rest}.",
        f"Budget: {budget}.",
    ]
    if report.doubt:
        text.append(f"It cannot be said for certain: {report.doubt}.")
    elif report.verdict == UNCERTAIN:
        text.append(f"It is close: {report.why_not(size)}.")
    if report.largest:
        text.append(
            f"Largest that fits: {report.largest_power_of_two} of the powers of two, "
            f"{report.largest} of all sizes up to {report.most}."
        )
        after = 2 * report.largest_power_of_two
        after = after if after <= report.most else report.largest + 1
        if after <= report.most and after != size:
            verdict = VERDICTS[report.verdict_at(after)]
            text.append(f"A batch of {after} {verdict}: {report.why_not(after)}.")
    elif not report.doubt:
        text.append(f"No batch size fits: for a batch of 1 {report.why_not(1)}.")
    if report.accumulation == 1:
        text.append(f"An effective batch of {report.effective_batch} fits as it is.")
    elif report.accumulation:
        text.append(
            f"For an effective batch of {report.effective_batch}, accumulate the gradients of "
            f"{report.accumulation} mini-batches of {report.accumulate}."
        )
    peak = report.peak(size)
    if peak.block is not None:
        inputs = peak.block.role == INPUTS
        where = "when a mini-batch is read" if inputs else f"at {peak.block.where}"
        text.append(f"The peak comes {where}.")
    text.append("")
    for role, taken in report.breakdown().items():
        there = report.allocated.get(role, 0)
        note = f"  ({words(there)} allocated already)" if there else ""
        if taken:
            text.append(f"  {role:<28} {words(taken):>10}{note}")
    if report.remark:
        text += ["", f"{report.remark}."]
    if report.verified:
        text += ["", *map(str, report.verified)]
    return text


def as_dict(report: "FitReport") -> dict[str, Any]:
    """The report as JSON can hold it; sizes in bytes."""
    return {
        "verdict": report.verdict,
        "batch_size": report.batch_size,
        "device": report.device,
        "predicted": report.predicted,
        "budget": report.budget.bytes,
        "budget_source": str(report.budget),
        "largest_power_of_two": report.largest_power_of_two,
        "largest": report.largest,
        "up_to": report.most,
        "accumulation": report.accumulation,
        "doubt": report.doubt,
        "remark": report.remark,
        "breakdown": report.breakdown(),
        "allocated_already": report.allocated,
        "verified": [asdict(run) for run in report.verified],
    }
