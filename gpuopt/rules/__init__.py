"""The update rules: one small file per family."""

from gpuopt.rules.adam import Adam, AdamW
from gpuopt.rules.base import Rule
from gpuopt.rules.momentum import Momentum
from gpuopt.rules.rmsprop import RMSprop
from gpuopt.rules.sgd import SGD

ALL = (SGD, Momentum, RMSprop, Adam, AdamW)

__all__ = ["ALL", "SGD", "Adam", "AdamW", "Momentum", "RMSprop", "Rule"]
