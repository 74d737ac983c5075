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


def decay(rule, p, g, lr):
    """p and g with the decay in one of them."""
    if rule.decoupled_weight_decay:
        return p - lr * rule.weight_decay * p, -g if rule.maximize else g
    return p, l2(rule, p, g)


def moments(rule, g, state):
    beta1, beta2 = rule.betas
    state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g**2
    return state["m"], state["v"]


def nadam(p, g, state, t, lr, rule):
    p, g = decay(rule, p, g, lr)
    m, v = moments(rule, g, state)
    beta1, beta2 = rule.betas
    mu = [beta1 * (1 - 0.96 ** (i * rule.momentum_decay) / 2) for i in range(1, t + 2)]
    m_bar = (1 - mu[t - 1]) * g / (1 - np.prod(mu[:t])) + mu[t] * m / (1 - np.prod(mu))
    return p - lr * m_bar / (np.sqrt(v / (1 - beta2**t)) + rule.eps)


def radam(p, g, state, t, lr, rule):
    p, g = decay(rule, p, g, lr)
    m, v = moments(rule, g, state)
    beta1, beta2 = rule.betas
    m_hat = m / (1 - beta1**t)
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * t * beta2**t / (1 - beta2**t)
    if length <= 5:
        return p - lr * m_hat
    r2 = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    adaptive = np.sqrt(1 - beta2**t) / (np.sqrt(v) + rule.eps)
    return p - lr * m_hat * np.sqrt(r2) * adaptive


def adamax(p, g, state, t, lr, rule):
    g = l2(rule, p, g)
    beta1, beta2 = rule.betas
    state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    state["v"] = np.maximum(beta2 * state.get("v", 0), np.abs(g) + rule.eps)
    return p - lr / (1 - beta1**t) * state["m"] / state["v"]


def adagrad(p, g, state, t, lr, rule):
    g = l2(rule, p, g)
    state["v"] = state.get("v", rule.initial_accumulator_value) + g**2
    inside = rule.eps_inside_sqrt
    root = np.sqrt(state["v"] + rule.eps) if inside else np.sqrt(state["v"]) + rule.eps
    return p - lr / (1 + (t - 1) * rule.lr_decay) * g / root


def adadelta(p, g, state, t, lr, rule):
    g = l2(rule, p, g)
    state["v"] = rule.rho * state.get("v", 0) + (1 - rule.rho) * g**2
    rms = np.sqrt(state.get("d", np.zeros_like(p)) + rule.eps), np.sqrt(state["v"] + rule.eps)
    change = rms[0] / rms[1] * g
    state["d"] = rule.rho * state.get("d", 0) + (1 - rule.rho) * change**2
    return p - lr * change


def lion(p, g, state, t, lr, rule):
    g = -g if rule.maximize else g
    (beta1, beta2), m = rule.betas, state.get("m", 0)
    state["m"] = beta2 * m + (1 - beta2) * g
    return p - lr * (np.sign(beta1 * m + (1 - beta1) * g) + rule.weight_decay * p)


def rprop(p, g, state, t, lr, rule):
    g = -g if rule.maximize else g
    sign = np.sign(g * state.get("prev", np.zeros_like(p)))
    size = state.get("step_size", np.full_like(p, lr))
    size = size * np.choose(sign.astype(int) + 1, [rule.etas[0], 1.0, rule.etas[1]])
    state["step_size"] = np.clip(size, *rule.step_sizes)
    state["prev"] = g * (sign >= 0)
    return p - np.sign(state["prev"]) * state["step_size"]


def asgd(p, g, state, t, lr, rule):
    """eta and mu from t alone, which is right while lr stays."""
    eta = lr / (1 + rule.lambd * lr * (t - 1)) ** rule.alpha
    mu = 1 / max(1, t - 1 - rule.t0)
    p = p * (1 - rule.lambd * eta) - eta * l2(rule, p, g)
    state["ax"] = state.get("ax", 0) * (1 - mu) + mu * p
    return p


FORMULAS = {
    "SGD": sgd,
    "Momentum": momentum,
    "RMSprop": rmsprop,
    "Adam": adam,
    "AdamW": adamw,
    "NAdam": nadam,
    "RAdam": radam,
    "Adamax": adamax,
    "Adagrad": adagrad,
    "Adadelta": adadelta,
    "Lion": lion,
    "Rprop": rprop,
    "ASGD": asgd,
}
