"""Parameter lists of real models: shapes only, from the papers' architectures."""

import math
from collections.abc import Callable

Shapes = list[tuple[int, ...]]


def one(n: int) -> Shapes:
    """One tensor of `n` elements."""
    return [(n,)]


def small_tensors() -> Shapes:
    """500 tensors of 256."""
    return [(256,)] * 500


def mlp() -> Shapes:
    """784-128-10, 101,770 parameters."""
    return [(784, 128), (128,), (128, 10), (10,)]


def gpt2_small() -> Shapes:
    """GPT-2 small (Radford et al. 2019): 148 tensors, 124,439,808 parameters."""
    d = 768
    block = [(d,), (d,), (d, 3 * d), (3 * d,), (d, d), (d,), (d,), (d,)]
    block += [(d, 4 * d), (4 * d,), (4 * d, d), (d,)]
    return [(50257, d), (1024, d), *block * 12, (d,), (d,)]


def vit_b() -> Shapes:
    """ViT-B/16 at 224 pixels (Dosovitskiy et al. 2021): 152 tensors, 86,567,656 parameters."""
    d, patches, classes = 768, (224 // 16) ** 2, 1000
    block = [(d,), (d,), (3 * d, d), (3 * d,), (d, d), (d,), (d,), (d,)]
    block += [(4 * d, d), (4 * d,), (d, 4 * d), (d,)]
    begin = [(1, 1, d), (1, patches + 1, d), (d, 3, 16, 16), (d,)]
    return [*begin, *block * 12, (d,), (d,), (classes, d), (classes,)]


def resnet50() -> Shapes:
    """ResNet-50 (He et al. 2016): 161 tensors, 25,557,032 parameters."""
    shapes: Shapes = [(64, 3, 7, 7), (64,), (64,)]
    channels = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            convolutions = [(width, channels, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1)]
            if block == 0:
                convolutions.append((4 * width, channels, 1, 1))
            for convolution in convolutions:
                shapes += [convolution, (convolution[0],), (convolution[0],)]
            channels = 4 * width
    return [*shapes, (1000, 2048), (1000,)]


LISTS: dict[str, Callable[[], Shapes]] = {
    "MLP 784-128-10": mlp,
    "ResNet-50": resnet50,
    "GPT-2 small": gpt2_small,
    "ViT-B": vit_b,
    "500 tensors of 256": small_tensors,
}


def elements(shapes: Shapes) -> int:
    """All elements of the tensors of these shapes."""
    return sum(map(math.prod, shapes))
