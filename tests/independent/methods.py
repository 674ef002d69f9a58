"""Continual methods: one client meets three tasks of two classes each, in full-batch steps from given weights. Memories are
larger than the data and draws larger than the memory, so that nothing depends on a draw."""

import itertools

import numpy as np

import laws
from common import Checks, Samples, command, mixture
from network import Network, Sgd, cross_entropy, gradient, only, sigmoid, softmax

TASKS = [[0, 1], [2, 3], [4, 5]]
RATE, EPOCHS, ROUNDS = 0.25, 3, 2  # Rounds of each task, of three steps each.
STEPS = EPOCHS * ROUNDS
NET = Network(4, 6, [{"dense": {"units": 5}}, {"tanh": {}}])
START = NET.draw(21)
COUNTS = [3, 5, 8, 6, 4, 7]  # Samples of each class.


def samples(seed, features):
    """One client with as many samples of each class as `COUNTS` says."""
    many = mixture(seed, [6 * max(COUNTS)], 6, features)
    kept = np.concatenate([np.flatnonzero(many.y == c)[:n] for c, n in enumerate(COUNTS)])
    return Samples(many.x[np.sort(kept)], many.y[np.sort(kept)])


DATA = samples(4, 4)
LARGE = 10_000


def fisher_exact(net, w, x, classes=None):
    """Mean over samples, and over classes by what the model says, of the squared gradient of log p."""
    total = np.zeros(net.size)
    for row in x:
        z, tape = net.forward(w, row[None])
        p = softmax(z if classes is None else only(z, classes))[0]
        for c in range(net.classes) if classes is None else classes:
            slope = p.copy()
            slope[c] -= 1
            total += p[c] * net.backward(w, tape, slope[None]) ** 2
    return total / len(x)


def fisher_empirical(net, w, x, y):
    """Mean over samples of the squared gradient at the true label."""
    each = [gradient(net, w, x[i : i + 1], y[i : i + 1], training=False)[0] for i in range(len(y))]
    return np.mean(np.square(each), axis=0)


def fisher_batched(net, w, x, y):
    """The squared gradient of one batch."""
    return gradient(net, w, x, y, training=False)[0] ** 2


def walk(w, task, pull=None, classes=None):
    """The steps of a task with `pull(w)` added to the gradient."""
    x, y = DATA.with_labels(TASKS[task])
    for _ in range(STEPS):
        grad, _ = gradient(NET, w, x, y, classes)
        w = w - RATE * (grad + (pull(w) if pull else 0.0))
    return w


def naive(keys):
    w = START
    for task in range(3):
        w = walk(w, task)
    return w


def naive_seen(keys):
    """The softmax is over the classes that have come."""
    w = START
    for task in range(3):
        w = walk(w, task, classes=sum(TASKS[: task + 1], []))
    return w


def naive_multi(keys):
    """The softmax is over the classes of the task."""
    w = START
    for task in range(3):
        w = walk(w, task, classes=TASKS[task])
    return w


def cumulative(keys):
    """Each task goes through all samples that have come."""
    w = START
    for task in range(3):
        x, y = DATA.with_labels(sum(TASKS[: task + 1], []))
        for _ in range(STEPS):
            w = w - RATE * gradient(NET, w, x, y)[0]
    return w


def joint(keys):
    """All samples from the start."""
    w = START
    for _ in range(3 * STEPS):
        w = w - RATE * gradient(NET, w, DATA.x, DATA.y)[0]
    return w


def ewc(keys):
    """Kirkpatrick et al. 2017, equation 3: the loss grows by sum over tasks of lambda/2 F (w - anchor)^2; online
    (Schwarz et al. 2018): one anchor, F <- gamma F + F_new."""
    w, terms = START, []
    for task in range(3):
        w = walk(w, task, lambda v: keys["lambda"] * sum((f * (v - a) for f, a in terms), 0.0))
        x, y = DATA.with_labels(TASKS[task])
        kind = keys.get("fisher", "exact")
        if kind == "exact":
            new = fisher_exact(NET, w, x)
        else:
            new = {"empirical": fisher_empirical, "batched": fisher_batched}[kind](NET, w, x, y)
        if keys.get("mode") == "online":
            old = keys.get("gamma", 1.0) * terms[0][0] if terms else 0.0
            terms = [(old + new, w)]
        else:
            terms.append((new, w))
    return w


def ewc_seen(keys):
    """EWC where the softmax, and so what the model says, is over the classes that have come."""
    w, terms = START, []
    for task in range(3):
        seen = sum(TASKS[: task + 1], [])
        w = walk(w, task, lambda v: keys["lambda"] * sum((f * (v - a) for f, a in terms), 0.0), seen)
        terms.append((fisher_exact(NET, w, DATA.with_labels(TASKS[task])[0], seen), w))
    return w


def si(keys):
    """Zenke et al. 2017, equations 3 to 5: c sum Omega (w - anchor)^2, Omega += path / (way^2 + xi), where the path is
    minus the sum of gradient times step. Importances below 0 count as 0."""
    w, omega, anchor = START, np.zeros(NET.size), START
    for task in range(3):
        x, y = DATA.with_labels(TASKS[task])
        begin, path = w, np.zeros(NET.size)
        for _ in range(STEPS):
            grad, _ = gradient(NET, w, x, y)
            new = w - RATE * (grad + 2 * keys["c"] * omega * (w - anchor))
            path -= grad * (new - w)
            w = new
        omega = np.maximum(omega + path / ((w - begin) ** 2 + keys.get("xi", 0.1)), 0)
        anchor = w
    return w


def mas(keys):
    """Aljundi et al. 2018, equations 2 to 4: lambda sum Omega (w - anchor)^2, Omega += mean |d |z|^2 / dw|."""
    w, omega, anchor = START, np.zeros(NET.size), START
    for task in range(3):
        w = walk(w, task, lambda v: 2 * keys["lambda"] * omega * (v - anchor))
        x, _ = DATA.with_labels(TASKS[task])
        slopes = []
        for row in x:
            z, tape = NET.forward(w, row[None])
            slopes.append(np.abs(NET.backward(w, tape, 2 * z)))
        omega, anchor = omega + np.mean(slopes, axis=0), w
    return w


def lwf(keys):
    """Li and Hoiem 2016: the labels' loss and alpha times the cross entropy of softmax(z / T) against the old model's,
    over the classes of the tasks before."""
    w, temperature = START, keys.get("temperature", 2.0)
    for task in range(3):
        old = w
        alpha = keys["alpha"][min(task, len(keys["alpha"]) - 1)]
        before = sum(TASKS[:task], [])
        x, y = DATA.with_labels(TASKS[task])
        said = softmax(only(NET.forward(old, x)[0], before) / temperature) if task else None
        for _ in range(STEPS):
            z, tape = NET.forward(w, x)
            slope = cross_entropy(z, y)[1]
            if task:
                slope = slope + alpha * (softmax(only(z, before) / temperature) - said) / temperature
            w = w - RATE * NET.backward(w, tape, slope / len(y))
    return w


def freeze(keys):
    """The first dense layer stays after the first task."""
    w, still = walk(START, 0), np.zeros(NET.size, dtype=bool)
    for name in ("0.weight", "0.bias"):
        NET.tensor(still, name)[:] = True
    for task in (1, 2):
        x, y = DATA.with_labels(TASKS[task])
        for _ in range(STEPS):
            w = w - RATE * np.where(still, 0.0, gradient(NET, w, x, y)[0])
    return w


def rows(parts):
    """Several parts of samples as one."""
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])


def er_steps(keys):
    """Chaudhry et al. 2019: the mean loss over the new rows and all of the buffer, which is offered the rows of each step
    after its draw (so it holds them as often as they came)."""
    w, kept = START, []
    for task in range(3):
        new = DATA.with_labels(TASKS[task])
        for _ in range(STEPS):
            w = w - RATE * gradient(NET, w, *rows([new] + kept))[0]
            kept.append(new)
    return w


def er_task_end(keys):
    """The buffer is offered a task when it is over; with the balance "tasks" new and old rows weigh 1 : tasks before."""
    w, kept = START, []
    for task in range(3):
        new = DATA.with_labels(TASKS[task])
        for _ in range(STEPS):
            if keys.get("balance") == "tasks" and kept:
                share = 1 / (task + 1)
                old = gradient(NET, w, *rows(kept))[0]
                grad = share * gradient(NET, w, *new)[0] + (1 - share) * old
            else:
                grad = gradient(NET, w, *rows([new] + kept))[0]
            w = w - RATE * grad
        kept.append(new)
    return w


def der(keys):
    """Buzzega et al. 2020, equations 6 and 7: the loss of the new rows, alpha times the mean squared distance to the logits
    that the rows in the buffer had when they came, and (DER++) beta times their mean label loss."""
    w, kept = START, []
    for task in range(3):
        x, y = DATA.with_labels(TASKS[task])
        for _ in range(STEPS):
            z, tape = NET.forward(w, x)
            grad = NET.backward(w, tape, cross_entropy(z, y)[1] / len(y))
            if kept:
                old = np.concatenate([k[0] for k in kept])
                labels = np.concatenate([k[1] for k in kept])
                logits = np.concatenate([k[2] for k in kept])
                again, tape = NET.forward(w, old)
                slope = keys["alpha"] * 2 * (again - logits) / again.size
                slope = slope + keys.get("beta", 0.0) * cross_entropy(again, labels)[1] / len(labels)
                grad = grad + NET.backward(w, tape, slope)
            kept.append((x, y, z))
            w = w - RATE * grad
    return w


def turned(grad, references, margin):
    """Lopez-Paz and Ranzato 2017, equation 11, by its dual (12) with the authors' ridge of 1e-3 and margin: all subsets of
    shares at their bound are tried."""
    along = references @ grad
    if np.all(along >= 0):
        return grad
    gram = references @ references.T + 1e-3 * np.eye(len(along))
    best = None
    for bound in itertools.product([False, True], repeat=len(along)):
        bound = np.array(bound)
        v = np.full(len(along), margin)
        free = ~bound
        if free.any():
            right = -along[free] - gram[np.ix_(free, bound)] @ v[bound]
            v[free] = np.linalg.solve(gram[np.ix_(free, free)], right)
        cost = 0.5 * v @ gram @ v + along @ v
        if np.all(v >= margin - 1e-12) and (best is None or cost < best[0]):
            best = (cost, v)
    return grad + best[1] @ references


def gem(keys):
    """Lopez-Paz and Ranzato 2017, algorithm 1, with all samples of earlier tasks in memory."""
    w, turns = START, 0
    for task in range(3):
        new = DATA.with_labels(TASKS[task])
        for _ in range(STEPS):
            grad = gradient(NET, w, *new)[0]
            if task:
                earlier = [gradient(NET, w, *DATA.with_labels(TASKS[t]))[0] for t in range(task)]
                straight, grad = grad, turned(grad, np.array(earlier), keys.get("margin", 0.5))
                turns += grad is not straight
            w = w - RATE * grad
    assert turns > 6, "the gradients hardly ever disagree: no test of the projection"
    return w


def a_gem(keys):
    """Chaudhry et al. 2019, equation 11, with all samples of earlier tasks as the reference."""
    w = START
    for task in range(3):
        new = DATA.with_labels(TASKS[task])
        for _ in range(STEPS):
            grad = gradient(NET, w, *new)[0]
            if task:
                reference = gradient(NET, w, *DATA.with_labels(sum(TASKS[:task], [])))[0]
                along = grad @ reference
                if along < 0:
                    grad = grad - along / (reference @ reference) * reference
            w = w - RATE * grad
    return w


def scenario(method, keys, net, rounds=3 * ROUNDS, head="shared", epochs=EPOCHS, **training):
    stream = {
        "classes": TASKS,
        "head": head,
        "arrival": {"rounds_per_task": ROUNDS},
        "method": {method: keys},
    }
    kind = "task_incremental" if head == "multi-head" else "class_incremental"
    return {
        "run": {"rounds": rounds},
        "model": net.model(),
        "training": dict({"rate": RATE, "epochs": epochs, "batch": LARGE}, **training),
        "scenario": {kind: stream},
    }


CASES = [
    ("naive", naive, {}, {}),
    ("naive", naive_seen, {}, {"head": "seen"}),
    ("naive", naive_multi, {}, {"head": "multi-head"}),
    ("cumulative", cumulative, {}, {}),
    ("joint", joint, {}, {}),
    ("ewc", ewc, {"lambda": 4.0}, {}),
    ("ewc", ewc, {"lambda": 4.0, "fisher": "empirical"}, {}),
    ("ewc", ewc, {"lambda": 40.0, "fisher": "batched"}, {}),
    ("ewc", ewc, {"lambda": 4.0, "mode": "online", "gamma": 0.5}, {}),
    ("ewc", ewc_seen, {"lambda": 4.0}, {"head": "seen"}),
    ("si", si, {"c": 0.5}, {}),
    ("si", si, {"c": 0.25, "xi": 0.01}, {}),
    ("mas", mas, {"lambda": 0.25}, {}),
    ("lwf", lwf, {"alpha": [1.0, 0.75, 0.5]}, {}),
    ("lwf", lwf, {"alpha": [2.0], "temperature": 1.0}, {}),
    ("freeze", freeze, {"layers": [0]}, {}),
    ("er", er_steps, {"memory": LARGE, "replay": LARGE}, {}),
    ("er", er_task_end, {"memory": LARGE, "replay": LARGE, "fill": "task-end"}, {}),
    ("er", er_task_end, {"memory": LARGE, "replay": LARGE, "fill": "task-end", "balance": "tasks"}, {}),
    ("der", der, {"memory": LARGE, "replay": LARGE, "alpha": 0.5}, {}),
    ("der_pp", der, {"memory": LARGE, "replay": LARGE, "alpha": 0.5, "beta": 0.75}, {}),
    ("gem", gem, {"memory": LARGE}, {}),
    ("gem", gem, {"memory": LARGE, "margin": 2.0}, {}),
    ("a_gem", a_gem, {"memory": LARGE, "reference": LARGE}, {}),
]


def gdumb(lyceum, checks):
    """Prabhu et al. 2020: a new model, here of zeros, is trained on the buffer alone, which holds all that has come."""
    net = Network(4, 6, [])
    steps = scenario("gdumb", {"memory": LARGE, "passes": 7}, net)
    steps["model"] = {"softmax": {}}
    w = np.zeros(net.size)
    for _ in range(7):
        w = w - RATE * gradient(net, w, DATA.x, DATA.y)[0]
    result = lyceum.run(steps, DATA)
    checks.moved("gdumb {'passes': 7}", net.pack(result.tensors), w, np.zeros(net.size))


def averaged_ewc(lyceum, checks, momentum=0.0, rate=1.0):
    """Two clients: importances of a task that is over go into the model with a client's next update and are averaged as it
    is; until then the client's own count in full. Anchors are the global model at the boundary. Server momentum is for
    weights alone."""
    data, strength = mixture(5, [18, 30], 6, 4), 3.0
    w, importances, anchor, velocity = START, np.zeros(NET.size), START, 0.0
    for task in range(3):
        of = lambda c, t: tuple(part[np.isin(data.of(c)[1], TASKS[t])] for part in data.of(c))
        news = [np.zeros(NET.size)] * 2
        if task:
            anchor = w
            news = [fisher_empirical(NET, w, *of(c, task - 1)) for c in range(2)]
        for _ in range(ROUNDS):
            models = []
            for c in range(2):
                own, mine = w, strength * (importances + news[c])
                for _ in range(EPOCHS):
                    own = own - RATE * (gradient(NET, own, *of(c, task))[0] + mine * (own - anchor))
                models.append(own)
            weights = [len(of(c, task)[1]) for c in range(2)]
            velocity = momentum * velocity + np.average(models, axis=0, weights=weights) - w
            w = w + rate * velocity
            importances = importances + np.average(news, axis=0, weights=weights)
            news = [np.zeros(NET.size)] * 2
    keys = {"lambda": strength, "fisher": "empirical"}
    start = dict(NET.unpack(START), importances=np.zeros(NET.size))
    server = {"momentum": momentum, "rate": rate}
    table = dict(scenario("averaged_ewc", keys, NET), strategy={"fed_avg_m": server})
    result = lyceum.run(table, data, start=start)
    what = "averaged_ewc %s, two clients, server %s" % (keys, server)
    checks.moved(what, NET.pack(result.tensors), w, START)
    checks.close("%s, importances in the model" % what, result.tensors["importances"], importances)


def lora(lyceum, checks):
    """Hu et al. 2022: W = W0 + s B A. What A is drawn as follows, up to a rotation that changes nothing, from the first step:
    B = 0 there, so W1 - W0 = -rate s^2 E A^T A, with E the slope at W0. Then further steps are recomputed from it."""
    net, start = Network(3, 6, []), Network(3, 6, []).draw(8)
    data, s, rank, rate = samples(6, 3), 2.0, 2, RATE
    slope = lambda w, task, anchor=None, strength=0.0: gradient(net, w, *data.with_labels(TASKS[task]))[0]
    for strength in (0.0, 0.5):
        keys = {"rank": rank, "alpha": s * rank, "lambda": strength, "fisher": "empirical"}
        run = lambda rounds, epochs: lyceum.run(
            dict(
                scenario("lora", keys, net, rounds=rounds, epochs=epochs),
                scenario={
                    "class_incremental": {
                        "classes": TASKS[:rounds],
                        "head": "shared",
                        "arrival": {"rounds_per_task": 1},
                        "method": {"lora": keys},
                    }
                },
            ),
            data,
            start=net.unpack(start),
        )
        # One step of the whole model, then one of the factors.
        base = start - rate * slope(start, 0)
        seen = net.pack(run(2, 1).tensors)
        moved = net.tensor(seen - base, "0.weight")
        checks.moved("lora %s, biases stay" % keys, net.tensor(seen, "0.bias"), net.tensor(base, "0.bias"), 0)
        e = net.tensor(slope(base, 1), "0.weight")
        square = np.linalg.lstsq(e, moved / (-rate * s**2), rcond=None)[0]
        checks.close("lora, the first step is E A^T A", e @ square * (-rate * s**2), moved)
        checks.close("lora, A^T A is symmetric", square, square.T, tolerance=1e-5)
        sizes, vectors = np.linalg.eigh((square + square.T) / 2)
        checks.near("lora, A has rank 2: the third eigenvalue", abs(sizes[0]) / sizes[-1], 0, 1e-5)
        checks.near("lora, A is within 1 / sqrt(inputs): largest square", square.diagonal().max(), 0, rank / 3)
        a = np.sqrt(sizes[1:])[:, None] * vectors[:, 1:].T
        # Five steps of the whole model, then five of the factors in each of two tasks.
        w = start
        for _ in range(5):
            w = w - rate * slope(w, 0)
        base, b = w, np.zeros((6, rank))
        fisher = fisher_empirical(net, base, *data.with_labels(TASKS[0]))
        for step in range(10):
            grad = slope(w, 1 + step // 5) + 2 * strength * fisher * (w - base)
            e = net.tensor(grad, "0.weight")
            b, a = b - rate * s * e @ a.T, a - rate * s * b.T @ e
            w = base.copy()
            net.tensor(w, "0.weight")[:] += s * b @ a
        got = net.pack(run(3, 5).tensors)
        checks.moved("lora %s, ten steps" % keys, got, w, base, tolerance=1e-5)


def bce(z, target):
    """The slope of the sum of binary cross entropies of sigmoid(z) at z."""
    return sigmoid(z) - target


def herd(directions, amount):
    """Rebuffi et al. 2017, algorithm 4: places in the order of choice."""
    aim = directions.mean(axis=0)
    aim = aim / np.linalg.norm(aim)
    chosen, total = [], np.zeros(len(aim))
    for k in range(min(amount, len(directions))):
        far = np.linalg.norm(aim - (total + directions) / (k + 1), axis=1)
        far[chosen] = np.inf
        chosen.append(int(np.argmin(far)))
        total = total + directions[chosen[-1]]
    return chosen


def directions(net, w, x):
    """Features of length 1."""
    f = net.features(w, x)
    return f / np.linalg.norm(f, axis=1, keepdims=True)


def icarl(lyceum, checks, memory=9, temperature=1.0):
    """Rebuffi et al. 2017, algorithms 1 to 5: labels of the classes that are not old, answers of the old model for those that
    are; exemplars by herding, in equal shares; answers by the nearest mean of exemplars."""
    w, exemplars, places = START, {}, np.arange(len(DATA.y))
    for task in range(3):
        old, before = w, sum(TASKS[:task], [])
        fresh = [c for c in range(6) if c not in before]
        for _ in range(ROUNDS):
            sight = places[np.isin(DATA.y, TASKS[task])]
            also = [p for c in exemplars if c not in TASKS[task] for p in exemplars[c]]
            rows_ = np.concatenate([sight, np.array(also, dtype=int)])
            x, y = DATA.x[rows_], DATA.y[rows_]
            target = np.eye(6)[y]
            if before:
                target[:, before] = sigmoid(NET.forward(old, x)[0] / temperature)[:, before]
            for _ in range(EPOCHS):
                z, tape = NET.forward(w, x)
                w = w - RATE * NET.backward(w, tape, bce(z, target) / len(y))
            amount = memory // (len(before) + len(TASKS[task]))
            exemplars = {c: p[:amount] for c, p in exemplars.items()}
            for c in TASKS[task]:
                own = places[DATA.y == c]
                exemplars[c] = [own[i] for i in herd(directions(NET, w, DATA.x[own]), amount)]
    means = np.array([directions(NET, w, DATA.x[exemplars[c]]).mean(axis=0) for c in range(6)])
    keys = {"memory": memory, "temperature": temperature}
    start = dict(NET.unpack(START), means=np.zeros((6, 6)))
    assert fresh == TASKS[2]
    result = lyceum.run(scenario("icarl", keys, NET, loss="sigmoid"), DATA, start=start)
    checks.moved("icarl %s, weights" % keys, NET.pack(result.tensors), w, START)
    want = np.concatenate([means, np.ones((6, 1))], axis=1)
    checks.close("icarl %s, means of exemplars" % keys, result.tensors["means"], want)
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    far = ((directions(NET, w, DATA.x)[:, None, :] - unit[None]) ** 2).sum(axis=2)
    hits = far.argmin(axis=1) == DATA.y
    last = max(e["round"] for e in result.named("evaluated"))
    for task in range(3):
        probe = [e for e in result.named("evaluated") if e["round"] == last and e["probe"] == {"task": task}]
        rows_ = np.isin(DATA.y, TASKS[task])
        checks.close("icarl %s, hits of task %d" % (keys, task), probe[0]["accuracy"], hits[rows_].mean())


def importances(lyceum, checks):
    """Importances are those of the network in evaluation, without dropout, whatever masks training takes.

    Round 0 is task 0, round 1 takes the first step of task 1, in which the pull is 0, and round 2 the second one, in which
    it is strength * importance * (w1 - w0). Masks follow no method, so a run without one tells what the pull was.
    """
    net = Network(4, 6, [{"dense": {"units": 5}}, {"tanh": {}}, {"dropout": {"share": 0.5}}])
    start = net.draw(31)
    x, y = DATA.with_labels(TASKS[0])

    def run(method, keys, rounds):
        table = scenario(method, keys, net, rounds=rounds, epochs=1)
        table["scenario"]["class_incremental"]["arrival"] = {"rounds_per_task": 1}
        tasks = TASKS[:1] + [sum(TASKS[1:], [])]
        table["scenario"]["class_incremental"]["classes"] = tasks[:rounds]
        return net.pack(lyceum.run(table, DATA, start=net.unpack(start)).tensors)

    anchor, once, twice = (run("naive", {}, rounds) for rounds in (1, 2, 3))
    slopes = []
    for row in x:
        z, tape = net.forward(anchor, row[None])
        slopes.append(np.abs(net.backward(anchor, tape, 2 * z)))
    kinds = [
        ("mas", {"lambda": 32.0}, 64.0, np.mean(slopes, axis=0)),
        ("ewc", {"lambda": 512.0}, 512.0, fisher_exact(net, anchor, x)),
        ("ewc", {"lambda": 512.0, "fisher": "empirical"}, 512.0, fisher_empirical(net, anchor, x, y)),
        ("ewc", {"lambda": 2048.0, "fisher": "batched"}, 2048.0, fisher_batched(net, anchor, x, y)),
    ]
    for name, keys, strength, importance in kinds:
        pulled = twice - run(name, keys, 3)
        want = RATE * strength * importance * (once - anchor)
        checks.close("%s %s beside dropout 0.5, pull" % (name, keys), pulled, want, tolerance=1e-5)


def buffers(lyceum, checks):
    """Buffers smaller than the data: which samples of the first task many clients with the same data replay in the second
    shows in the loss of a step, where nothing moves. What is kept, and what is drawn, is as likely as anything else."""
    clients, few = 600, mixture(14, [7], 7, 4)
    x, y = few.x, np.array([0, 0, 0, 1, 1, 2, 3])
    data = Samples(np.tile(x, (clients, 1)), np.tile(y, clients), np.repeat(np.arange(clients), 7))
    net = Network(4, 4, [])
    start = net.draw(15)
    each = cross_entropy(net.forward(start, x)[0], y)[0]
    pairs = list(itertools.combinations(range(5), 2))
    means = np.array([(each[list(p)].sum() + each[5:].sum()) / 4 for p in pairs])
    assert np.diff(np.sort(means)).min() > 1e-4, "pairs that cannot be told apart"
    any_pair = {p: 0.1 for p in pairs}
    one_each = {p: 1 / 6 for p in pairs if y[p[0]] != y[p[1]]}
    cases = [
        ({"memory": 2, "replay": 2}, any_pair),
        ({"memory": 2, "replay": 2, "fill": "task-end"}, any_pair),
        ({"memory": 5, "replay": 2}, any_pair),
        ({"memory": 2, "replay": 2, "policy": "ring"}, any_pair),
        ({"memory": 2, "replay": 2, "policy": "class-balanced"}, one_each),
    ]
    for keys, chances in cases:
        table = scenario("er", keys, net, rounds=2, epochs=1, rate=1e-30)
        stream = table["scenario"]["class_incremental"]
        stream.update(classes=[[0, 1], [2, 3]], arrival={"rounds_per_task": 1})
        result = lyceum.run(table, data, start=net.unpack(start))
        seen = np.array([e["first_loss"] for e in result.clients(1)])
        apart = np.abs(seen[:, None] - means[None])
        checks.near("er %s, losses are those of two samples" % keys, apart.min(axis=1).max(), 0, 1e-5)
        drawn = [pairs[i] for i in apart.argmin(axis=1)]
        checks.equal("er %s, pairs that cannot be" % keys, sorted(set(drawn) - set(chances)), [])
        laws.frequencies(checks, "er %s, pairs" % keys, [drawn.count(p) for p in chances], list(chances.values()))


def main():
    lyceum, checks = command(), Checks()
    wants = []
    for name, rule, keys, more in CASES:
        result = lyceum.run(scenario(name, keys, NET, **more), DATA, start=NET.unpack(START))
        what = "%s %s%s" % (name, keys, "".join(", %s %s" % pair for pair in more.items()))
        want = rule(keys)
        checks.moved(what, NET.pack(result.tensors), want, START)
        wants.append(want)
    apart = min(np.abs(want - wants[0]).max() for want in wants[1:])
    checks.near("none of these is the first: closest to it", apart, 1e-2, np.inf)
    importances(lyceum, checks)
    buffers(lyceum, checks)
    gdumb(lyceum, checks)
    averaged_ewc(lyceum, checks)
    averaged_ewc(lyceum, checks, momentum=0.75, rate=0.5)
    lora(lyceum, checks)
    icarl(lyceum, checks)
    icarl(lyceum, checks, memory=20, temperature=2.0)
    checks.finish()


if __name__ == "__main__":
    main()
