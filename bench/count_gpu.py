"""What the CUDA compiler makes of every sweep: PTX instructions, registers, spilled bytes."""

import re

from gpuopt import rules
from gpuopt.kernels.launch import BLOCK
from gpuopt.lowering import cuda
from gpuopt.lowering.trace import trace
from tests.without_gpu import nvrtc
from tests.without_gpu.cases import RULES, source

GPUS = ("sm_80", "sm_90")


def counts() -> dict[str, dict[str, float]]:
    """Empty where there is no NVRTC."""
    if nvrtc.library() is None:
        return {}
    texts = {f"{named(rule)} float32": source(rule) for rule in RULES}
    adam = trace(rules.Adam())
    for half in ("float16", "bfloat16"):
        storage = (half, half, "float32", "float32")
        texts[f"Adam {half}"] = cuda.module(adam, "float32", storage, BLOCK, "sweep")
    texts |= {f"norm of {x}": cuda.norm_module(x, BLOCK) for x in ("float32", "bfloat16")}
    return {
        f"{name}, {gpu}": figures(nvrtc.compile_for(gpu, text))
        for name, text in texts.items()
        for gpu in GPUS
    }


def named(rule: rules.Rule) -> str:
    """A rule's class, and those of its fields that are not as they are by default."""
    plain = vars(type(rule)())
    changed = [f"{name}={value}" for name, value in vars(rule).items() if value != plain[name]]
    return " ".join([type(rule).__name__, *changed])


def figures(compiled: nvrtc.Compiled) -> dict[str, float]:
    body = compiled.ptx[compiled.ptx.index(".entry") :]
    instructions = re.findall(r"(?m)^\s*(?:@!?%p\d+\s+)?[a-z][a-z0-9_.]*\b[^:]*?;", body)
    return {
        "PTX instructions": len(instructions),
        "registers": compiled.registers,
        "spilled bytes": compiled.spilled,
    }
