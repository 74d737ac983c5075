"""Every rule written a second time, by hand and in float64, straight from the paper's or PyTorch's
pseudo-code: no bias folded into a step size, nothing shared with gpuopt. Slow and plain on purpose.

Each takes `(p, g, state, t, lr, rule)`, updates the dict `state` and returns the new p.
"""

import numpy as np


def l2(rule, p, g):
    return (-g if rule.maximize else g) + rule.weight_decay * p


def sgd(p, g, state, t, lr, rule):
    g = l2(rule, p, g)
    if rule.momentum == 0:
        return p - lr * g
    first = "b" not in state
    state["b"] = g if first else rule.momentum * state["b"] + (1 - rule.dampening) * g
    return p - lr * (g + rule.momentum * state["b"] if rule.nesterov else state["b"])


def momentum(p, g, state, t, lr, rule):
    g = l2(rule, p, g)
    weight = (1 - rule.beta) if rule.ewma else 1
    state["v"] = rule.beta * state.get("v", 0) + weight * g
    ahead, terms = state["v"], t
    if rule.nesterov:
        ahead, terms = rule.beta * state["v"] + weight * g, t + 1
    if rule.bias_correction:
        ahead = ahead / (1 - rule.beta**terms)
    return p - lr * ahead


def rmsprop(p, g, state, t, lr, rule):
    g = l2(rule, p, g)
    state["v"] = rule.alpha * state.get("v", 0) + (1 - rule.alpha) * g**2
    spread = state["v"]
    if rule.centered:
        state["m"] = rule.alpha * state.get("m", 0) + (1 - rule.alpha) * g
        spread = spread - state["m"] ** 2
    divided = g / (
        np.sqrt(spread + rule.eps) if rule.eps_inside_sqrt else np.sqrt(spread) + rule.eps
    )
    if rule.momentum > 0:
        state["b"] = rule.momentum * state.get("b", 0) + divided
        divided = state["b"]
    return p - lr * divided


def adam_step(p, g, state, t, lr, rule):
    beta1, beta2 = rule.betas
    state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g**2
    v = state["v"]
    if rule.amsgrad:
        v = state["v_max"] = np.maximum(state.get("v_max", 0), v)
    m_hat = state["m"] / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return p - lr * m_hat / (np.sqrt(v_hat) + rule.eps)


def adam(p, g, state, t, lr, rule):
    return adam_step(p, l2(rule, p, g), state, t, lr, rule)


def adamw(p, g, state, t, lr, rule):
    decayed = p - lr * rule.weight_decay * p
    return adam_step(decayed, -g if rule.maximize else g, state, t, lr, rule)


FORMULAS = {"SGD": sgd, "Momentum": momentum, "RMSprop": rmsprop, "Adam": adam, "AdamW": adamw}
