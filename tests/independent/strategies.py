"""Strategies: the rules of the server, and what they ask of clients.

Every client takes full-batch steps from given weights, so no draw matters but the choice of the cohort, which is read from
the log. Client 3 holds one sample many times over, in several batches: all of its batches are alike, and it takes more
steps than the others.
"""

import numpy as np

from common import Checks, Samples, command, mixture
from network import Network, train

RATE, EPOCHS, BATCH = 0.25, 3, 16
NET = Network(4, 3, [{"dense": {"units": 5}}, {"tanh": {}}])
START = NET.draw(11)


def samples():
    """Four clients with 7, 12, 5 and 40 samples, the last of which are one and the same."""
    few = mixture(1, [7, 12, 5], 3, 4)
    one = np.tile([[0.5, -1.0, 0.25, 1.5]], (40, 1))
    x, y = np.concatenate([few.x, one]), np.concatenate([few.y, np.full(40, 2)])
    return Samples(x, y, np.concatenate([few.owner, np.full(40, 3)]))


DATA = samples()
SIZES = [int((DATA.owner == c).sum()) for c in range(4)]
STEPS = [EPOCHS * -(-n // BATCH) for n in SIZES]


def local(client, w, extra=None, momentum=0.0):
    """A client's parameters after its steps from `w`."""
    x, y = DATA.of(client)
    return train(NET, w, x, y, RATE, STEPS[client], momentum, extra)


def mean_update(w, cohort, extra=None):
    """The mean of the updates, weighted by numbers of samples (McMahan et al. 2017, algorithm 1)."""
    updates = [local(c, w, extra) - w for c in cohort]
    return np.average(updates, axis=0, weights=[SIZES[c] for c in cohort])


def fed_avg(keys, cohorts):
    w = START
    for cohort in cohorts:
        w = w + keys.get("rate", 1.0) * mean_update(w, cohort)
    return w


def fed_prox(keys, cohorts):
    """Li et al. 2020, equation 2: each client minimises F + mu/2 |w - w_global|^2."""
    w = START
    for cohort in cohorts:
        received = w
        w = w + mean_update(w, cohort, lambda own: keys["mu"] * (own - received))
    return w


def fed_avg_m(keys, cohorts):
    """Hsu et al. 2019: v <- beta v + mean update, w <- w + v."""
    w, v = START, 0.0
    for cohort in cohorts:
        v = keys["momentum"] * v + mean_update(w, cohort)
        w = w + keys["rate"] * v
    return w


def adaptive(second):
    """Reddi et al. 2021, algorithm 2, with one of its three second moments."""

    def rule(keys, cohorts):
        w, m, v = START, 0.0, keys["tau"] ** 2
        for cohort in cohorts:
            d = mean_update(w, cohort)
            m = keys["beta1"] * m + (1 - keys["beta1"]) * d
            v = second(keys.get("beta2"), v, d**2)
            w = w + keys["rate"] * m / (np.sqrt(v) + keys["tau"])
        return w

    return rule


fed_adagrad = adaptive(lambda beta, v, square: v + square)
fed_adam = adaptive(lambda beta, v, square: beta * v + (1 - beta) * square)
fed_yogi = adaptive(lambda beta, v, square: v - (1 - beta) * square * np.sign(v - square))


def scaffold(keys, cohorts):
    """Karimireddy et al. 2020, algorithm 1 with option II: c_i+ = c_i - c + (x - y_i) / (K eta)."""
    x, c, own, clients = START, np.zeros(NET.size), np.zeros((4, NET.size)), 4
    for cohort in cohorts:
        moves, changes = [], []
        for i in cohort:
            y = local(i, x, lambda _: c - own[i])
            new = own[i] - c + (x - y) / (STEPS[i] * RATE)
            moves.append(y - x)
            changes.append(new - own[i])
            own[i] = new
        x = x + keys.get("rate", 1.0) * np.mean(moves, axis=0)
        c = c + len(cohort) / clients * np.mean(changes, axis=0)
    return x


def fed_nova(keys, cohorts, momentum=0.0):
    """Wang et al. 2020, equation 5: tau_eff = sum p_i |a_i|_1, the step is tau_eff times the mean of the normalised
    updates; a_i counts how often each gradient is used, which with momentum rho is (1 - rho^(tau - k)) / (1 - rho)."""
    w = START
    for cohort in cohorts:
        p = np.array([SIZES[c] for c in cohort], dtype=float)
        p /= p.sum()
        powers = lambda steps: sum(momentum**k for k in range(steps))
        norms = [sum(powers(k) for k in range(1, STEPS[c] + 1)) for c in cohort]
        directions = [(local(c, w, momentum=momentum) - w) / n for c, n in zip(cohort, norms)]
        w = w + np.dot(p, norms) * np.average(directions, axis=0, weights=p)
    return w


def fed_dyn(keys, cohorts):
    """Acar et al. 2021, algorithm 1, with g_i = -h_i."""
    w, alpha, clients = START, keys["alpha"], 4
    h, own = np.zeros(NET.size), np.zeros((4, NET.size))
    for cohort in cohorts:
        received, models = w, []
        for i in cohort:
            model = local(i, w, lambda theta: alpha * (theta - received) - own[i])
            own[i] = own[i] - alpha * (model - received)
            models.append(model)
        h = h - alpha / clients * np.sum([m - received for m in models], axis=0)
        w = np.mean(models, axis=0) - h / alpha
    return w


CASES = [
    ("fed_avg", fed_avg, {}),
    ("fed_avg", fed_avg, {"rate": 0.5}),
    ("fed_prox", fed_prox, {"mu": 0.75}),
    ("fed_avg_m", fed_avg_m, {"momentum": 0.75, "rate": 0.5}),
    ("fed_adagrad", fed_adagrad, {"rate": 0.0625, "beta1": 0.0, "tau": 0.03125}),
    ("fed_adagrad", fed_adagrad, {"rate": 0.0625, "beta1": 0.5, "tau": 0.03125}),
    ("fed_adam", fed_adam, {"rate": 0.0625, "beta1": 0.875, "beta2": 0.9375, "tau": 0.03125}),
    ("fed_yogi", fed_yogi, {"rate": 0.0625, "beta1": 0.875, "beta2": 0.9375, "tau": 0.03125}),
    ("scaffold", scaffold, {}),
    ("scaffold", scaffold, {"rate": 0.5}),
    ("fed_nova", fed_nova, {}),
    ("fed_dyn", fed_dyn, {"alpha": 0.25}),
]


def run(lyceum, strategy, keys, rounds, cohort, optimizer=None):
    training = {"rate": RATE, "epochs": EPOCHS, "batch": BATCH}
    if optimizer:
        training["optimizer"] = optimizer
    scenario = {
        "run": {"rounds": rounds},
        "model": NET.model(),
        "training": training,
        "strategy": {strategy: keys},
        "selection": {"uniform": {"per_round": cohort}} if cohort < 4 else {"all": {}},
    }
    return lyceum.run(scenario, DATA, start=NET.unpack(START))


def check(checks, what, run_, want):
    checks.moved(what, NET.pack(run_.tensors), want, START)


def main():
    lyceum, checks = command(), Checks()
    for name, rule, keys in CASES:
        for rounds, cohort in [(1, 4), (4, 4), (6, 2)]:
            result = run(lyceum, name, keys, rounds, cohort)
            what = "%s %s, %d rounds of %d clients" % (name, keys, rounds, cohort)
            check(checks, what, result, rule(keys, result.rounds()))
    momentum = {"sgd": {"momentum": 0.75}}
    result = run(lyceum, "fed_nova", {}, 3, 4, momentum)
    want = fed_nova({}, result.rounds(), momentum=0.75)
    check(checks, "fed_nova under momentum 0.75, 3 rounds", result, want)
    checks.finish()


if __name__ == "__main__":
    main()
