"""Local training: optimizers, weight decay, clipping, schedules of the rate, and losses. Full batches from given weights, so no
draw matters. Then what is drawn: initial weights and dropout masks, by their laws."""

import itertools
import math

import numpy as np

import laws
from common import Checks, Samples, command, mixture
from network import Network, cross_entropy, sigmoid

RATE, EPOCHS, ROUNDS = 0.125, 3, 4
DATA = mixture(12, [14], 3, 4)
PLAIN = Network(4, 3, [{"dense": {"units": 5}}, {"tanh": {}}])
NORMS = Network(4, 3, [{"dense": {"units": 5}}, {"batch_norm": {}}, {"relu": {}}])


def slope_of(loss, z, y):
    """Slopes of each row: cross entropy of the softmax, or the sum of the classes' binary ones (Rebuffi et al. 2017)."""
    return cross_entropy(z, y)[1] if loss == "cross-entropy" else sigmoid(z) - np.eye(z.shape[1])[y]


def factor(schedule, round_):
    """What the rate of a round is multiplied by."""
    kind, keys = next(iter(schedule.items()))
    if kind == "step":
        return keys["factor"] ** (round_ // keys["every"])
    if kind == "cosine":
        floor = keys.get("floor", 0.01)
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * round_ / (ROUNDS - 1)))
    return 1.0


def call(net, w, keys, round_):
    """One local training call. Optimizers start from rest."""
    still = net.statistics()
    first, second = np.zeros(net.size), np.zeros(net.size)
    kind, rule = next(iter(keys.get("optimizer", {"sgd": {}}).items()))
    decay = keys.get("step_decay", {"factor": 0.0, "power": 0.0})
    for t in range(EPOCHS):
        z, tape = net.forward(w, DATA.x, training=True)
        grad = net.backward(w, tape, slope_of(keys.get("loss", "cross-entropy"), z, DATA.y) / len(DATA.y))
        norm = np.linalg.norm(grad)
        if "clip" in keys and norm > keys["clip"]:
            grad = grad * keys["clip"] / norm
        grad = grad + keys.get("weight_decay", 0.0) * w
        rate = RATE * factor(keys.get("schedule", {"constant": {}}), round_) * (1 + decay["factor"] * t) ** -decay["power"]
        if kind == "adam":
            # Kingma and Ba 2015, algorithm 1.
            one, two = rule.get("beta1", 0.9), rule.get("beta2", 0.999)
            first = one * first + (1 - one) * grad
            second = two * second + (1 - two) * grad**2
            move = first / (1 - one ** (t + 1)) / (np.sqrt(second / (1 - two ** (t + 1))) + rule.get("epsilon", 1e-8))
        else:
            first = rule.get("momentum", 0.0) * first + grad
            move = first
        w = net.follow(np.where(still, w, w - rate * move), tape)
    return w


CASES = [
    {},
    {"optimizer": {"sgd": {"momentum": 0.875}}},
    {"optimizer": {"adam": {"epsilon": 0.015625}}},
    {"optimizer": {"adam": {"beta1": 0.5, "beta2": 0.75, "epsilon": 0.03125}}, "weight_decay": 0.0625},
    {"weight_decay": 0.0625},
    {"clip": 0.25},
    {"clip": 0.25, "weight_decay": 0.0625, "optimizer": {"sgd": {"momentum": 0.875}}},
    {"clip": 1000.0},
    {"step_decay": {"factor": 0.5, "power": 0.75}},
    {"schedule": {"step": {"every": 2, "factor": 0.25}}},
    {"schedule": {"cosine": {}}},
    {"schedule": {"cosine": {"floor": 0.5}}, "step_decay": {"factor": 0.001, "power": 0.75}},
    {"loss": "sigmoid"},
]


def initial(lyceum, checks):
    """He et al. 2015: normal, variance 2 / inputs; Glorot and Bengio 2010: 2 / (inputs + outputs); uniform within
    1 / sqrt(inputs), biases too; uniform within sqrt(6 / (inputs + outputs)); zero."""
    inputs, hidden, data = 30, 200, mixture(13, [6], 3, 30)
    for init in ("he", "glorot", "fan-in", "glorot-uniform", "zero"):
        model = {"mlp": {"hidden": [hidden], "activation": "tanh", "init": init}}
        training = {"rate": 1e-30, "epochs": 1, "batch": 1000}
        result = lyceum.run({"run": {"rounds": 1}, "model": model, "training": training}, data)
        w, b = result.tensors["0.weight"].reshape(-1), result.tensors["0.bias"]
        if init == "zero":
            checks.equal("zero, largest weight", float(np.abs(w).max()), 0.0)
            continue
        if init == "fan-in":
            bound = 1 / math.sqrt(inputs)
            both = np.concatenate([w, b]) / bound
            checks.near("fan-in, largest over its bound", np.abs(both).max(), 0.99, 1.0)
            tenths = np.histogram(both, 10, (-1, 1))[0]
            laws.frequencies(checks, "fan-in, tenths of the range", tenths, [0.1] * 10)
            continue
        if init == "glorot-uniform":
            scaled = w / math.sqrt(6 / (inputs + hidden))
            checks.near("glorot-uniform, largest over its bound", np.abs(scaled).max(), 0.99, 1.0)
            tenths = np.histogram(scaled, 10, (-1, 1))[0]
            laws.frequencies(checks, "glorot-uniform, tenths of the range", tenths, [0.1] * 10)
            checks.equal("glorot-uniform, biases", float(np.abs(b).max()), 0.0)
            continue
        variance = 2 / inputs if init == "he" else 2 / (inputs + hidden)
        low, high = laws.chi_square_bounds(len(w))
        checks.near("%s, sum of squares over the variance" % init, (w**2).sum() / variance, low, high)
        # The normal distribution in tenths.
        cuts = [-1.2815516, -0.8416212, -0.5244005, -0.2533471, 0.0, 0.2533471, 0.5244005, 0.8416212, 1.2815516]
        tenths = np.bincount(np.searchsorted(cuts, w / math.sqrt(variance)), minlength=10)
        laws.frequencies(checks, "%s, tenths of the normal distribution" % init, tenths, [0.1] * 10)
        checks.equal("%s, biases" % init, float(np.abs(b).max()), 0.0)


def dropout(lyceum, checks):
    """In training each value is 0 with a chance of `share` and grows by 1 / (1 - share) otherwise, for each sample by itself:
    which of three inputs a client's sample lost shows in its loss. In evaluation nothing is lost."""
    clients, share = 3000, 0.375
    net = Network(3, 2, [{"dropout": {"share": share}}])
    data = Samples(np.tile([[1.0, 2.0, 4.0]], (clients, 1)), [0] * clients, np.arange(clients))
    test = Samples([[1.0, 2.0, 4.0]] * 2, [0, 1])
    start = np.zeros(net.size)
    net.tensor(start, "1.weight")[1] = [0.25, 0.25, 0.25]
    scenario = {"run": {"rounds": 2}, "model": net.model(), "training": {"rate": 1e-30, "epochs": 1, "batch": 2}}
    result = lyceum.run(scenario, data, start=net.unpack(start), test=test)
    masks = list(itertools.product([0, 1], repeat=3))
    logit = np.array([np.dot(mask, [1.0, 2.0, 4.0]) * 0.25 / (1 - share) for mask in masks])
    right = np.log1p(np.exp(logit))
    chances = [(1 - share) ** sum(mask) * share ** (3 - sum(mask)) for mask in masks]
    found = []
    for round_ in range(2):
        events = sorted(result.clients(round_), key=lambda e: e["client"])
        apart = np.abs(np.array([e["first_loss"] for e in events])[:, None] - right[None])
        checks.near("dropout, losses are those of a mask", apart.min(axis=1).max(), 0, 1e-5)
        found.append(apart.argmin(axis=1))
        laws.frequencies(checks, "dropout, masks", np.bincount(found[-1], minlength=8), chances)
    pairs = np.bincount(8 * found[0] + found[1], minlength=64).reshape(8, 8)[4:, 4:]
    chances = np.outer(chances[4:], chances[4:]).reshape(-1)
    laws.frequencies(checks, "dropout, masks of a client in two rounds", pairs.reshape(-1), chances / chances.sum())
    want = cross_entropy(net.forward(start, test.x)[0], test.y)[0].mean()
    checks.close("dropout, loss in evaluation", result.named("evaluated")[-1]["loss"], want)


def main():
    lyceum, checks = command(), Checks()
    initial(lyceum, checks)
    dropout(lyceum, checks)
    for net, name in ((PLAIN, "tanh"), (NORMS, "batch norm and relu")):
        start = net.draw(61)
        for keys in CASES:
            scenario = {
                "run": {"rounds": ROUNDS},
                "model": net.model(),
                "training": dict({"rate": RATE, "epochs": EPOCHS, "batch": 1000}, **keys),
            }
            result = lyceum.run(scenario, DATA, start=net.unpack(start))
            w = start
            for round_ in range(ROUNDS):
                w = call(net, w, keys, round_)
            checks.model("%s, %s" % (name, keys), net, result, w, start, tolerance=4e-6)
    checks.finish()


if __name__ == "__main__":
    main()
