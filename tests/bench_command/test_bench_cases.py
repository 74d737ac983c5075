"""The parameter lists that are measured."""

import pytest

from gpuopt.bench import cases

# from the papers' tables and their authors' code: tensors, parameters
TOTALS = {
    "MLP 784-128-10": (4, 101_770),
    "ResNet-50": (161, 25_557_032),
    "GPT-2 small": (148, 124_439_808),
    "ViT-B": (152, 86_567_656),
    "500 tensors of 256": (500, 128_000),
}


@pytest.mark.parametrize("name", sorted({*TOTALS, *cases.LISTS}))
def test_tensors_and_parameters(name):
    shapes = cases.LISTS[name]()
    assert (len(shapes), cases.elements(shapes)) == TOTALS[name]


def test_one_tensor():
    assert cases.one(10) == [(10,)]
    assert cases.elements([(2, 3), (), (0, 5)]) == 7  # a number by itself, and an empty tensor
