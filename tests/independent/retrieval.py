"""Recall among the first ten of a linear dual encoder on the set lean-premises, from the files and from the model's weights alone:

    python3 retrieval.py DATA/lean-premises RUN/model.safetensors

Reads texts, makes features, embeds and ranks in numpy (64 bits), and prints what a run tells: recall and reciprocal rank over all test
queries, and the mean over the repositories. Shares no code with the project."""

import collections
import csv
import gzip
import json
import math
import re
import struct
import sys
import zlib

import numpy as np

BUCKETS = 4096
WORD = re.compile(r"[^\W\d][\w'.]*|[^\w\s()\[\]{},:]")


def counts(text):
    found = collections.Counter()
    for word in WORD.findall(text):
        parts = re.split(r"[._]", word)
        for token in [word] + ([p for p in parts if p] if len(parts) > 1 else []):
            found[zlib.crc32(("t" + token).encode()) % BUCKETS] += 1
    for at in range(len(text) - 2):
        found[zlib.crc32(("g" + text[at : at + 3]).encode()) % BUCKETS] += 1
    return found


def row(found, rarity):
    keys = np.fromiter(found, int)
    values = np.sqrt(np.fromiter(found.values(), float)) * rarity[keys]
    return keys, values / max(np.linalg.norm(values), 1e-9)


def main(folder, model):
    with open(model, "rb") as file:
        head = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        body = file.read()
    (entry,) = [v for k, v in head.items() if k.endswith("weight")]
    start, end = entry["data_offsets"]
    weights = np.frombuffer(body[start:end], "<f4").reshape(entry["shape"]).astype(float)

    lines = lambda name: map(json.loads, gzip.open(f"{folder}/{name}.jsonl.gz", "rt"))
    declarations = list(lines("declarations"))
    sees = {}
    for file in csv.DictReader(gzip.open(f"{folder}/files.csv.gz", "rt")):
        own = {int(file["id"])}
        sees[int(file["id"])] = own.union(*(sees[int(other)] for other in file["imports"].split()))
    candidates = [d for d in declarations if d["kind"] in ("theorem", "lemma", "axiom", "field")]
    library = np.array([d["repo"] < 2 for d in candidates])
    texts = [counts(d["name"] + " " + d["statement"]) for d in candidates]
    df = np.zeros(BUCKETS)
    for found, common in zip(texts, library):
        if common:
            df[list(found)] += 1
    rarity = np.log((library.sum() + 1) / (df + 1))

    def embed(found):
        keys, values = row(found, rarity)
        z = values @ weights[keys]
        return z / max(np.linalg.norm(z), 1e-12)

    embedded = np.array([embed(found) for found in texts])
    ids = np.array([d["id"] for d in candidates])
    files = np.array([d["file"] for d in candidates])
    repositories = np.array([d["repo"] for d in candidates])
    place = {d["id"]: at for at, d in enumerate(candidates)}
    by_task, ranks = collections.defaultdict(list), []
    for theorem in lines("theorems"):
        if not theorem["premises"] or theorem["split"] != "test" or theorem["repo"] < 2:
            continue
        own = declarations[theorem["id"]]
        mine = (repositories == own["repo"]) & (ids < own["id"])
        mine &= np.isin(files, list(sees[own["file"]]))
        seen = np.flatnonzero(library | mine)
        order = seen[np.argsort(-(embedded[seen] @ embed(counts(own["statement"]))), kind="stable")]
        relevant = {place[p] for p in theorem["premises"]}
        hits = [at for at, c in enumerate(order) if c in relevant]
        by_task[own["repo"]].append(sum(at < 10 for at in hits) / len(relevant))
        ranks.append(1 / (hits[0] + 1) if hits else 0.0)
    everything = [value for values in by_task.values() for value in values]
    print("recall_10", np.mean(everything))
    print("reciprocal_rank", np.mean(ranks))
    print("recall_10_macro", np.mean([np.mean(values) for values in by_task.values()]))
    for task, values in sorted(by_task.items()):
        print(f"recall_10.task_{task - 2}", np.mean(values))


if __name__ == "__main__":
    main(*sys.argv[1:])
