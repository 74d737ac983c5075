"""A multilayer perceptron for classification, written for NumPy and CuPy arrays alike.

Examples lie in columns. Layer l has W of shape (n_l, n_(l-1)) and b of shape (n_l, 1); a network is
the list [W1, b1, W2, b2, ...], and its gradients are a list of the same shapes.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuopt.arrays import array_module
from gpuopt.initializers import he

BLOCK = 4096  # examples that `evaluate` takes at once, so that a large data set needs little memory


def initialise(
    sizes: Sequence[int], rng: np.random.Generator, dtype: Any = np.float32
) -> list[np.ndarray]:
    """A network's parameters: W from N(0, 2 / n_(l-1)) (`initializers.he`, for ReLU), b zero.

    sizes: (n_x, hidden layers..., classes).
    """
    params = []
    for before, here in itertools.pairwise(sizes):
        params.append(he((here, before), rng, dtype))
        params.append(np.zeros((here, 1), dtype))
    return params


def activations(params: Sequence[Any], X: Any) -> list[Any]:
    """X (n_x, m), every hidden layer's output, and the last layer's logits (classes, m)."""
    xp = array_module(X)
    outputs = [X]
    last = len(params) // 2 - 1
    for layer in range(last + 1):
        Z = params[2 * layer] @ outputs[-1] + params[2 * layer + 1]
        outputs.append(Z if layer == last else xp.maximum(Z, 0))
    return outputs


def log_softmax(Z: Any) -> Any:
    """log of the softmax of each column of Z, without overflow."""
    xp = array_module(Z)
    Z = Z - Z.max(axis=0, keepdims=True)
    return Z - xp.log(xp.exp(Z).sum(axis=0, keepdims=True))


def cost_and_gradients(
    params: Sequence[Any], X: Any, Y: Any, l2: float = 0.0
) -> tuple[Any, list[Any]]:
    """The cost of one mini-batch, a 0-d array, and its gradient by every parameter.

        J{t} = 1/m sum_i -log y_hat_i[y_i]  +  l2 / (2 m) sum_l ||W_l||_F^2

    X: (n_x, m). Y: integer labels, (1, m). The biases are not regularised.
    """
    xp = array_module(X)
    m = X.shape[1]
    outputs = activations(params, X)
    log_y_hat = log_softmax(outputs[-1])
    labels, columns = Y[0], xp.arange(m)
    cost = -log_y_hat[labels, columns].mean()
    grads: list[Any] = [None] * len(params)
    dZ = xp.exp(log_y_hat)
    dZ[labels, columns] -= 1
    dZ /= m
    for layer in reversed(range(len(params) // 2)):
        W, A = params[2 * layer], outputs[layer]
        grads[2 * layer] = dZ @ A.T
        grads[2 * layer + 1] = dZ.sum(axis=1, keepdims=True)
        if l2:
            cost = cost + l2 / (2 * m) * (W * W).sum()
            grads[2 * layer] += l2 / m * W
        if layer:
            dZ = (W.T @ dZ) * (A > 0)
    return cost, grads


def evaluate(params: Sequence[Any], X: Any, Y: Any) -> tuple[float, float]:
    """Mean cross-entropy over all examples, without the L2 term, and the share classified right."""
    xp = array_module(X)
    count = X.shape[1]
    loss, right = 0.0, 0
    for start in range(0, count, BLOCK):
        labels = Y[0, start : start + BLOCK]
        log_y_hat = log_softmax(activations(params, X[:, start : start + BLOCK])[-1])
        loss -= float(log_y_hat[labels, xp.arange(len(labels))].sum(dtype=np.float64))
        right += int((log_y_hat.argmax(axis=0) == labels).sum())
    return loss / count, right / count
