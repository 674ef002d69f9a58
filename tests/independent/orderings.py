"""Orders of samples, paces, scores and weights of samples.

Clients go through all samples in use at once, so that a step tells which ones are. Random orders are judged by how often each
choice was made by many clients with the same samples.
"""

import itertools

import numpy as np

import laws
from common import Checks, Samples, command, mixture
from network import Network, gradient, losses

RATE, STEPS = 0.25, 7
NET = Network(4, 3, [{"dense": {"units": 5}}, {"tanh": {}}])
START = NET.draw(41)
# Experts start from drawn weights, whatever the run starts from; those of softmax regression are zeros.
FLAT = Network(4, 3, [])
DATA = mixture(8, [11, 17], 3, 4)
EXPERT = {"epochs": 12, "batch": 1000, "rate": 0.125, "momentum": 0.875, "weight_decay": 0.0078125}


def pace(kind, keys, t, total, n, round_):
    """Vahidian et al. 2023 and Wu et al. 2021: with x = t / (a T) and b the share at first."""
    if kind == "all":
        return n
    if kind == "cyclical":
        return max(1, min(n, int(cycle(keys, round_) * n)))
    a, b = keys.get("full_at", 0.8), keys.get("start", 0.2)
    x = t / (a * total)
    if x >= 1:
        return n
    growth = {
        "linear": x,
        "quadratic": x**2,
        "root": x**0.5,
        "step": 0.0,
        "exponential": (np.exp(10 * x) - 1) / (np.exp(10) - 1),
        "logarithmic": 1 + 0.1 * np.log(x + np.exp(-10)),
    }[kind]
    return max(1, min(n, int(b * n + (n - b * n) * growth)))


def cycle(keys, round_):
    """Kesgin and Amasyali 2022: the share grows by 1 / factor up to `end`, falls back to `start`, and so on."""
    start, end, factor = keys.get("start", 0.25), keys.get("end", 1.0), keys.get("factor", 0.5)
    up = [start]
    while up[-1] < end:
        up.append(min(end, up[-1] / factor))
    down = [end]
    while down[-1] > start:
        down.append(max(start, down[-1] * factor))
    lap = up + down[1:-1]
    return lap[round_ % len(lap)]


def expert():
    """Central training on all samples: SGD with momentum and weight decay, in full batches."""
    w, velocity = np.zeros(FLAT.size), 0.0
    for _ in range(EXPERT["epochs"]):
        grad = gradient(FLAT, w, DATA.x, DATA.y)[0] + EXPERT["weight_decay"] * w
        velocity = EXPERT["momentum"] * velocity + grad
        w = w - EXPERT["rate"] * velocity
    return w


def scores(net, score, x, y, received, own):
    """Vahidian et al. 2023: G, L, LG and E, as losses or as errors; before its first training a client has no model of its
    own, and G stands in."""
    whose, kind = score.rsplit("-", 1)
    wrong = lambda w: (net.forward(w, x)[0].argmax(axis=1) != y).astype(float)
    judge = (lambda w: losses(net, w, x, y)) if kind in ("loss", "losses") else wrong
    if whose == "expert":
        return judge(expert())
    if whose == "global" or own is None:
        return judge(received)
    return judge(own) if whose == "local" else judge(received) + judge(own)


def arranged(order, values, y):
    """Places in the order in which they come into use; ties as they come."""
    places = list(range(len(y)))
    if order == "curriculum":
        places.sort(key=lambda p: values[p])
    if order == "anti-curriculum":
        places.sort(key=lambda p: -values[p])
    if order == "blocked":
        places.sort(key=lambda p: y[p])
    if order == "interleaved":
        places.sort(key=lambda p: (sum(y[:p] == y[p]), y[p]))
    return places


def weights(net, weighting, x, y, received, round_):
    """MacAvaney et al. 2020, for each sample by itself: W = D (1 - e/m) + e/m, D the confidence in the label."""
    share = min(1.0, round_ / weighting.get("until_round", 20))
    model = expert() if weighting.get("by") == "expert-loss" else received
    d = np.exp(-losses(net, model, x, y))
    d = 1 - d if weighting.get("anti") else d
    return d * (1 - share) + share


def recompute(net, start, ordering, rounds, checks, result):
    """FedAvg over both clients, each of which takes `STEPS` steps on what is in use; also what they report."""
    order, score = ordering.get("order", "vanilla"), ordering.get("score", "global-loss")
    kind, keys = next(iter(ordering.get("pace", {"all": {}}).items()))
    w, own = start, {}
    for round_ in range(rounds):
        models, sizes = [], []
        for client in range(2):
            x, y = DATA.of(client)
            n, paced = len(y), order != "vanilla"
            needs = order in ("curriculum", "anti-curriculum")
            values = scores(net, score, x, y, w, own.get(client)) if needs else None
            places = arranged(order, values, y)
            each = np.ones(n)
            if "weighting" in ordering:
                each = weights(net, ordering["weighting"], x, y, w, round_)
            model, trained = w, 0
            for t in range(STEPS):
                size = pace(kind, keys, t, STEPS, n, round_) if paced else n
                if kind != "cyclical" and paced:
                    size = min(n, max(size, ordering["floor"]))
                used = places[:size]
                model = model - RATE * gradient(net, model, x[used], y[used], weights=each[used])[0]
                trained += size
            report = [e for e in result.clients(round_) if e["client"] == client][0]
            if report["trained"] != trained or report["steps"] != STEPS:
                checks.equal("%s, samples trained" % ordering, report["trained"], trained)
            if needs and round_ == rounds - 1:
                what = "%s, mean score of client %d" % (ordering, client)
                checks.close(what, report["difficulty"], values.mean(), tolerance=4e-6)
            models.append(model)
            sizes.append(n)
            own[client] = model
        w = np.average(models, axis=0, weights=sizes)
    return w


RAMP = {"start": 0.3, "full_at": 0.7}
PACES = ["linear", "quadratic", "root", "step", "exponential", "logarithmic"]
SCORES = ["global-loss", "local-loss", "both-losses", "expert-loss", "global-error", "local-error", "both-errors", "expert-error"]


def orderings():
    """Every order, every pace, every score, and weights."""
    linear = {"linear": RAMP}
    for order in ("curriculum", "anti-curriculum", "vanilla", "blocked", "interleaved"):
        yield {"order": order, "pace": linear, "floor": 1}
    for kind in PACES:
        yield {"order": "curriculum", "pace": {kind: RAMP}, "floor": 1}
        yield {"order": "anti-curriculum", "pace": {kind: {}}, "floor": 5}
    yield {"order": "curriculum", "pace": {"all": {}}, "floor": 1}
    yield {"order": "curriculum", "pace": linear, "floor": 32}
    for score in SCORES:
        yield {"order": "curriculum", "score": score, "pace": linear, "floor": 1}
    yield {"order": "anti-curriculum", "score": "both-losses", "pace": linear, "floor": 1}
    yield {"order": "blocked", "pace": {"cyclical": {}}, "floor": 9}
    yield {"order": "interleaved", "pace": {"cyclical": {"start": 0.3, "end": 0.9, "factor": 0.7}}, "floor": 9}
    for weighting in ({"until_round": 3}, {"until_round": 8, "anti": True}, {"until_round": 8, "by": "expert-loss"}):
        yield {"weighting": weighting}
        yield {"order": "curriculum", "pace": linear, "floor": 1, "weighting": weighting}


def table(ordering, rounds, epochs, batch=1000):
    return {
        "run": {"rounds": rounds},
        "model": NET.model(),
        "training": {"rate": RATE, "epochs": epochs, "batch": batch},
        "ordering": ordering,
    }


def deterministic(lyceum, checks):
    for ordering in orderings():
        scenario = table(ordering, 4, STEPS)
        net = FLAT if "expert" in str(ordering) else NET
        if net is FLAT:
            scenario.update(expert=EXPERT, model={"softmax": {}})
        if "weighting" in ordering and "order" not in ordering:
            scenario["ordering"] = dict(ordering, order="vanilla")
        start = net.draw(41)
        result = lyceum.run(scenario, DATA, start=net.unpack(start))
        want = recompute(net, start, ordering, 4, checks, result)
        checks.moved(str(ordering), net.pack(result.tensors), want, start, tolerance=4e-6)


def small_batches(lyceum, checks):
    """Blocked and interleaved samples come in that order within a pass, too; a call has (floor(n / B) + 1) E steps."""
    one = Samples(*DATA.of(1))
    for order in ("blocked", "interleaved"):
        result = lyceum.run(table({"order": order, "floor": 1}, 2, 3, batch=4), one, start=NET.unpack(START))
        w, places = START, arranged(order, None, one.y)
        batches = [places[i : i + 4] for i in range(0, 17, 4)]
        for _ in range(2):
            for step in range((17 // 4 + 1) * 3):
                used = batches[step % len(batches)]
                w = w - RATE * gradient(NET, w, one.x[used], one.y[used])[0]
        checks.moved("%s in batches of 4" % order, NET.pack(result.tensors), w, START, tolerance=4e-6)


def drawn(lyceum, checks):
    """Many clients with the same five samples: which of them the first step used shows in its loss."""
    clients, n = 600, 5
    few = mixture(9, [n], 3, 4, apart=2.0)
    data = Samples(np.tile(few.x, (clients, 1)), np.tile(few.y, clients), np.repeat(np.arange(clients), n))
    own = losses(NET, START, few.x, few.y)
    uniform, easy, hard = np.ones(n), 1 / own, own
    cases = [
        ({"order": "random", "pace": {"step": {"start": 0.4, "full_at": 1.0}}}, uniform),
        ({"order": "curriculum", "pace": {"cyclical": {"start": 0.4}}}, easy),
        ({"order": "anti-curriculum", "pace": {"cyclical": {"start": 0.4}}}, hard),
        ({"order": "random", "pace": {"cyclical": {"start": 0.4}}}, uniform),
    ]
    for ordering, law in cases:
        result = lyceum.run(table(dict(ordering, floor=1), 2, 1), data, start=NET.unpack(START))
        sets = list(itertools.combinations(range(n), 2))
        means = np.array([own[list(s)].mean() for s in sets])
        assert np.diff(np.sort(means)).min() > 1e-3, "sets that cannot be told apart"
        chosen = lambda loss: sets[int(np.abs(means - loss).argmin())]
        seen = [e["first_loss"] for e in sorted(result.clients(0), key=lambda e: e["client"])]
        apart = max(np.abs(means - loss).min() for loss in seen)
        checks.near("%s, losses are those of two samples" % ordering, apart, 0, 1e-5)
        chances = laws.as_sets(laws.successive(law, 2))
        counts = [sum(chosen(loss) == s for loss in seen) for s in sets]
        laws.frequencies(checks, str(ordering), counts, [chances[s] for s in sets])


def again(lyceum, checks):
    """A random order is drawn anew in each call: how often a client uses the same two of five samples twice."""
    clients, n = 600, 5
    few = mixture(9, [n], 3, 4, apart=2.0)
    data = Samples(np.tile(few.x, (clients, 1)), np.tile(few.y, clients), np.repeat(np.arange(clients), n))
    ordering = {"order": "random", "pace": {"step": {"start": 0.4, "full_at": 1.0}}, "floor": 1}
    scenario = table(ordering, 2, 1)
    scenario["training"]["rate"] = 1e-30
    result = lyceum.run(scenario, data, start=NET.unpack(START))
    of = lambda round_: [e["first_loss"] for e in sorted(result.clients(round_), key=lambda e: e["client"])]
    same = sum(abs(a - b) < 1e-6 for a, b in zip(of(0), of(1)))
    laws.frequencies(checks, "the same two of five samples again", [same, clients - same], [0.1, 0.9])


def main():
    lyceum, checks = command(), Checks()
    deterministic(lyceum, checks)
    small_batches(lyceum, checks)
    drawn(lyceum, checks)
    again(lyceum, checks)
    checks.finish()


if __name__ == "__main__":
    main()
