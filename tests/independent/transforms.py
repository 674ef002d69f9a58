"""Transforms of updates, on seven clients of unequal sizes that take full-batch steps from given weights, so no draw matters."""

import numpy as np

import rules
from common import Checks, command, mixture
from network import Network

RATE, EPOCHS = 0.25, 2
NET = Network(4, 3, [{"dense": {"units": 5}}, {"tanh": {}}])
START = NET.draw(7)
SIZES = [6, 9, 5, 12, 7, 20, 8]
DATA = mixture(4, SIZES, 3, 4)


class Clipped(rules.Federation):
    """Clients whose updates are clipped (McMahan et al. 2018, algorithm 1): d min(1, C / |d|), for each C in turn."""

    norms = ()

    def updates(self, w, cohort, extra=None):
        d = super().updates(w, cohort, extra)
        for norm in self.norms:
            d = d * np.minimum(1.0, norm / np.linalg.norm(d, axis=1))[:, None]
        return d


def lengths():
    """Of the updates of the first round."""
    fed = rules.Federation(NET, DATA, START, RATE, [EPOCHS] * 7)
    return np.sort(np.linalg.norm(fed.updates(START, range(7)), axis=1))


def main():
    lyceum, checks = command(), Checks()
    found = lengths()
    # Some are longer and some are not; all are; none is.
    some, all_, none = (found[3] + found[4]) / 2, found[0] / 2, 2 * found[-1]
    cases = [[some], [all_], [none], [some, all_], [all_, some]]
    strategies = [("fed_avg", {}), ("fed_prox", {"mu": 0.5}), ("fed_avg_m", {"momentum": 0.5, "rate": 1.0}), ("median", {})]
    for name, keys in strategies:
        for norms in cases:
            for rounds, cohort in [(1, 7), (4, 5)]:
                scenario = {
                    "run": {"rounds": rounds},
                    "model": NET.model(),
                    "training": {"rate": RATE, "epochs": EPOCHS, "batch": 64},
                    "strategy": {name: keys},
                    "transform": {"clip": [{"norm": float(norm)} for norm in norms]},
                    "selection": {"uniform": {"per_round": cohort}} if cohort < 7 else {"all": {}},
                }
                result = lyceum.run(scenario, DATA, start=NET.unpack(START))
                fed = Clipped(NET, DATA, START, RATE, [EPOCHS] * 7)
                fed.norms = norms
                want = rules.recompute(getattr(rules, name), keys, fed, result.rounds())
                bounds = ", ".join("%.3f" % norm for norm in norms)
                what = "%s clipped to %s, %d rounds of %d clients" % (name, bounds, rounds, cohort)
                checks.moved(what, NET.pack(result.tensors), want, START)
    checks.finish()


if __name__ == "__main__":
    main()
