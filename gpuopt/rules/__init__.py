"""The update rules: one small file per family."""

from gpuopt.rules.adadelta import Adadelta
from gpuopt.rules.adagrad import Adagrad
from gpuopt.rules.adam import Adam, AdamW
from gpuopt.rules.adamax import Adamax
from gpuopt.rules.asgd import ASGD
from gpuopt.rules.base import Rule
from gpuopt.rules.lion import Lion
from gpuopt.rules.momentum import Momentum
from gpuopt.rules.nadam import NAdam
from gpuopt.rules.radam import RAdam
from gpuopt.rules.rmsprop import RMSprop
from gpuopt.rules.rprop import Rprop
from gpuopt.rules.sgd import SGD

ALL = (
    SGD,
    Momentum,
    RMSprop,
    Adam,
    AdamW,
    NAdam,
    RAdam,
    Adamax,
    Adagrad,
    Adadelta,
    Lion,
    Rprop,
    ASGD,
)

__all__ = [
    "ALL",
    "ASGD",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Momentum",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Rprop",
    "Rule",
]
