"""Every rule with its main flags, and the CUDA source that is printed for it."""

from gpuopt import rules
from gpuopt.kernels.launch import BLOCK
from gpuopt.lowering import cuda
from gpuopt.lowering.trace import trace

RULES = [
    rules.SGD(),
    rules.SGD(momentum=0.9),
    rules.SGD(momentum=0.9, nesterov=True, maximize=True),
    rules.Momentum(),
    rules.Momentum(nesterov=True, bias_correction=True),
    rules.RMSprop(),
    rules.RMSprop(eps_inside_sqrt=True, momentum=0.9),
    rules.RMSprop(centered=True, momentum=0.9),
    rules.Adam(),
    rules.Adam(amsgrad=True, maximize=True),
    rules.AdamW(),
    rules.AdamW(amsgrad=True),
    rules.NAdam(),
    rules.RAdam(decoupled_weight_decay=True),
    rules.Adamax(),
    rules.Adagrad(),
    rules.Adadelta(),
    rules.Lion(),
    rules.Rprop(),
    rules.ASGD(),
]


def source(rule: rules.Rule, real: str = "float32") -> str:
    program = trace(rule)
    return cuda.module(program, real, (real,) * len(program.arrays), BLOCK, "sweep")
