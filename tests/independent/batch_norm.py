"""Batch normalisation: what training and evaluation normalise by, how running statistics move, what servers make of them,
and frozen layers. Full batches from given weights, so no draw matters."""

import itertools

import numpy as np

import methods
import rules
from common import Checks, Samples, command, mixture
from network import Network, cross_entropy, gradient, losses, train

RATE, EPOCHS = 0.125, 2
INSIDE = [{"dense": {"units": 5}}, {"batch_norm": {}}, {"tanh": {}}]
OTHER = [{"dense": {"units": 5}}, {"batch_norm": {"momentum": 0.375, "epsilon": 0.0625}}, {"relu": {}}]
IN_FRONT = [{"batch_norm": {}}]
TWO = [{"batch_norm": {}}, {"dense": {"units": 4}}, {"tanh": {}}, {"batch_norm": {"momentum": 1.0}}]
GROUPS = [{"dense": {"units": 6}}, {"group_norm": {"groups": 2}}, {"tanh": {}}]

BATCH = 16
DATA = mixture(7, [9, 6, 14, 7, 11, 8, 40], 3, 4)
# All samples of client 6 are one and the same, so that its three batches are alike.
DATA.x[DATA.owner == 6], DATA.y[DATA.owner == 6] = [0.5, -1.0, 0.25, 1.5], 2
STEPS = [EPOCHS] * 6 + [3 * EPOCHS]


def name(net):
    """The layers in words."""
    keys = lambda of: "".join(" %s" % value for value in of.values())
    return ", ".join(kind + keys(of) for layer in net.described for kind, of in layer.items())


def table(net, rounds, strategy, **training):
    return {
        "run": {"rounds": rounds},
        "model": net.model(),
        "training": dict({"rate": RATE, "epochs": EPOCHS, "batch": BATCH}, **training),
        "strategy": strategy,
    }


def evaluation(checks, what, net, w, result, data):
    """The last evaluation of a run beside the loss and hits by the running statistics."""
    seen = result.named("evaluated")[-1]
    z = net.forward(w, data.x)[0]
    checks.close("%s, loss in evaluation" % what, seen["loss"], cross_entropy(z, data.y)[0].mean(), tolerance=4e-6)
    checks.equal("%s, hits" % what, seen["correct"], [int(((z.argmax(axis=1) == c) & (data.y == c)).sum()) for c in range(3)])


def training(lyceum, checks):
    """Ioffe and Szegedy 2015: a batch is normalised by its mean and biased variance, through which gradients flow; running
    estimates move by the momentum, the variance by its unbiased estimate; evaluation goes by the running estimates."""
    one = Samples(*DATA.of(2))
    for layers in (INSIDE, OTHER, IN_FRONT, TWO, GROUPS):
        net = Network(4, 3, layers)
        start = net.draw(3)
        for rounds, momentum in ((1, 0.0), (5, 0.0), (3, 0.75)):
            sgd = {"optimizer": {"sgd": {"momentum": momentum}}}
            result = lyceum.run(table(net, rounds, {"fed_avg": {}}, **sgd), one, start=net.unpack(start))
            w = start
            for _ in range(rounds):
                w = train(net, w, one.x, one.y, RATE, EPOCHS, momentum)
            what = "%s, %d rounds under momentum %s" % (name(net), rounds, momentum)
            checks.model(what, net, result, w, start, tolerance=4e-6)
            evaluation(checks, what, net, net.pack(result.tensors), result, one)


def one_row(lyceum, checks):
    """A batch of one row has the variance 0, also for the running estimate, since an unbiased one does not exist."""
    one = Samples(DATA.x[:3], DATA.y[:3])
    data = Samples(np.tile(one.x[:1], (3, 1)), one.y)
    net = Network(4, 3, IN_FRONT)
    start = net.draw(4)
    result = lyceum.run(table(net, 1, {"fed_avg": {}}, batch=1, epochs=1), data, start=net.unpack(start))
    w = start
    for i in range(3):
        # All rows have the same values; those of the head's steps differ by the label, so only statistics are compared.
        w = net.follow(w, net.forward(w, data.x[i : i + 1], training=True)[1])
    got = net.pack(result.tensors)[net.statistics()]
    checks.moved("batches of one row, statistics", got, w[net.statistics()], start[net.statistics()])


def by_hand(lyceum, checks):
    """a = 0, 100, 200, 300 in one batch: mean 15, variance 0.9 + 0.1 x 16666.67, under every rule; and a hundred times as
    much, where variances are beyond a million."""
    net = Network(1, 2, IN_FRONT)
    start = np.array([1.0, 0.0, 0.0, 1.0, 0.5, -0.5, 0.0, 0.0])
    for (rule, keys, _), times in itertools.product(STATISTICS, (1.0, 100.0)):
        if rule in ("krum", "trimmed_mean"):
            continue
        data = Samples(times * np.array([[0.0], [100.0], [200.0], [300.0]]), [0, 0, 1, 1])
        result = lyceum.run(table(net, 1, {rule: keys}, epochs=1), data, start=net.unpack(start))
        got = [float(result.tensors["0.mean"][0]), float(result.tensors["0.variance"][0])]
        want = [15.0 * times, 0.9 + 0.1 * 50000 / 3 * times**2]
        checks.close("one client under %s %s, %g" % (rule, keys, want[1]), got, want)


# Rules, and by what clients' statistics are averaged: their samples, one each, or the rule itself.
STATISTICS = [
    ("fed_avg", {}, "samples"),
    ("fed_avg", {"rate": 0.5}, "samples"),
    ("fed_prox", {"mu": 0.75}, "samples"),
    ("fed_avg_m", {"momentum": 0.75, "rate": 0.5}, "samples"),
    ("fed_adam", {"rate": 0.0625, "beta1": 0.875, "beta2": 0.9375, "tau": 0.03125}, "samples"),
    ("fed_yogi", {"rate": 0.0625, "beta1": 0.875, "beta2": 0.9375, "tau": 0.03125}, "samples"),
    ("fed_adagrad", {"rate": 0.0625, "beta1": 0.0, "tau": 0.03125}, "samples"),
    ("fed_nova", {}, "samples"),
    ("scaffold", {}, "one each"),
    ("fed_dyn", {"alpha": 0.25}, "one each"),
    ("median", {}, "rule"),
    ("median", {"rate": 0.5}, "rule"),
    ("trimmed_mean", {"trim": 0.2}, "rule"),
    ("krum", {"byzantine": 2}, "rule"),
    ("krum", {"byzantine": 2, "keep": 3}, "rule"),
    ("geometric_median", {"steps": 3, "smoothing": 1e-6}, "rule"),
]


def recompute(named, keys, by, fed, cohorts):
    """As `rules.recompute`, where running statistics are those of the clients whatever the server does to weights: the mean
    of theirs, or, under a robust rule, what that rule takes, at its full rate."""
    rule, w, still = getattr(rules, named), fed.start, fed.net.statistics()
    step, full = rule(keys, fed), rule(dict(keys, rate=1.0), fed)
    for cohort in cohorts:
        new = step(w, cohort)
        if by == "rule":
            statistics = full(w, cohort)
        else:
            shares = fed.shares(cohort) if by == "samples" else np.full(len(cohort), 1 / len(cohort))
            statistics = shares @ np.array([fed.models[c] for c in cohort])
        w = np.where(still, statistics, new)
    return w


def servers(lyceum, checks):
    """Seven clients, also with rounds in which five take part. With a small epsilon the rounding of a mean of equal values
    would count for much."""
    net = Network(4, 3, [{"dense": {"units": 5}}, {"batch_norm": {"epsilon": 0.25}}, {"tanh": {}}])
    start = net.draw(9)
    for rule, keys, by in STATISTICS:
        for rounds, cohort in ((1, 7), (3, 7), (4, 5)):
            if rule == "krum" and cohort < 2 * keys["byzantine"] + 3:
                continue
            scenario = table(net, rounds, {rule: keys})
            scenario["selection"] = {"uniform": {"per_round": cohort}} if cohort < 7 else {"all": {}}
            result = lyceum.run(scenario, DATA, start=net.unpack(start))
            fed = rules.Federation(net, DATA, start, RATE, STEPS)
            want = recompute(rule, keys, by, fed, result.rounds())
            what = "%s %s, %d rounds of %d clients" % (rule, keys, rounds, cohort)
            checks.model(what, net, result, want, start, tolerance=4e-6)


def frozen(lyceum, checks):
    """A frozen batch norm is one function: it normalises by its frozen statistics in training as in evaluation, and none of
    its tensors moves. Layer positions of `freeze` count layers that have parameters."""
    data = mixture(7, [60], 3, 4)
    data = Samples(data.x, data.y + 3 * (np.arange(60) % 2))
    tasks = [[0, 1, 2], [3, 4, 5]]
    # What is frozen: layers of the description, and which tensors stay.
    cases = [
        (IN_FRONT, {"layers": [0]}, [0]),
        (INSIDE, {"layers": [1]}, [1]),
        (INSIDE, {"layers": [0, 1]}, [0, 1]),
        (TWO, {"layers": [0]}, [0]),
        (TWO, {"names": ["3"]}, [3]),
        (TWO, {"layers": [0, 2], "after": 0}, [0, 3]),
    ]
    for layers, keys, at in cases:
        net = Network(4, 6, layers)
        start = net.draw(13)
        still = np.zeros(net.size, dtype=bool)
        for tensor in net.places:
            if int(tensor.split(".")[0]) in at:
                net.tensor(still, tensor)[:] = True
        w = start
        for task in range(2):
            x, y = data.with_labels(tasks[task])
            for _ in range(2 * EPOCHS):
                stays = at if task >= keys.get("after", 1) else ()
                grad, tape = gradient(net, w, x, y, frozen=stays)
                moved = net.follow(w - RATE * grad, tape)
                w = np.where(still, w, moved) if stays else moved
        scenario = table(net, 4, {"fed_avg": {}}, batch=1000)
        stream = {"classes": tasks, "head": "shared", "arrival": {"rounds_per_task": 2}, "method": {"freeze": keys}}
        scenario["scenario"] = {"class_incremental": stream}
        result = lyceum.run(scenario, data, start=net.unpack(start))
        what = "freeze %s of %s" % (keys, name(net))
        checks.model(what, net, result, w, start, tolerance=4e-6)
        last = [e for e in result.named("client") if e["round"] == 3][0]
        x, y = data.with_labels(tasks[1])
        seen = [e for e in result.named("evaluated") if e["probe"] == {"task": 1}][-1]
        checks.close("%s, loss of task 1" % what, seen["loss"], losses(net, w, x, y).mean(), tolerance=4e-6)
        assert last["samples"] == len(y)


def adapted(lyceum, checks):
    """Low-rank adaptation freezes all but its factors, so batch norms too. Its first step from B = 0 moves the weights by
    -rate s^2 E A^T A, with E the slope by frozen statistics: only by the right E is A^T A symmetric and of rank 2."""
    data = mixture(7, [60], 3, 4)
    data = Samples(data.x, data.y + 3 * (np.arange(60) % 2))
    tasks, rank, s = [[0, 1, 2], [3, 4, 5]], 2, 2.0
    net = Network(4, 6, IN_FRONT)
    start = net.draw(13)
    x, y = data.with_labels(tasks[0])
    base = train(net, start, x, y, RATE, 1)
    x, y = data.with_labels(tasks[1])
    scenario = table(net, 2, {"fed_avg": {}}, batch=1000, epochs=1)
    method = {"lora": {"rank": rank, "alpha": s * rank}}
    scenario["scenario"] = {"class_incremental": {"classes": tasks, "head": "shared", "method": method}}
    got = net.pack(lyceum.run(scenario, data, start=net.unpack(start)).tensors)
    e = net.tensor(gradient(net, base, x, y, frozen=[0])[0], "1.weight")
    moved = net.tensor(got - base, "1.weight")
    square = np.linalg.lstsq(e, moved / (-RATE * s**2), rcond=None)[0]
    checks.close("lora beside batch norm, the first step is E A^T A", e @ square * (-RATE * s**2), moved, tolerance=1e-5)
    checks.close("lora beside batch norm, A^T A is symmetric", square, square.T, tolerance=1e-4)
    sizes = np.linalg.eigvalsh((square + square.T) / 2)
    checks.near("lora beside batch norm, A has rank 2: the third eigenvalue", abs(sizes[1]) / sizes[-1], 0, 1e-4)
    for name in ("0.weight", "0.bias", "0.mean", "0.variance", "1.bias"):
        checks.moved("lora beside batch norm, %s stays" % name, net.tensor(got, name), net.tensor(base, name), 0)


def remembering(lyceum, checks):
    """Importances are those of the network in evaluation, by its running statistics; reference gradients of GEM and A-GEM are
    those of training, by the statistics of the samples that they are of, and move no running ones."""
    data = mixture(7, [60], 3, 4)
    data = Samples(data.x, data.y + 3 * (np.arange(60) % 2))
    tasks, steps = [[0, 1], [2, 3], [4, 5]], 2 * EPOCHS
    of = lambda task: data.with_labels(tasks[task])
    net = Network(4, 6, INSIDE)
    start = net.draw(17)

    def slopes(w, x):
        each = [net.forward(w, row[None]) for row in x]
        return np.mean([np.abs(net.backward(w, tape, 2 * z)) for z, tape in each], axis=0)

    def pulled(importance, strength):
        w, terms = start, []
        for task in range(3):
            pull = lambda v: strength * sum((f * (v - a) for f, a in terms), 0.0)
            w = train(net, w, *of(task), RATE, steps, extra=pull)
            terms = terms + [(importance(w, *of(task)), w)]
            if importance is mas:
                terms = [(sum(f for f, _ in terms), w)]
        return w

    mas = lambda w, x, y: slopes(w, x)

    def projected(references):
        w = start
        for task in range(3):
            for _ in range(steps):
                grad, tape = gradient(net, w, *of(task))
                grad = references(grad, w, task) if task else grad
                w = net.follow(w - RATE * grad, tape)
        return w

    def gem(grad, w, task):
        return methods.turned(grad, np.array([gradient(net, w, *of(t))[0] for t in range(task)]), 0.5)

    def a_gem(grad, w, task):
        reference = gradient(net, w, *data.with_labels(sum(tasks[:task], [])))[0]
        along = grad @ reference
        return grad - min(along, 0.0) / (reference @ reference) * reference

    large = methods.LARGE
    cases = [
        ("mas", {"lambda": 0.25}, pulled(mas, 0.5)),
        ("ewc", {"lambda": 8.0}, pulled(lambda w, x, y: methods.fisher_exact(net, w, x), 8.0)),
        ("ewc", {"lambda": 8.0, "fisher": "empirical"}, pulled(lambda *at: methods.fisher_empirical(net, *at), 8.0)),
        ("ewc", {"lambda": 64.0, "fisher": "batched"}, pulled(lambda *at: methods.fisher_batched(net, *at), 64.0)),
        ("gem", {"memory": large}, projected(gem)),
        ("a_gem", {"memory": large, "reference": large}, projected(a_gem)),
    ]
    for method, keys, want in cases:
        scenario = table(net, 6, {"fed_avg": {}}, batch=1000)
        stream = {"classes": tasks, "head": "shared", "arrival": {"rounds_per_task": 2}, "method": {method: keys}}
        scenario["scenario"] = {"class_incremental": stream}
        result = lyceum.run(scenario, data, start=net.unpack(start))
        checks.model("%s %s beside batch norm" % (method, keys), net, result, want, start, tolerance=4e-6)


def main():
    lyceum, checks = command(), Checks()
    training(lyceum, checks)
    one_row(lyceum, checks)
    by_hand(lyceum, checks)
    servers(lyceum, checks)
    frozen(lyceum, checks)
    adapted(lyceum, checks)
    remembering(lyceum, checks)
    checks.finish()


if __name__ == "__main__":
    main()
