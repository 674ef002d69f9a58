"""Whether models are as often right as they are sure (Guo et al. 2017), of runs and of the models of a knowledge base; what models are worth
together (hypervolume, by inclusion and exclusion); and principal components."""

import itertools
import json
import os
import subprocess

import numpy as np

from common import Checks, command, mixture, read_safetensors
from network import Network, cross_entropy

BINS = 15


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def calibration(p, y):
    """Expected calibration error and negative log likelihood of probabilities."""
    sure, hit = p.max(axis=1), p.argmax(axis=1) == y
    place = np.clip(np.ceil(sure * BINS).astype(int), 1, BINS)
    gaps = [abs(hit[place == b].sum() - sure[place == b].sum()) for b in range(1, BINS + 1)]
    return sum(gaps) / len(y), -np.log(p[np.arange(len(y)), y]).mean()


def of_runs(lyceum, checks):
    data, net = mixture(5, [400, 300], 4, 6, apart=0.6), Network(6, 4, [{"dense": {"units": 5}}, {"tanh": {}}])
    scenario = {
        "run": {"rounds": 3},
        "model": net.model(),
        "training": {"rate": 0.25, "epochs": 2, "batch": 20},
        "evaluation": {"calibration": True},
    }
    result = lyceum.run(scenario, data)
    error, likelihood = calibration(softmax(net.forward(net.pack(result.tensors), data.x)[0]), data.y)
    told = result.named("evaluated")[-1]
    checks.close("expected calibration error", told["further"]["calibration_error"], error, scale=1.0)
    checks.close("negative log likelihood", told["further"]["negative_log_likelihood"], likelihood)
    checks.close("the loss is the same", told["loss"], likelihood)
    del scenario["evaluation"]
    plain = lyceum.run(scenario, data)
    checks.equal("untold unless asked for", "further" in plain.named("evaluated")[-1], False)
    same = all(np.array_equal(plain.tensors[name], result.tensors[name]) for name in result.tensors)
    checks.equal("the model is the same", same, True)


def volume(points):
    """Volume of the union of boxes from 0, by inclusion and exclusion."""
    total = 0.0
    for count in range(1, len(points) + 1):
        for some in itertools.combinations(points, count):
            total -= (-1) ** count * np.prod(np.min(some, axis=0))
    return total


def asked(lyceum, folder, *words):
    out = subprocess.run([lyceum.binary, "knowledge", folder, *words], check=True, capture_output=True)
    return out.stdout.decode()


def of_knowledge(lyceum, checks):
    data = mixture(6, [600], 6, 5, apart=0.8)
    scenario = {
        "run": {"rounds": 9},
        "model": {"logistic": {}},
        "variational": {"start": 0.1},
        "training": {"rate": 0.01, "epochs": 3, "batch": 20, "optimizer": {"adam": {}}},
        "scenario": {"ibcl": {"tasks": 3}},
    }
    lyceum.run(scenario, data)
    folder = os.path.join(lyceum.place.name, str(lyceum.runs), "out")
    for weights in ("0.25,0.5,0.25", "0,0,1"):
        file = os.path.join(lyceum.place.name, "model.safetensors")
        if os.path.exists(file):
            os.remove(file)
        found = json.loads(asked(lyceum, folder, "--preference", weights, "--draws", "3", "--json", "--out", file))
        model = read_safetensors(file)
        for task, row in enumerate(found["tasks"]):
            x, y = data.with_labels([2 * task, 2 * task + 1])
            z = x @ model["0.weight"].T + model["0.bias"]
            error, likelihood = calibration(softmax(np.hstack([np.zeros_like(z), z])), y % 2)
            point = row["calibration"][0]
            checks.close("%s, task %d, ECE" % (weights, task), point["calibration_error"], error, scale=1.0)
            checks.close("%s, task %d, NLL" % (weights, task), point["negative_log_likelihood"], likelihood)
    lines = asked(lyceum, folder, "--preferences", "10").splitlines()[1:]
    accuracies = [[float(word) for word in line.split(",")[3:6]] for line in lines]
    measures = json.loads(asked(lyceum, folder, "--measures", "--draws", "1", "--json"))
    checks.close("hypervolume", measures[-1]["hypervolume"], volume(accuracies), tolerance=1e-12)


def components(lyceum, checks):
    """One step of a dense layer on the components of classes 0 and 1, from given weights."""
    data, net = mixture(7, [90], 4, 7), Network(3, 4, [])
    fitted, _ = data.with_labels([0, 1])
    for whiten in (False, True):
        values, vectors = np.linalg.eigh(np.cov(fitted.T, bias=True))
        directions = vectors[:, ::-1][:, :3]
        directions = directions * np.sign(directions[np.abs(directions).argmax(axis=0), range(3)])
        if whiten:
            directions = directions / np.sqrt(values[::-1][:3])
        x = (data.x - fitted.mean(axis=0)) @ directions
        start = np.random.default_rng(8).normal(0.0, 0.5, net.size)
        z, tape = net.forward(start, x, training=True)
        want = start - 0.5 * net.backward(start, tape, cross_entropy(z, data.y)[1] / len(data.y))
        scenario = {
            "run": {"rounds": 1},
            "data": {"features": {"pca": {"size": 3, "classes": [0, 1], "whiten": whiten}}},
            "model": net.model(),
            "training": {"rate": 0.5, "epochs": 1, "batch": 1000},
        }
        result = lyceum.run(scenario, data, start=net.unpack(start))
        named = "components, of variance 1" if whiten else "components"
        checks.model(named, net, result, want, start, tolerance=1e-5)


def main():
    lyceum, checks = command(), Checks()
    of_runs(lyceum, checks)
    of_knowledge(lyceum, checks)
    components(lyceum, checks)
    checks.finish()


if __name__ == "__main__":
    main()
