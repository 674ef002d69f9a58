"""Rules that a minority of wrong updates cannot steer, on seven clients of which two hold labels that are wrong and values
that are far away. Every client takes full-batch steps from given weights, so no draw matters."""

import numpy as np

import rules
from common import Checks, Samples, command, mixture
from network import Network

RATE, EPOCHS = 0.25, 2
NET = Network(4, 3, [{"dense": {"units": 5}}, {"tanh": {}}])
START = NET.draw(5)
SIZES = [6, 9, 5, 12, 7, 20, 8]


def samples():
    """Clients 5 and 6 are wrong."""
    data = mixture(2, SIZES, 3, 4)
    wrong = data.owner >= 5
    x = np.where(wrong[:, None], 4 * data.x, data.x)
    return Samples(x, np.where(wrong, (data.y + 1) % 3, data.y), data.owner)


DATA = samples()

CASES = [
    ("median", {}),
    ("median", {"rate": 0.5}),
    ("trimmed_mean", {"trim": 0.2}),
    ("trimmed_mean", {"trim": 0.3, "rate": 0.5}),
    ("krum", {"byzantine": 2}),
    ("krum", {"byzantine": 2, "keep": 3}),
    ("krum", {"byzantine": 1, "keep": 4, "rate": 0.5}),
    ("geometric_median", {"steps": 3, "smoothing": 1e-6}),
    ("geometric_median", {"steps": 12, "smoothing": 0.25, "rate": 0.5}),
]


def main():
    lyceum, checks = command(), Checks()
    # With six clients the median has two values in the middle.
    for name, keys in CASES:
        for rounds, cohort in [(1, 7), (4, 7), (4, 6)]:
            if name == "krum" and cohort < 2 * keys["byzantine"] + 3:
                continue
            scenario = {
                "run": {"rounds": rounds},
                "model": NET.model(),
                "training": {"rate": RATE, "epochs": EPOCHS, "batch": 64},
                "strategy": {name: keys},
                "selection": {"uniform": {"per_round": cohort}} if cohort < 7 else {"all": {}},
            }
            result = lyceum.run(scenario, DATA, start=NET.unpack(START))
            fed = rules.Federation(NET, DATA, START, RATE, [EPOCHS] * 7)
            want = rules.recompute(getattr(rules, name), keys, fed, result.rounds())
            what = "%s %s, %d rounds of %d clients" % (name, keys, rounds, cohort)
            checks.moved(what, NET.pack(result.tensors), want, START)
    checks.finish()


if __name__ == "__main__":
    main()
