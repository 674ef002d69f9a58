"""What of a model stays with its client, FedBN, FedPer and FedRep, and whole models of clients, Ditto, on seven clients of unequal
sizes that take full-batch steps from given weights, so no draw matters."""

import numpy as np

import rules
from common import Checks, Samples, command, mixture
from network import Network, gradient, train

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


class Alternating(Personal):
    """Collins et al. 2021, algorithm 1: what stays with the client moves first, for `first` steps from the global model with its own
    values, then the rest moves. Batch norms whose statistics stand still normalise by them."""

    def __init__(self, first, *of):
        super().__init__(*of)
        self.first = first

    def walk(self, w, client, steps, moves):
        still = ~moves & self.net.statistics()
        frozen = (1,) if self.net.tensor(still, "1.mean").any() else ()
        x, y = self.data.of(client)
        for _ in range(steps):
            grad, tape = gradient(self.net, w, x, y, frozen=frozen)
            w = self.net.follow(w - self.rate * np.where(moves & ~self.net.statistics(), grad, 0.0), tape)
        return w

    def local(self, client, w, extra=None):
        w = self.walk(w, client, self.first, self.local_places)
        model = self.walk(w, client, self.steps[client], ~self.local_places)
        self.models[client] = model
        return model


class Ditto(rules.Federation):
    """Li et al. 2021, algorithm 1: after its part in the global model each client trains a model v of its own by
    v <- v - rate (grad F(v) + strength (v - w)), with w as received; v is that w before the client's first training."""

    def __init__(self, strength, *of):
        super().__init__(*of)
        self.strength, self.own = strength, {}

    def updates(self, w, cohort, extra=None):
        for c in cohort:
            (x, y), v = self.data.of(c), self.own.get(c, w)
            pull = lambda v: self.strength * (v - w)
            self.own[c] = train(self.net, v, x, y, self.rate, self.steps[c], extra=pull)
        return super().updates(w, cohort, extra)


def places(names):
    local = np.zeros(NET.size, dtype=bool)
    for name in names:
        NET.tensor(local, name)[:] = True
    return local


def recompute(named, keys, fed, cohorts, local=np.zeros(NET.size, dtype=bool)):
    """Running statistics that are not local are averaged by samples, whatever the server does to weights. `received` are the models
    that the cohorts began with."""
    w, step = fed.start, getattr(rules, named)(keys, fed)
    shared, fed.received = NET.statistics() & ~local, []
    for cohort in cohorts:
        fed.received.append(w)
        new = step(w, cohort)
        if shared.any():
            statistics = fed.shares(cohort) @ np.array([fed.models[c] for c in cohort])
            new = np.where(shared, statistics, new)
        w = np.where(local, fed.start, new)
    return w


def hits(w):
    z = NET.forward(w, TEST.x)[0]
    return float((z.argmax(axis=1) == TEST.y).mean())


def hits_at_home(w, client):
    """As `hits`, where classes come as often as in the client's training samples."""
    y, right = DATA.of(client)[1], NET.forward(w, TEST.x)[0].argmax(axis=1) == TEST.y
    return float(np.mean([right[TEST.y == label].mean() for label in y]))


def scenario(personal, rounds, cohort, strategy, evaluation):
    return {
        "run": {"rounds": rounds},
        "model": NET.model(),
        "personal": personal,
        "training": {"rate": RATE, "epochs": EPOCHS, "batch": 64},
        "strategy": strategy,
        "evaluation": evaluation,
        "selection": {"uniform": {"per_round": cohort}} if cohort < 7 else {"all": {}},
    }


def told(result, key):
    """What clients of the last round said."""
    last = max(e["round"] for e in result.named("client"))
    return {e["client"]: e[key] for e in result.named("client") if e["round"] == last}


def at_home(checks, what, said, models):
    """Accuracies of models at home beside those that clients told."""
    wanted = [hits_at_home(models[c], c) for c in sorted(said)]
    checks.close(what, [said[c] for c in sorted(said)], wanted, tolerance=1e-12)


def check_ditto(lyceum, checks, test):
    strategies = [("fed_avg", {}), ("fed_prox", {"mu": 0.5}), ("fed_avg_m", {"momentum": 0.75, "rate": 0.5})]
    for name, keys in strategies:
        for strength, rounds, cohort in ((0.75, 1, 7), (0.75, 5, 4), (0.0, 3, 7), (2.0, 3, 7)):
            table = scenario({"ditto": {"lambda": strength}}, rounds, cohort, {name: keys}, {"personal": True})
            result = lyceum.run(table, DATA, start=NET.unpack(START), test=test)
            fed = Ditto(strength, NET, DATA, START, RATE, [EPOCHS] * 7)
            want = recompute(name, keys, fed, result.rounds())
            what = "Ditto %g beside %s, %d rounds of %d clients" % (strength, name, rounds, cohort)
            checks.moved(what, NET.pack(result.tensors), want, START, tolerance=4e-6)
            kept = result.kept("pass.ditto")
            checks.equal("%s: clients with a model" % what, sorted(kept), sorted(fed.own))
            for c in sorted(kept):
                checks.moved("%s: the model of client %d" % (what, c), kept[c], fed.own[c], START, tolerance=4e-6)
            at_home(checks, "%s: own models at home" % what, told(result, "personal_accuracy"), fed.own)
            received = {c: fed.received[-1] for c in range(7)}
            at_home(checks, "%s: received models at home" % what, told(result, "received_accuracy"), received)


def check_fed_rep(lyceum, checks, test):
    for named, tensors in PARTS:
        local = places(tensors)
        for first, rounds, cohort in ((3, 1, 7), (3, 5, 4), (1, 3, 7)):
            personal = {"local": named, "fed_rep": {"head_epochs": first}}
            if named == ["head"]:
                del personal["local"]
            table = scenario(personal, rounds, cohort, {"fed_avg": {}}, {"personal": True})
            result = lyceum.run(table, DATA, start=NET.unpack(START), test=test)
            fed = Alternating(first, local, NET, DATA, START, RATE, [EPOCHS] * 7)
            want = recompute("fed_avg", {}, fed, result.rounds(), local)
            what = "FedRep, %s first for %d, %d rounds of %d clients" % (" and ".join(named), first, rounds, cohort)
            checks.moved(what, NET.pack(result.tensors), want, START, tolerance=4e-6)
            kept = result.kept("local")
            checks.equal("%s: clients with parts of their own" % what, sorted(kept), sorted(fed.own))
            for c in sorted(kept):
                got, wanted = kept[c], fed.own[c][local]
                checks.moved("%s: the parts of client %d" % (what, c), got, wanted, START[local], tolerance=4e-6)
            at_home(checks, "%s: own models at home" % what, told(result, "personal_accuracy"), fed.own)
            received = set(told(result, "received_accuracy").values())
            checks.equal("%s: global models that are whole" % what, received, {None})


def check_local(lyceum, checks, test):
    strategies = [("fed_avg", {}), ("fed_avg_m", {"momentum": 0.75, "rate": 0.5})]
    for (name, keys), (named, tensors) in ((s, p) for s in strategies for p in PARTS):
        for rounds, cohort in ((1, 7), (3, 7), (5, 4)):
            table = scenario({"local": named}, rounds, cohort, {name: keys}, {"local": True})
            result = lyceum.run(table, DATA, start=NET.unpack(START), test=test)
            fed = Personal(places(tensors), NET, DATA, START, RATE, [EPOCHS] * 7)
            want = recompute(name, keys, fed, result.rounds(), places(tensors))
            what = "%s with %s local, %d rounds of %d clients" % (name, " and ".join(named), rounds, cohort)
            got = NET.pack(result.tensors)
            checks.moved(what, got, want, START, tolerance=4e-6)
            moved = got[places(tensors)] != np.float32(START)[places(tensors)]
            checks.equal("%s: first values of the global model that moved there" % what, int(moved.sum()), 0)
            wanted = {c: hits(fed.own[c]) for c in result.rounds()[-1]}
            checks.equal("%s: hits of the clients' own models" % what, told(result, "local_accuracy"), wanted)


def main():
    lyceum, checks = command(), Checks()
    test = Samples(TEST.x, TEST.y, np.zeros(len(TEST.y), dtype=int))
    check_local(lyceum, checks, test)
    check_ditto(lyceum, checks, test)
    check_fed_rep(lyceum, checks, test)
    checks.finish()


if __name__ == "__main__":
    main()
