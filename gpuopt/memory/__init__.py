"""Does this mini-batch fit in memory? Found with a few small ones, before running out of it."""

from gpuopt.memory.budget import Budget, cpu_budget, gpu_budget
from gpuopt.memory.check import fit
from gpuopt.memory.report import FitReport
from gpuopt.memory.suggest import suggest_batch_size

__all__ = ["Budget", "FitReport", "cpu_budget", "fit", "gpu_budget", "suggest_batch_size"]
