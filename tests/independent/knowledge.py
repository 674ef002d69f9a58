"""A knowledge base (IBCL): distances, divergences and reuse of posteriors, and the models of preferences, from the posteriors that a run
keeps (Lu et al., arXiv 2305.14782, algorithms 1 and 2); what a preference is worth, from the run's own features."""

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from common import Checks, command, read_safetensors

FILE = Path(__file__).parents[2] / "scenarios/catalogue/ibcl-digits.toml"


def posterior(path):
    """Means and deviations, one after another."""
    all_of = read_safetensors(path)
    means = np.concatenate([all_of[n].ravel() for n in sorted(all_of) if not n.endswith(".rho")])
    rhos = np.concatenate([all_of[n + ".rho"].ravel() for n in sorted(all_of) if not n.endswith(".rho")])
    return means, np.exp(rhos)


def wasserstein(a, b):
    return np.sqrt((np.sum((a[0] - b[0]) ** 2) + np.sum((a[1] - b[1]) ** 2)) / len(a[0]))


def published(a, b):
    """The code's: deviations stand twice in the vector whose norm it takes."""
    means = np.linalg.norm(a[0] - b[0]) / len(a[0])
    twice = np.concatenate([a[1], a[1]]) - np.concatenate([b[1], b[1]])
    return means + np.linalg.norm(twice) / len(twice)


def divergence(q, p):
    return np.sum(np.log(p[1] / q[1]) + (q[1] ** 2 + (q[0] - p[0]) ** 2) / (2 * p[1] ** 2) - 0.5)


def call(lyceum, *words):
    subprocess.run([lyceum.binary, *words], check=True, capture_output=True)


def run(lyceum, folder, name, *keys):
    out = Path(folder) / name
    words = ["run", str(FILE), "--quiet", "--out", str(out)]
    call(lyceum, *words, *[word for key in keys for word in ("--set", key)])
    log = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    last = sorted(path for path in (out / "checkpoint").glob("0*"))[-1]
    book = json.loads((last / "models.json").read_text())
    models = {model: posterior(out / file) for model, file in book.items()}
    return out, [event for event in log if event["event"] == "posterior_learned"], models


def check_points(checks, name, told, models, distance, threshold):
    """Distances to those that were kept before, and what is given up for which."""
    kept = []
    for event in told:
        own = models.get(f"posterior.{event['task']}.{event['prior']}")
        if event["reused"]:
            checks.equal(f"{name}: near enough", bool(event["distance"] <= threshold), True)
            checks.equal(f"{name}: it is gone", bool(own is None), True)
            continue
        nearest = min((distance(own, models[other]) for other in kept), default=None)
        if nearest is None:
            checks.equal(f"{name}: the first", bool(event["distance"] is None), True)
        else:
            checks.close(f"{name}: distance", event["distance"], nearest)
            checks.equal(f"{name}: new", bool(nearest > threshold), True)
        checks.close(f"{name}: divergence", event["divergence"], divergence(own, models[event["prior_model"]]))
        kept.append(event["model"])
    checks.equal(f"{name}: kept", bool(told[-1]["kept"] == len(kept)), True)


def check_preferences(checks, lyceum, out, name, told, models, variances):
    tasks = sorted({event["task"] for event in told})
    for weights in ([0.2] * 5, [0, 0, 1, 0, 0], [0.5, 0.1, 0.25, 0.15, 0]):
        file = out.parent / "model.safetensors"
        text = ",".join(str(weight) for weight in weights)
        call(lyceum, "knowledge", str(out), "--preference", text, "--draws", "0", "--out", str(file))
        means, spread = 0.0, 0.0
        for task, weight in zip(tasks, weights):
            own = [models[event["model"]] for event in told if event["task"] == task]
            for mean, deviation in own:
                means = means + weight / len(own) * mean
                spread = spread + weight / len(own) * (deviation**2 if variances else deviation)
        found = posterior(file)
        checks.close(f"{name}: means of {text}", found[0], means)
        checks.close(f"{name}: deviations of {text}", found[1], np.sqrt(spread) if variances else spread)


def main():
    lyceum, checks = command(), Checks()
    with tempfile.TemporaryDirectory() as folder:
        for name, keys, distance, threshold in [
            ("all", ["scenario.ibcl.threshold=0"], wasserstein, 0.0),
            ("some", ["scenario.ibcl.threshold=0.07"], wasserstein, 0.07),
            ("published", ["scenario.ibcl.threshold=0.006", 'scenario.ibcl.distance="published"'], published, 0.006),
            ("variances", ['scenario.ibcl.combine="variances"'], wasserstein, 0.01),
        ]:
            out, told, models = run(lyceum, folder, name, *keys)
            check_points(checks, name, told, models, distance, threshold)
            check_preferences(checks, lyceum, out, name, told, models, name == "variances")
    checks.finish()


if __name__ == "__main__":
    main()
