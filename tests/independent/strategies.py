"""Strategies: the rules of the server, and what they ask of clients.

Every client takes full-batch steps from given weights, so no draw matters but the choice of the cohort, which is read from
the log. Client 3 holds one sample many times over, in several batches: all of its batches are alike, and it takes more
steps than the others.
"""

import numpy as np

import rules
from common import Checks, Samples, command, mixture
from network import Network

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
STEPS = [EPOCHS * -(-int((DATA.owner == c).sum()) // BATCH) for c in range(4)]

CASES = [
    ("fed_avg", {}),
    ("fed_avg", {"rate": 0.5}),
    ("fed_prox", {"mu": 0.75}),
    ("fed_avg_m", {"momentum": 0.75, "rate": 0.5}),
    ("fed_adagrad", {"rate": 0.0625, "beta1": 0.0, "tau": 0.03125}),
    ("fed_adagrad", {"rate": 0.0625, "beta1": 0.5, "tau": 0.03125}),
    ("fed_adam", {"rate": 0.0625, "beta1": 0.875, "beta2": 0.9375, "tau": 0.03125}),
    ("fed_yogi", {"rate": 0.0625, "beta1": 0.875, "beta2": 0.9375, "tau": 0.03125}),
    ("scaffold", {}),
    ("scaffold", {"rate": 0.5}),
    ("fed_nova", {}),
    ("fed_dyn", {"alpha": 0.25}),
]


def check(lyceum, checks, name, keys, rounds, cohort, momentum=0.0):
    scenario = {
        "run": {"rounds": rounds},
        "model": NET.model(),
        "training": {"rate": RATE, "epochs": EPOCHS, "batch": BATCH},
        "strategy": {name: keys},
        "selection": {"uniform": {"per_round": cohort}} if cohort < 4 else {"all": {}},
    }
    scenario["training"]["optimizer"] = {"sgd": {"momentum": momentum}}
    result = lyceum.run(scenario, DATA, start=NET.unpack(START))
    fed = rules.Federation(NET, DATA, START, RATE, STEPS, momentum)
    want = rules.recompute(getattr(rules, name), keys, fed, result.rounds())
    what = "%s %s, momentum %s, %d rounds of %d clients" % (name, keys, momentum, rounds, cohort)
    checks.moved(what, NET.pack(result.tensors), want, START)


def main():
    lyceum, checks = command(), Checks()
    for name, keys in CASES:
        for rounds, cohort in [(1, 4), (4, 4), (6, 2)]:
            check(lyceum, checks, name, keys, rounds, cohort)
    check(lyceum, checks, "fed_avg", {}, 3, 4, momentum=0.75)
    check(lyceum, checks, "fed_nova", {}, 3, 4, momentum=0.75)
    checks.finish()


if __name__ == "__main__":
    main()
