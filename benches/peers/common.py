"""What every peer script shares: workloads, data, partition, clock, memory, and the line printed at the end.

Needs numpy only, so that each environment can use it.
"""

import argparse
import contextlib
import gzip
import importlib.metadata
import json
import os
import statistics
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

RATE = 0.05
BATCH = 32
CLASSES = 10

# Set by a script that starts itself again, so that time and memory count from the first process.
STARTED = "PEER_STARTED"
ROOT = "PEER_ROOT"


class Workload(NamedTuple):
    clients: int
    samples: int
    cohort: int
    rounds: int
    model: str
    evaluate_every: int
    rate: float = RATE
    batch: int = BATCH
    source: str = "fashion-mnist"
    law: str = "dirichlet"


WORKLOADS = {
    "W1": Workload(100, 600, 10, 50, "mlp", 10),
    "W2": Workload(100, 600, 10, 20, "cnn", 10),
    "W3": Workload(1_000, 60, 100, 10, "mlp", 10),
    "W4": Workload(10_000, 6, 1_000, 3, "softmax", 3),
    "W8": Workload(200, 50, 50, 20, "pfl_cnn", 10, 0.1, 10, "cifar10-subset", "iid"),
    "W9": Workload(1_000, 60, 10, 100, "sigmoids", 20, 0.03, 10, "mnist", "sizes"),
}

TASKS = 5
METHODS = ("naive", "replay", "ewc")
CONTINUAL_RATE = 0.01
BUFFER = 500
EWC_STRENGTH = 100.0


class Data(NamedTuple):
    """Images as rows of f32 in [0, 1], labels as i64."""

    x: np.ndarray
    y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


def arguments(workloads=tuple(WORKLOADS), threads=2):
    """The command line; `rounds` is filled in from the workload."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=workloads)
    parser.add_argument("--data", required=True, help="folder of the data sets, or of the workload's own")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--threads", type=int, default=threads)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--method", choices=METHODS, help="W5 only: one method instead of all three")
    chosen = parser.parse_args()
    if chosen.rounds is None and chosen.workload in WORKLOADS:
        chosen.rounds = WORKLOADS[chosen.workload].rounds
    return chosen


def idx(path):
    """The array in a gzipped IDX file of unsigned bytes."""
    raw = gzip.decompress(Path(path).read_bytes())
    if raw[:3] != b"\0\0\x08":
        raise ValueError(f"{path}: not an IDX file of unsigned bytes")
    dimensions = raw[3]
    shape = np.frombuffer(raw, ">u4", dimensions, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def images(path):
    """Rows of values in [0, 1]; those of images with channels go channel by channel."""
    found = idx(path)
    if found.ndim == 4:
        found = found.transpose(0, 3, 1, 2)
    return found.reshape(len(found), -1).astype(np.float32) / np.float32(255)


def place(folder, source):
    """The folder of a set: the one that is named, one in it, or one beside it."""
    folder = Path(folder)
    inside = [folder / source, folder.parent / source]
    return next((path for path in inside if path.is_dir()), folder)


def load(folder, source="fashion-mnist"):
    folder = place(folder, source)
    test = "t10k" if (folder / "t10k-labels-idx1-ubyte.gz").exists() else "test"
    kind = "idx4" if (folder / "train-images-idx4-ubyte.gz").exists() else "idx3"
    part = lambda name, what: folder / f"{name}-{what}-ubyte.gz"
    data = Data(
        images(part("train", f"images-{kind}")),
        idx(part("train", "labels-idx1")).astype(np.int64),
        images(part(test, f"images-{kind}")),
        idx(part(test, "labels-idx1")).astype(np.int64),
    )
    return data if kind == "idx3" else standardised(data)


def standardised(data):
    """Images of three channels, each with mean 0 and variance 1 over the training images."""
    planes = data.x.reshape(len(data.x), 3, -1)
    mean, deviation = planes.mean((0, 2)), planes.std((0, 2))
    scale = lambda x: ((x.reshape(len(x), 3, -1) - mean[:, None]) / deviation[:, None]).reshape(x.shape).astype(np.float32)
    return data._replace(x=scale(data.x), test_x=scale(data.test_x))


def partition(labels, workload, seed):
    """Sample positions of each client, none used twice, by the workload's law."""
    rng = np.random.default_rng(seed)
    if workload.law == "iid":
        return rng.permutation(len(labels))[: workload.clients * workload.samples].reshape(workload.clients, -1)
    if workload.law == "sizes":
        return sizes(labels, workload, rng)
    return by_classes(labels, workload, rng)


def sizes(labels, workload, rng, alpha=0.42, least=10):
    """Parts of very different sizes: what is left above `least` in proportions by a Dirichlet draw, as `quantity_skew`."""
    spare = len(labels) - least * workload.clients
    shares = rng.dirichlet(np.full(workload.clients, alpha))
    cuts = np.floor(np.cumsum(shares)[:-1] * spare).astype(int) + least * np.arange(1, workload.clients)
    return np.split(rng.permutation(len(labels)), cuts)


def by_classes(labels, workload, rng, alpha=0.5):
    """Equal sizes, classes by a Dirichlet draw.

    A class that has run out is left out of later draws, as in the simulator's `dirichlet_equal`.
    """
    held = [rng.permutation(np.flatnonzero(labels == c)) for c in range(CLASSES)]
    left = np.array([len(c) for c in held])
    mixes = rng.dirichlet(np.full(CLASSES, alpha), workload.clients)
    rows = np.empty((workload.clients, workload.samples), np.int64)
    for row, mix in zip(rows, mixes):
        filled = 0
        while filled < workload.samples:
            weights = np.where(left > 0, mix, 0.0)
            weights = weights if weights.sum() > 0 else left.astype(float)
            wanted = rng.multinomial(workload.samples - filled, weights / weights.sum())
            for c in np.flatnonzero(np.minimum(wanted, left)):
                take = min(wanted[c], left[c])
                row[filled : filled + take] = held[c][left[c] - take : left[c]]
                left[c] -= take
                filled += take
    return rows


def cohorts(workload, seed):
    """Clients of one round after another, drawn without replacement within a round."""
    rng = np.random.default_rng(seed + 1)
    while True:
        yield rng.choice(workload.clients, workload.cohort, replace=False)


def tasks(labels):
    """Positions of each task's samples: classes 0 and 1, then 2 and 3, and so on."""
    pairs = np.arange(CLASSES).reshape(TASKS, -1)
    return [np.flatnonzero(np.isin(labels, pair)) for pair in pairs]


def process_started():
    """Unix time at which this process was created, to a hundredth of a second."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    alive = float(Path("/proc/uptime").read_text().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - alive


def since_start():
    return time.time() - float(os.environ.get(STARTED) or process_started())


def restart_environment():
    """Environment for a process that carries on this script's measurement."""
    return {**os.environ, STARTED: str(process_started()), ROOT: str(os.getpid())}


def descendants(root):
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for process in found:
        found.extend(children.get(process, []))
    return found


def proportional_mib(process):
    """Resident memory of a process, pages shared with others counted in proportion."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def own_peak_mib():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


class Clock:
    """Times rounds and, where there are several processes, samples memory between them."""

    def __init__(self, processes=1):
        self.many = processes > 1
        self.seconds = []
        self.first = None
        self.peak = 0.0

    def start(self):
        self.began = time.perf_counter()

    def stop(self):
        self.seconds.append(time.perf_counter() - self.began)
        if self.first is None:
            self.first = since_start()
        self.sample()

    @contextlib.contextmanager
    def round(self):
        self.start()
        yield
        self.stop()

    def sample(self):
        # One process knows its own peak exactly; only for several is it worth the reading.
        if self.many:
            root = int(os.environ.get(ROOT) or os.getpid())
            self.peak = max(self.peak, sum(map(proportional_mib, descendants(root))))

    def peak_mib(self):
        return max(self.peak, own_peak_mib())


def versions(names):
    return {name: importlib.metadata.version(name) for name in names}


def report(peer, chosen, clock, accuracy, packages):
    """Prints the line; the first round holds compilation and warm-up, so it is left out of the median."""
    later = clock.seconds[1:] or clock.seconds
    line = {
        "peer": peer,
        "workload": chosen.workload,
        "rounds": len(clock.seconds),
        "seconds_per_round": statistics.median(later),
        "min": min(later),
        "first_round_seconds": clock.first,
        "peak_mib": clock.peak_mib(),
        "accuracy": accuracy,
        "threads": chosen.threads,
        "versions": versions(packages),
    }
    print(json.dumps(rounded(line)), flush=True)


def report_tasks(peer, chosen, clock, first_step, accuracy, packages):
    line = {
        "peer": peer,
        "workload": chosen.workload,
        "method": chosen.method,
        "rounds": len(clock.seconds),
        "seconds_per_task": statistics.median(clock.seconds),
        "min": min(clock.seconds),
        "max": max(clock.seconds),
        "first_step_seconds": first_step,
        "first_round_seconds": clock.first,
        "peak_mib": clock.peak_mib(),
        "accuracy": accuracy,
        "threads": chosen.threads,
        "versions": versions(packages),
    }
    print(json.dumps(rounded(line)), flush=True)


def rounded(line):
    return {k: round(v, 6) if isinstance(v, float) else v for k, v in line.items()}
