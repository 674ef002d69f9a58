"""Tests of frequencies: the two-sided bounds are set before a run, and seeds are fixed, so an honest law passes for ever."""

import itertools
import math

import numpy as np

# An honest law is outside of the bounds once in 10,000 checks; both too much and too little spread count as wrong.
CHANCE = 1e-4


def chi_square_bounds(freedom):
    """Quantiles at half the chance on either side (Wilson and Hilferty 1931)."""
    z = 3.8906  # Standard normal quantile of 1 - CHANCE / 2.
    cube = lambda side: freedom * (1 - 2 / (9 * freedom) + side * z * math.sqrt(2 / (9 * freedom))) ** 3
    return max(cube(-1), exact_low(freedom)), cube(1)


def exact_low(freedom):
    """The low quantile for few degrees of freedom, where the approximation fails: P(X < q) is near
    (q/2)^(k/2) / Gamma(k/2 + 1) for small q."""
    return 2 * (CHANCE / 2 * math.gamma(freedom / 2 + 1)) ** (2 / freedom) if freedom < 10 else 0.0


def frequencies(checks, what, counts, chances):
    """Pearson's statistic of how often each of several exclusive things happened."""
    counts, chances = np.asarray(counts, dtype=float), np.asarray(chances, dtype=float)
    assert abs(chances.sum() - 1) < 1e-9 and counts.sum() * chances.min() > 5
    expected = counts.sum() * chances
    statistic = float(((counts - expected) ** 2 / expected).sum())
    low, high = chi_square_bounds(len(counts) - 1)
    checks.near("%s, chi square of %d draws over %d" % (what, counts.sum(), len(counts)), statistic, low, high)


def successive(weights, amount):
    """Chances of every ordered draw of `amount` places without replacement, each by weight among those left."""
    chances = {}
    for draw in itertools.permutations(range(len(weights)), amount):
        left, chance = float(sum(weights)), 1.0
        for place in draw:
            chance *= weights[place] / left
            left -= weights[place]
        chances[draw] = chance
    return chances


def as_sets(chances):
    """Chances of what is drawn, whatever the order."""
    sets = {}
    for draw, chance in chances.items():
        key = tuple(sorted(draw))
        sets[key] = sets.get(key, 0.0) + chance
    return sets
