"""What of a model stays with its client: FedBN and FedPer, on seven clients of unequal sizes that take full-batch steps from given
weights, so no draw matters."""

import numpy as np

import rules
from common import Checks, Samples, command, mixture
from network import Network

RATE, EPOCHS = 0.125, 2
NET = Network(4, 3, [{"dense": {"units": 5}}, {"batch_norm": {"epsilon": 0.25}}, {"tanh": {}}])
START = NET.draw(9)
SIZES = [9, 6, 14, 7, 11, 8, 40]
DATA = mixture(7, SIZES, 3, 4)
TEST = mixture(8, [200], 3, 4)

# What is named, and the tensors that it means.
PARTS = [
    (["norms"], ["1.weight", "1.bias", "1.mean", "1.variance"]),
    (["statistics"], ["1.mean", "1.variance"]),
    (["head"], ["3.weight", "3.bias"]),
    (["0.bias", "3"], ["0.bias", "3.weight", "3.bias"]),
    (["norms", "head"], ["1.weight", "1.bias", "1.mean", "1.variance", "3.weight", "3.bias"]),
]


class Personal(rules.Federation):
    """Clients that train the global model with their own values in `local` places, which no update has (Li et al. 2021,
    algorithm 1; Arivazhagan et al. 2019, algorithms 1 and 2). Before its first training a client's own values are the
    initial model's."""

    def __init__(self, local, *of):
        super().__init__(*of)
        self.local_places, self.own = local, {}

    def updates(self, w, cohort, extra=None):
        rows = []
        for c in cohort:
            start = np.where(self.local_places, self.own.get(c, self.start), w)
            model = self.local(c, start, extra)
            self.own[c] = model
            rows.append(np.where(self.local_places, 0.0, model - start))
        return np.array(rows)


def places(names):
    local = np.zeros(NET.size, dtype=bool)
    for name in names:
        NET.tensor(local, name)[:] = True
    return local


def recompute(named, keys, fed, cohorts):
    """Running statistics that are not local are averaged by samples, whatever the server does to weights."""
    w, step = fed.start, getattr(rules, named)(keys, fed)
    shared = NET.statistics() & ~fed.local_places
    for cohort in cohorts:
        new = step(w, cohort)
        if shared.any():
            statistics = fed.shares(cohort) @ np.array([fed.models[c] for c in cohort])
            new = np.where(shared, statistics, new)
        w = np.where(fed.local_places, fed.start, new)
    return w


def hits(w):
    z = NET.forward(w, TEST.x)[0]
    return float((z.argmax(axis=1) == TEST.y).mean())


def main():
    lyceum, checks = command(), Checks()
    strategies = [("fed_avg", {}), ("fed_avg_m", {"momentum": 0.75, "rate": 0.5})]
    for (name, keys), (named, tensors) in ((s, p) for s in strategies for p in PARTS):
        for rounds, cohort in ((1, 7), (3, 7), (5, 4)):
            scenario = {
                "run": {"rounds": rounds},
                "model": NET.model(),
                "personal": {"local": named},
                "training": {"rate": RATE, "epochs": EPOCHS, "batch": 64},
                "strategy": {name: keys},
                "evaluation": {"local": True},
                "selection": {"uniform": {"per_round": cohort}} if cohort < 7 else {"all": {}},
            }
            test = Samples(TEST.x, TEST.y, np.zeros(len(TEST.y), dtype=int))
            result = lyceum.run(scenario, DATA, start=NET.unpack(START), test=test)
            fed = Personal(places(tensors), NET, DATA, START, RATE, [EPOCHS] * 7)
            want = recompute(name, keys, fed, result.rounds())
            what = "%s with %s local, %d rounds of %d clients" % (name, " and ".join(named), rounds, cohort)
            got = NET.pack(result.tensors)
            checks.moved(what, got, want, START, tolerance=4e-6)
            moved = got[places(tensors)] != np.float32(START)[places(tensors)]
            checks.equal("%s: first values of the global model that moved there" % what, int(moved.sum()), 0)
            last = result.rounds()[-1]
            told = {e["client"]: e["local_accuracy"] for e in result.named("client") if e["round"] == rounds - 1}
            wanted = {c: hits(fed.own[c]) for c in last}
            checks.equal("%s: hits of the clients' own models" % what, told, wanted)
    checks.finish()


if __name__ == "__main__":
    main()
