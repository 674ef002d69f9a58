"""The server's rules, and what they ask of clients, from the papers' formulas.

A rule is made of its keys and a `Federation`; called with the global model and a cohort it gives the next global model. What
it remembers is its own.
"""

import numpy as np

from network import train


class Federation:
    """Clients that take full-batch steps from the global model: `steps[c]` of them on `data.of(c)`."""

    def __init__(self, net, data, start, rate, steps, momentum=0.0):
        self.net, self.data, self.start = net, data, start
        self.rate, self.steps, self.momentum = rate, steps, momentum
        self.clients = len(steps)
        self.sizes = [len(data.of(c)[1]) for c in range(self.clients)]
        self.models = {}

    def local(self, client, w, extra=None):
        """A client's parameters after its steps from `w`, with `extra(own)` added to each gradient."""
        x, y = self.data.of(client)
        model = train(self.net, w, x, y, self.rate, self.steps[client], self.momentum, extra)
        self.models[client] = model
        return model

    def updates(self, w, cohort, extra=None):
        """One a row."""
        return np.array([self.local(c, w, extra) - w for c in cohort])

    def shares(self, cohort):
        """Samples of each client over those of all."""
        n = np.array([self.sizes[c] for c in cohort], dtype=float)
        return n / n.sum()

    def mean_update(self, w, cohort, extra=None):
        """Weighted by numbers of samples (McMahan et al. 2017, algorithm 1)."""
        return self.shares(cohort) @ self.updates(w, cohort, extra)


def fed_avg(keys, fed):
    """McMahan et al. 2017, algorithm 1; with a rate Reddi et al. 2021, algorithm 1."""
    return lambda w, cohort: w + keys.get("rate", 1.0) * fed.mean_update(w, cohort)


def fed_prox(keys, fed):
    """Li et al. 2020, equation 2: each client minimises F + mu/2 |w - w_global|^2."""
    return lambda w, cohort: w + fed.mean_update(w, cohort, lambda own: keys["mu"] * (own - w))


def fed_avg_m(keys, fed):
    """Hsu et al. 2019: v <- beta v + mean update, w <- w + v."""
    v = 0.0

    def step(w, cohort):
        nonlocal v
        v = keys["momentum"] * v + fed.mean_update(w, cohort)
        return w + keys["rate"] * v

    return step


def adaptive(second):
    """Reddi et al. 2021, algorithm 2, with one of its three second moments."""

    def rule(keys, fed):
        m, v = 0.0, keys["tau"] ** 2

        def step(w, cohort):
            nonlocal m, v
            d = fed.mean_update(w, cohort)
            m = keys["beta1"] * m + (1 - keys["beta1"]) * d
            v = second(keys.get("beta2"), v, d**2)
            return w + keys["rate"] * m / (np.sqrt(v) + keys["tau"])

        return step

    return rule


fed_adagrad = adaptive(lambda beta, v, square: v + square)
fed_adam = adaptive(lambda beta, v, square: beta * v + (1 - beta) * square)
fed_yogi = adaptive(lambda beta, v, square: v - (1 - beta) * square * np.sign(v - square))


def scaffold(keys, fed):
    """Karimireddy et al. 2020, algorithm 1 with option II: c_i+ = c_i - c + (x - y_i) / (K eta)."""
    c, own = np.zeros(fed.net.size), np.zeros((fed.clients, fed.net.size))

    def step(x, cohort):
        nonlocal c
        moves, changes = [], []
        for i in cohort:
            y = fed.local(i, x, lambda _: c - own[i])
            new = own[i] - c + (x - y) / (fed.steps[i] * fed.rate)
            moves.append(y - x)
            changes.append(new - own[i])
            own[i] = new
        c = c + len(cohort) / fed.clients * np.mean(changes, axis=0)
        return x + keys.get("rate", 1.0) * np.mean(moves, axis=0)

    return step


def fed_nova(keys, fed):
    """Wang et al. 2020, equation 5: tau_eff = sum p_i |a_i|_1, the step is tau_eff times the mean of the normalised
    updates; a_i counts how often each gradient is used, which with momentum rho is (1 - rho^(tau - k)) / (1 - rho)."""

    def step(w, cohort):
        p = fed.shares(cohort)
        uses = lambda steps: sum(fed.momentum**k for k in range(steps))
        norms = np.array([sum(uses(k) for k in range(1, fed.steps[c] + 1)) for c in cohort])
        return w + (p @ norms) * (p @ (fed.updates(w, cohort) / norms[:, None]))

    return step


def fed_dyn(keys, fed):
    """Acar et al. 2021, algorithm 1, with g_i = -h_i."""
    alpha = keys["alpha"]
    h, own = np.zeros(fed.net.size), np.zeros((fed.clients, fed.net.size))

    def step(w, cohort):
        nonlocal h
        models = []
        for i in cohort:
            models.append(fed.local(i, w, lambda theta: alpha * (theta - w) - own[i]))
            own[i] = own[i] - alpha * (models[-1] - w)
        h = h - alpha / fed.clients * np.sum([m - w for m in models], axis=0)
        return np.mean(models, axis=0) - h / alpha

    return step


def robust(of):
    """A rule that puts one update, made of all by `of(updates, samples, keys)`, in the place of their mean."""

    def rule(keys, fed):
        def step(w, cohort):
            samples = np.array([fed.sizes[c] for c in cohort], dtype=float)
            return w + keys.get("rate", 1.0) * of(fed.updates(w, cohort), samples, keys)

        return step

    return rule


@robust
def median(d, n, keys):
    """Yin et al. 2018, definition 1."""
    return np.median(d, axis=0)


@robust
def trimmed_mean(d, n, keys):
    """Yin et al. 2018, definition 2, with the number that is left out rounded up."""
    cut = int(np.ceil(keys["trim"] * len(d) - 1e-9))
    return np.sort(d, axis=0)[cut : len(d) - cut].mean(axis=0)


@robust
def krum(d, n, keys):
    """Blanchard et al. 2017, section 4: the sum of squared distances to the n - f - 2 closest others; the mean of the
    `keep` updates of lowest score."""
    distances = ((d[:, None, :] - d[None, :, :]) ** 2).sum(axis=2)
    close = len(d) - keys["byzantine"] - 2
    # The first in each sorted row is the update itself, at distance 0.
    scores = np.sort(distances, axis=1)[:, 1 : close + 1].sum(axis=1)
    kept = np.argsort(scores, kind="stable")[: keys.get("keep", 1)]
    return d[kept].mean(axis=0)


@robust
def geometric_median(d, n, keys):
    """Pillutla et al. 2022, algorithm 2: weights alpha_i / max(nu, |z - w_i|), from the mean on."""
    z = np.average(d, axis=0, weights=n)
    for _ in range(keys["steps"]):
        far = np.linalg.norm(d - z, axis=1)
        z = np.average(d, axis=0, weights=n / np.maximum(keys["smoothing"], far))
    return z


def recompute(rule, keys, fed, cohorts):
    """The global model after rounds of these cohorts."""
    step, w = rule(keys, fed), fed.start
    for cohort in cohorts:
        w = step(w, cohort)
    return w
