"""Rules that a minority of wrong updates cannot steer, on seven clients of which two hold labels that are wrong and values
that are far away. Every client takes full-batch steps from given weights, so no draw matters."""

import numpy as np

from common import Checks, Samples, command, mixture
from network import Network, train

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


def updates(w, cohort):
    """The updates of a round, one a row."""
    return np.array([train(NET, w, *DATA.of(c), RATE, EPOCHS) - w for c in cohort])


def median(d, n, keys):
    """Yin et al. 2018, definition 1."""
    return np.median(d, axis=0)


def trimmed_mean(d, n, keys):
    """Yin et al. 2018, definition 2, with the number that is left out rounded up."""
    cut = int(np.ceil(keys["trim"] * len(d) - 1e-9))
    return np.sort(d, axis=0)[cut : len(d) - cut].mean(axis=0)


def krum(d, n, keys):
    """Blanchard et al. 2017, section 4: the sum of squared distances to the n - f - 2 closest others; the mean of the
    `keep` updates of lowest score."""
    distances = ((d[:, None, :] - d[None, :, :]) ** 2).sum(axis=2)
    close = len(d) - keys["byzantine"] - 2
    # The first in each sorted row is the update itself, at distance 0.
    scores = np.sort(distances, axis=1)[:, 1 : close + 1].sum(axis=1)
    kept = np.argsort(scores, kind="stable")[: keys.get("keep", 1)]
    return d[kept].mean(axis=0)


def geometric_median(d, n, keys):
    """Pillutla et al. 2022, algorithm 2: weights alpha_i / max(nu, |z - w_i|), from the mean on."""
    z = np.average(d, axis=0, weights=n)
    for _ in range(keys["steps"]):
        far = np.linalg.norm(d - z, axis=1)
        z = np.average(d, axis=0, weights=n / np.maximum(keys["smoothing"], far))
    return z


CASES = [
    ("median", median, {}),
    ("median", median, {"rate": 0.5}),
    ("trimmed_mean", trimmed_mean, {"trim": 0.2}),
    ("trimmed_mean", trimmed_mean, {"trim": 0.3, "rate": 0.5}),
    ("krum", krum, {"byzantine": 2}),
    ("krum", krum, {"byzantine": 2, "keep": 3}),
    ("krum", krum, {"byzantine": 1, "keep": 4, "rate": 0.5}),
    ("geometric_median", geometric_median, {"steps": 3, "smoothing": 1e-6}),
    ("geometric_median", geometric_median, {"steps": 12, "smoothing": 0.25, "rate": 0.5}),
]


def recompute(rule, keys, cohorts):
    w = START
    for cohort in cohorts:
        n = np.array([SIZES[c] for c in cohort], dtype=float)
        w = w + keys.get("rate", 1.0) * rule(updates(w, cohort), n, keys)
    return w


def main():
    lyceum, checks = command(), Checks()
    # With six clients the median has two values in the middle.
    for name, rule, keys in CASES:
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
            want = recompute(rule, keys, result.rounds())
            what = "%s %s, %d rounds of %d clients" % (name, keys, rounds, cohort)
            checks.moved(what, NET.pack(result.tensors), want, START)
    checks.finish()


if __name__ == "__main__":
    main()
