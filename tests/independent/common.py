"""Runs the command on small scenarios, reads what it leaves behind, and compares."""

import glob
import json
import os
import struct
import subprocess
import sys
import tempfile

import numpy as np


class Samples:
    """Samples with labels and owners; values are single-precision numbers, kept in double precision."""

    def __init__(self, x, y, owner=None):
        self.x = np.asarray(x, dtype=np.float32).astype(np.float64)
        self.y = np.asarray(y, dtype=np.int64)
        self.owner = np.zeros(len(self.y), dtype=np.int64) if owner is None else np.asarray(owner)

    def of(self, owner):
        """The samples and labels of one owner."""
        rows = self.owner == owner
        return self.x[rows], self.y[rows]

    def with_labels(self, labels):
        """The samples and labels of these classes."""
        rows = np.isin(self.y, labels)
        return self.x[rows], self.y[rows]

    def write(self, path):
        """Writes a table with the columns owner, label, f0, f1, ..."""
        with open(path, "w") as file:
            names = ["f%d" % i for i in range(self.x.shape[1])]
            file.write(",".join(["owner", "label"] + names) + "\n")
            for owner, label, row in zip(self.owner, self.y, self.x):
                file.write(",".join([str(owner), str(label)] + [repr(float(v)) for v in row]) + "\n")


def mixture(seed, sizes, classes, features, apart=1.0):
    """Clients with samples around one centre per class; each client has every class if it has the room."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(0.0, apart, (classes, features))
    owner = np.repeat(np.arange(len(sizes)), sizes)
    y = np.concatenate([np.arange(n) % classes for n in sizes])
    x = centres[y] + rng.normal(0.0, 0.7, (len(y), features)) + 0.3 * owner[:, None]
    return Samples(x, y, owner)


def single(values):
    """Values as single precision holds them, in double precision."""
    return np.asarray(values, dtype=np.float32).astype(np.float64)


def toml(value):
    """A value as TOML; tables are inline."""
    if isinstance(value, dict):
        return "{ " + ", ".join("%s = %s" % (key, toml(of)) for key, of in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml(of) for of in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, float):
        return repr(value) if "e" not in repr(value) or "." in repr(value) else "%.1e" % value
    return str(value)


def read_safetensors(path):
    """The tensors of a file by name, in double precision."""
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length].decode())
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        assert entry["dtype"] == "F32", entry
        begin, end = entry["data_offsets"]
        values = np.frombuffer(data[8 + length + begin : 8 + length + end], dtype="<f4")
        tensors[name] = values.astype(np.float64).reshape(entry["shape"])
    return tensors


def write_safetensors(path, tensors):
    """Writes tensors, a mapping of names to arrays, in single precision."""
    header, body = {}, b""
    for name, values in tensors.items():
        data = np.ascontiguousarray(values, dtype="<f4").tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": list(np.shape(values)),
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + body)


class Run:
    """What a run left behind."""

    def __init__(self, folder, output):
        self.output = output
        checkpoints = glob.glob(os.path.join(folder, "checkpoint", "*", "global.safetensors"))
        self.tensors = read_safetensors(max(checkpoints))
        self.state = os.path.join(os.path.dirname(max(checkpoints)), "state.bin")
        with open(os.path.join(folder, "events.jsonl")) as file:
            self.events = [json.loads(line) for line in file]

    def kept(self, slot):
        """What clients keep in a slot, by client, in double precision: read from the saved state, where the number of a client and
        of its slots stand before the name, and a kind, a length and the values behind it. For clients with one slot."""
        with open(self.state, "rb") as file:
            data = file.read()
        name = struct.pack("<Q", len(slot)) + slot.encode()
        found, at = {}, data.find(name)
        while at >= 0:
            client, slots = struct.unpack("<QQ", data[at - 16 : at])
            kind, length = struct.unpack("<IQ", data[at + len(name) : at + len(name) + 12])
            assert (slots, kind) == (1, 0), (slots, kind)
            begin = at + len(name) + 12
            found[client] = np.frombuffer(data[begin : begin + 4 * length], dtype="<f4").astype(np.float64)
            at = data.find(name, begin + 4 * length)
        return found

    def named(self, kind):
        """Events of one kind."""
        return [event for event in self.events if event["event"] == kind]

    def clients(self, round_):
        """The events of the clients that took part in a round."""
        return [e for e in self.named("client") if e["round"] == round_]

    def cohort(self, round_):
        """Clients that took part in a round, ascending."""
        return sorted(event["client"] for event in self.clients(round_))

    def rounds(self):
        """Cohorts of all rounds."""
        cohorts = {}
        for event in self.named("client"):
            cohorts.setdefault(event["round"], []).append(event["client"])
        return [sorted(cohorts[r]) for r in sorted(cohorts)]


class Lyceum:
    """The command under test."""

    def __init__(self, binary):
        self.binary = os.path.abspath(binary)
        # Runs sync their files; in memory that costs nothing.
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.place = tempfile.TemporaryDirectory(prefix="lyceum-independent-", dir=memory)
        self.runs = 0

    def run(self, scenario, samples, start=None, test=None, seed=1):
        """Runs a scenario, a mapping of its tables, on samples that each owner keeps for itself, or without any on what its
        table `data` says.

        `start` are the tensors that the run begins with. Test samples are the training samples by default.
        """
        self.runs += 1
        folder = os.path.join(self.place.name, str(self.runs))
        os.mkdir(folder)
        path = lambda name: os.path.join(folder, name)
        tables = {name: dict(table) for name, table in scenario.items()}
        tables["run"] = dict({"name": "independent", "seed": seed}, **tables.get("run", {}))
        if start is not None:
            write_safetensors(path("start.safetensors"), start)
            tables["run"]["start_from"] = path("start.safetensors")
        if samples is not None:
            samples.write(path("train.csv"))
            (test or samples).write(path("test.csv"))
            files = {"train": path("train.csv"), "test": path("test.csv"), "label": "label", "client": "owner"}
            data = {
                "set": {"csv": files},
                "clients": int(samples.owner.max()) + 1,
                "normalise": "none",
                "partition": "by_client",
            }
            tables["data"] = dict(data, **tables.get("data", {}))
        tables.setdefault("selection", {"all": {}})
        tables.setdefault("strategy", {"fed_avg": {}})
        with open(path("scenario.toml"), "w") as file:
            for name, table in tables.items():
                file.write("%s = %s\n" % (name, toml(table)))
        command = [self.binary, "run", path("scenario.toml"), "--out", path("out"), "--threads", "1", "--quiet"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder)
        output = done.stdout.decode()
        if done.returncode != 0:
            with open(path("scenario.toml")) as file:
                raise SystemExit("the command failed with %d:\n%s\n%s" % (done.returncode, output, file.read()))
        return Run(path("out"), output)


class Checks:
    """Counts what agrees and what does not, and says so line by line."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def say(self, holds, what, figures):
        """One line of the report."""
        self.passed += holds
        self.failed += not holds
        print("%s  %s: %s" % ("ok    " if holds else "FAILED", what, figures))

    def close(self, what, got, want, scale=None, tolerance=2e-6):
        """Single-precision results beside double-precision ones; the difference is judged beside `scale`, by default the
        largest value wanted."""
        got, want = np.asarray(got, dtype=np.float64), np.asarray(want, dtype=np.float64)
        if got.shape != want.shape:
            return self.say(False, what, "shape %s, where %s is right" % (got.shape, want.shape))
        scale = float(np.max(np.abs(want))) if scale is None else float(scale)
        apart = float(np.max(np.abs(got - want))) if got.size else 0.0
        holds = apart <= tolerance * max(scale, 1e-30)
        figures = "%d values, %.1e apart beside %.3g" % (got.size, apart, scale)
        return self.say(holds, what, figures)

    def moved(self, what, got, want, start, tolerance=2e-6):
        """Parameters beside those wanted: the difference is judged beside the largest way from `start`, with room for
        one rounding of the parameters themselves to single precision."""
        want, start = np.asarray(want), np.asarray(start)
        way, size = float(np.max(np.abs(want - start))), float(np.max(np.abs(want)))
        apart = float(np.max(np.abs(np.asarray(got) - want)))
        figures = "%d values, %.1e apart on a way of %.3g" % (want.size, apart, way)
        return self.say(apart <= tolerance * way + 1.2e-7 * size, what, figures)

    def model(self, what, net, result, want, start, tolerance=2e-6):
        """The model that a run ended with: weights, and apart from them running statistics, which go longer ways."""
        got, still = net.pack(result.tensors), net.statistics()
        if still.any():
            self.moved("%s, statistics" % what, got[still], want[still], start[still], tolerance)
            what = "%s, weights" % what
        self.moved(what, got[~still], want[~still], start[~still], tolerance)

    def equal(self, what, got, want):
        """Counts, names and lists that must be the same."""
        same = got == want
        return self.say(same, what, "%s" % (got,) if same else "%s, where %s is right" % (got, want))

    def near(self, what, got, low, high):
        """A number within bounds that were set beforehand."""
        return self.say(low <= got <= high, what, "%.4g in %.4g .. %.4g" % (got, low, high))

    def finish(self):
        """The last line, and the exit code."""
        print("%d passed, %d failed" % (self.passed, self.failed))
        sys.exit(1 if self.failed else 0)


def command():
    """The command that the first argument names."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: %s PATH-OF-LYCEUM" % sys.argv[0])
    return Lyceum(sys.argv[1])
