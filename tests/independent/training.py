"""Local training: optimizers, weight decay, clipping, schedules of the rate, and losses. Full batches from given weights, so no
draw matters."""

import math

import numpy as np

from common import Checks, command, mixture
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


def main():
    lyceum, checks = command(), Checks()
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
