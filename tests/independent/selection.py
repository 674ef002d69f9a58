"""Laws of selection: who takes part in a round.

Where a rule draws, frequencies are judged by two-sided tests whose bounds are set beforehand (`laws.py`); where it ranks, the
global model is recomputed along the cohorts of the log, and the ranking from it.
"""

import itertools
import math

import numpy as np

import laws
from common import Checks, Samples, command, mixture
from network import Network, losses, train
from orderings import pace

NET = Network(3, 3, [])
START = NET.draw(51)
STILL = 1e-30  # A rate at which nothing moves.


def table(rounds, selection, rate=STILL, epochs=1, **more):
    return dict(
        {
            "run": {"rounds": rounds},
            "model": {"softmax": {}},
            "training": {"rate": rate, "epochs": epochs, "batch": 1000},
            "selection": selection,
            "evaluation": {"every": 10_000},
        },
        **more,
    )


def clients(seed, sizes):
    """Clients of different difficulty: their means differ."""
    return mixture(seed, sizes, 3, 3)


def mean_losses(data, w):
    """Of each client."""
    return [losses(NET, w, *data.of(c)).mean() for c in range(data.owner.max() + 1)]


def step(data, w, cohort, rate, epochs):
    """FedAvg's next model."""
    models = [train(NET, w, *data.of(c), rate, epochs) for c in cohort]
    return np.average(models, axis=0, weights=[len(data.of(c)[1]) for c in cohort])


def everybody(lyceum, checks):
    data = clients(1, [3] * 5)
    result = lyceum.run(table(3, {"all": {}}), data)
    checks.equal("all", result.rounds(), [[0, 1, 2, 3, 4]] * 3)


def passes(lyceum, checks):
    """Everybody once before anybody again, a round never in two passes; each pass in an order of its own."""
    result = lyceum.run(table(30, {"passes": {"per_round": 3}}), clients(2, [3] * 7))
    rounds = result.rounds()
    checks.equal("passes, sizes of rounds", [len(c) for c in rounds], [3, 3, 1] * 10)
    whole = [sorted(sum(rounds[i : i + 3], [])) for i in range(0, 30, 3)]
    checks.equal("passes, everybody once in each", whole, [list(range(7))] * 10)
    result = lyceum.run(table(4 * 720, {"passes": {"per_round": 1}}), clients(2, [3] * 4))
    turns = [c[0] for c in result.rounds()]
    orders = list(itertools.permutations(range(4)))
    seen = [tuple(turns[i : i + 4]) for i in range(0, len(turns), 4)]
    laws.frequencies(checks, "passes, orders of four clients", [seen.count(o) for o in orders], [1 / 24] * 24)


def uniform(lyceum, checks):
    """McMahan et al. 2017: a random set in each round, whatever the one before."""
    result = lyceum.run(table(2400, {"uniform": {"per_round": 3}}), clients(3, [3] * 8))
    rounds = [tuple(c) for c in result.rounds()]
    sets = list(itertools.combinations(range(8), 3))
    laws.frequencies(checks, "uniform, sets of three of eight", [rounds.count(s) for s in sets], [1 / 56] * 56)
    overlaps = [len(set(a) & set(b)) for a, b in zip(rounds, rounds[1:])]
    chances = [math.comb(3, k) * math.comb(5, 3 - k) / 56 for k in range(4)]
    laws.frequencies(checks, "uniform, overlap with the round before", [overlaps.count(k) for k in range(4)], chances)


def difficulty(lyceum, checks):
    """Vahidian et al. 2023, client curriculum: all are ranked by their mean loss under the global model, the first n of the
    ranking are the pool, and the pool is used up in rounds before the next ranking; n follows the pace over client updates. A budget of updates ends the run after rounds x per_round of them, one of rounds after
    the rounds, though the last round of a pool may be small."""
    data, rate, epochs, per_round = clients(4, [5, 9, 7, 12, 6, 8, 10, 4, 11]), 0.25, 2, 2
    ramp = {"start": 0.3, "full_at": 0.7}
    orders, paces = ("curriculum", "anti-curriculum", "random"), (("linear", ramp), ("exponential", ramp), ("all", {}))
    for order, (kind, keys) in itertools.product(orders, paces):
        for ends in ("rounds", "updates"):
            rounds = 20
            chosen = {"per_round": per_round, "order": order, "pace": {kind: keys}, "budget": ends}
            result = lyceum.run(table(rounds, {"difficulty": chosen}, rate, epochs), data, start=NET.unpack(START))
            cohorts = result.rounds()
            w, done, budget, at, wrong = START, 0, rounds * per_round, 0, 0
            while at < len(cohorts):
                ranking = np.argsort(mean_losses(data, w), kind="stable")
                ranking = ranking[::-1] if order == "anti-curriculum" else ranking
                n = pace(kind, keys, done, budget, 9, 0)
                pool, held = [], set(ranking[:n].tolist())
                while len(pool) < n and at < len(cohorts):
                    right = min(per_round, n - len(pool))
                    right = min(right, budget - done) if ends == "updates" else right
                    wrong += len(cohorts[at]) != right
                    pool += cohorts[at]
                    done += len(cohorts[at])
                    w = step(data, w, cohorts[at], rate, epochs)
                    at += 1
                known = order != "random"
                wrong += len(set(pool)) < len(pool) or (known and not set(pool) <= held)
            what = "difficulty %s, pace %s, budget of %s" % (order, kind, ends)
            checks.equal("%s: cohorts outside of their pool" % what, wrong, 0)
            checks.moved("%s: model" % what, NET.pack(result.tensors), w, START)
            used = len(cohorts) if ends == "rounds" else done
            checks.equal("%s: %d rounds, %d updates" % (what, len(cohorts), done), used, rounds if ends == "rounds" else budget)


def difficulty_shuffles(lyceum, checks):
    """Within a pool, and for the order "random" also from pool to pool, every order is as likely."""
    data = clients(5, [4] * 4)
    orders = list(itertools.permutations(range(4)))
    for order in ("curriculum", "random"):
        chosen = {"per_round": 1, "order": order, "pace": {"all": {}}}
        result = lyceum.run(table(4 * 720, {"difficulty": chosen}), data, start=NET.unpack(START))
        turns = [c[0] for c in result.rounds()]
        seen = [tuple(turns[i : i + 4]) for i in range(0, len(turns), 4)]
        what = "difficulty %s, orders of four clients" % order
        laws.frequencies(checks, what, [seen.count(o) for o in orders], [1 / 24] * 24)
    chosen = {"per_round": 2, "order": "random", "pace": {"step": {"start": 0.5, "full_at": 1.0}}}
    result = lyceum.run(table(1200, {"difficulty": chosen}), data, start=NET.unpack(START))
    rounds = [tuple(c) for c in result.rounds()]
    sets = list(itertools.combinations(range(4), 2))
    laws.frequencies(checks, "difficulty random, pools of two of four", [rounds.count(s) for s in sets], [1 / 6] * 6)


def power_of_choice(lyceum, checks):
    """Cho et al. 2020, pow-d: candidates by successive draws with chances proportional to sizes; those with the highest loss
    under the global model take part."""
    data, rate = clients(6, [4, 10, 6, 16, 8]), 0.25
    chosen = {"per_round": 2, "candidates": 5}
    result = lyceum.run(table(12, {"power_of_choice": chosen}, rate), data, start=NET.unpack(START))
    w, want = START, []
    for cohort in result.rounds():
        want.append(sorted(np.argsort(mean_losses(data, w))[-2:].tolist()))
        w = step(data, w, cohort, rate, 1)
    checks.equal("power of choice among all", result.rounds(), want)
    checks.near("... of different cohorts", len(set(map(tuple, want))), 2, 12)

    sizes = [4, 10, 6, 16, 8]
    result = lyceum.run(table(2000, {"power_of_choice": {"per_round": 2, "candidates": 2}}), data, start=NET.unpack(START))
    rounds = [tuple(c) for c in result.rounds()]
    chances = laws.as_sets(laws.successive(sizes, 2))
    what = "power of choice, two candidates of five by size"
    laws.frequencies(checks, what, [rounds.count(s) for s in chances], list(chances.values()))

    result = lyceum.run(table(2000, {"power_of_choice": {"per_round": 1, "candidates": 3}}), data, start=NET.unpack(START))
    hard, wins = mean_losses(data, START), {}
    for candidates, chance in laws.as_sets(laws.successive(sizes, 3)).items():
        worst = max(candidates, key=lambda c: hard[c])
        wins[worst] = wins.get(worst, 0.0) + chance
    rounds = [c[0] for c in result.rounds()]
    laws.frequencies(checks, "power of choice, the worst of three", [rounds.count(c) for c in wins], list(wins.values()))
    checks.equal("power of choice, nobody else", sorted(set(rounds) - set(wins)), [])


def utility(sample_losses):
    """Lai et al. 2021, section 4.2: |B| sqrt(mean of squared losses of the samples)."""
    return len(sample_losses) * math.sqrt(np.mean(np.square(sample_losses)))


def oort_utility(lyceum, checks):
    """Losses {0, 0, 0, 4.02} and {1.2, 1.2, 1.2, 1.2}: utilities 8.04 and 4.80, so the first client is exploited. Means of
    batches, 4.02 and 4.80, would choose the second."""
    net = Network(1, 2, [])
    # Logits 0 and x: the loss of label 0 is ln(1 + e^x).
    at = lambda loss: math.log(math.expm1(loss))
    x = [-60.0] * 3 + [at(4.02)] + [at(1.2)] * 4
    data = Samples(np.array(x)[:, None], [0] * 8, [0] * 4 + [1] * 4)
    test = Samples([[0.0], [1.0]], [0, 1], [0, 1])
    start = np.array([0.0, 1.0, 0.0, 0.0])
    each = [losses(net, start, *data.of(c)) for c in range(2)]
    checks.close("oort, utilities of the case", [utility(e) for e in each], [8.04, 4.8])
    for batch in (4, 1, 3):
        scenario = table(8, {"oort": {"per_round": 1, "staleness": 0.0, "cutoff": 1.0}})
        scenario["training"]["batch"] = batch
        result = lyceum.run(scenario, data, start=net.unpack(start), test=test)
        rounds = result.rounds()
        what = "oort, batches of %d: both are tried, then the first is taken" % batch
        checks.equal(what, [sorted(rounds[0] + rounds[1])] + rounds[2:], [[0, 1]] + [[0]] * 6)


def oort_exploits(lyceum, checks):
    """Utilities at the last participation, clipped at a quantile and divided by it, plus sqrt(staleness ln(R) / L) with
    rounds from 1: with a cutoff of 1 the highest take part once everybody was tried."""
    data, rate = clients(7, [6, 9, 7, 8, 5, 10, 12]), 0.25
    for staleness, clip, epochs in ((0.1, 1.0, 1), (0.5, 1.0, 1), (0.0, 1.0, 1), (0.3, 0.6, 1), (0.1, 1.0, 3)):
        rule = {"per_round": 2, "exploration": 1.0, "staleness": staleness, "clip": clip, "cutoff": 1.0}
        result = lyceum.run(table(25, {"oort": rule}, rate, epochs), data, start=NET.unpack(START))
        w, tried, wrong, judged, before = START, {}, 0, 0, set()
        for r, cohort in enumerate(result.rounds(), 1):
            if len(tried) == 7:
                known = sorted(u for u, _ in tried.values())
                top = known[min(int(len(known) * clip), len(known) - 1)]
                score = lambda c: min(tried[c][0], top) / top + math.sqrt(staleness * math.log(r) / tried[c][1])
                ranked = sorted(map(score, tried), reverse=True)
                # Equal scores may stand for each other.
                wrong += any(score(c) < ranked[1] - 1e-7 for c in cohort)
                judged += 1
                before.add(tuple(cohort))
            for c in cohort:
                tried[c] = (utility(losses(NET, w, *data.of(c))), r)
            w = step(data, w, cohort, rate, epochs)
        what = "oort, staleness %s, clip %s, %d epochs" % (staleness, clip, epochs)
        checks.equal("%s: of %d rounds with %d cohorts wrong" % (what, judged, len(before)), wrong, 0)


def oort_draws(lyceum, checks):
    """With a cutoff of 0 everybody who was tried is drawn with a chance proportional to utility; new clients uniformly."""
    data = clients(8, [4, 10, 6, 16, 8])
    each = [utility(losses(NET, START, *data.of(c))) for c in range(5)]
    rule = {"per_round": 2, "exploration": 1.0, "staleness": 0.0, "clip": 1.0, "cutoff": 0.0}
    result = lyceum.run(table(2003, {"oort": rule}), data, start=NET.unpack(START))
    rounds = [tuple(c) for c in result.rounds()]
    checks.equal("oort, everybody is tried first", sorted(set(sum(rounds[:3], ()))), list(range(5)))
    chances = laws.as_sets(laws.successive(each, 2))
    drawn = rounds[3:]
    laws.frequencies(checks, "oort, draws by utility", [drawn.count(s) for s in chances], list(chances.values()))

    many = clients(9, [3] * 60)
    rule = {"per_round": 10, "exploration": 0.9, "exploration_decay": 0.5, "exploration_least": 0.2}
    result = lyceum.run(table(9, {"oort": rule}), many, start=NET.unpack(START))
    seen, new, share, want = set(), [], 0.9, []
    for cohort in result.rounds():
        want.append(10 if not seen else math.floor(share * 10 + 0.5))
        new.append(len(set(cohort) - seen))
        seen |= set(cohort)
        share = max(0.2, share * 0.5) if share > 0.2 else share
    checks.equal("oort, new clients of each round", new, want)

    rule = {"per_round": 1, "exploration": 1.0, "blacklist_after": 3}
    result = lyceum.run(table(15, {"oort": rule}), data, start=NET.unpack(START))
    turns = [c[0] for c in result.rounds()]
    checks.equal("oort, three turns each and no more", [turns.count(c) for c in range(5)], [3] * 5)


def dropout(lyceum, checks):
    """Each client of a cohort fails to answer with the same chance, whatever the others do."""
    scenario = table(700, {"all": {}}, availability={"dropout": 0.3})
    result = lyceum.run(scenario, clients(10, [3] * 4))
    seen = [tuple(e["client"] for e in result.clients(r) if e["outcome"] != "accepted") for r in range(700)]
    seen = [tuple(sorted(gone)) for gone in seen]
    chances = {gone: 0.3 ** len(gone) * 0.7 ** (4 - len(gone)) for k in range(5) for gone in itertools.combinations(range(4), k)}
    counts = [seen.count(gone) for gone in chances]
    laws.frequencies(checks, "availability.dropout 0.3, who of four fails", counts, list(chances.values()))


def main():
    lyceum, checks = command(), Checks()
    everybody(lyceum, checks)
    passes(lyceum, checks)
    uniform(lyceum, checks)
    difficulty(lyceum, checks)
    difficulty_shuffles(lyceum, checks)
    power_of_choice(lyceum, checks)
    oort_utility(lyceum, checks)
    oort_exploits(lyceum, checks)
    oort_draws(lyceum, checks)
    dropout(lyceum, checks)
    checks.finish()


if __name__ == "__main__":
    main()
