"""Hashed counts of messages and windows of Shakespeare's plays, worked out from the files alone.

    python3 text.py FOLDER > ../../scenarios/src/data/text/tests/golden.json

FOLDER holds `sms-spam/SMSSpamCollection` and `tinyshakespeare/input.txt`. Of the messages nothing is written down but
counts at hashed places.
"""

import collections
import json
import math
import os
import re
import sys


def fnv(data):
    """64-bit FNV-1a."""
    value = 14695981039346656037
    for byte in data:
        value = (value ^ byte) * 1099511628211 % 2**64
    return value


def words(text):
    """Runs of letters and digits, and every other character besides white space."""
    return re.findall(r"[^\W_]+|[^\w\s]|_", text)


def grams(text, keys):
    """How often each n-gram comes."""
    found = words(text.lower() if keys["lower"] else text)
    counts = collections.Counter()
    for n in keys["words"]:
        counts.update(" ".join(found[i : i + n]) for i in range(len(found) - n + 1))
    for n in keys["characters"]:
        for word in found:
            counts.update(" " + word[i : i + n] for i in range(len(word) - n + 1))
    return counts


def counts(text, keys):
    """Values that are not zero by their places."""
    value = {"count": float, "binary": lambda n: 1.0, "log": lambda n: 1 + math.log(n)}[keys["counts"]]
    row = collections.defaultdict(float)
    for gram, times in grams(text, keys).items():
        hashed = fnv(gram.encode())
        sign = -1 if keys["sign"] and hashed >= 2**63 else 1
        row[hashed % keys["size"]] += sign * value(times)
    row = {place: v for place, v in row.items() if abs(v) > 1e-12}
    length = math.sqrt(sum(v * v for v in row.values())) if keys["normalise"] else 1
    return sorted((place, v / length) for place, v in row.items())


def speakers(text):
    """What each speaker says, in the order of first speeches."""
    said = {}
    for block in re.split(r"\n\n+", text.strip("\n")):
        name, _, speech = block.partition("\n")
        said.setdefault(name.removesuffix(":"), []).append(speech)
    return said


def windows(text, places, share):
    """Training samples, and how many for tests, of speakers with 1,000 characters or more."""
    said = speakers(text)
    kinds = sorted(set("".join(speech for of in said.values() for speech in of)) | {"\n"})
    number = {kind: i for i, kind in enumerate(kinds)}
    samples, tests, owner = [], 0, 0
    for of in said.values():
        if sum(map(len, of)) < 1000:
            continue
        tokens = [number[c] for c in "\n".join(of)]
        cut = len(tokens) - math.floor(len(tokens) * share + 0.5)
        for begin in range(0, cut - places, places):
            samples.append((owner, tokens[begin : begin + places], tokens[begin + places]))
        tests += len(range(0, len(tokens) - cut - places, places))
        owner += 1
    return samples, tests


def main(folder):
    plain = {"size": 4096, "words": [1, 2], "characters": [], "lower": True, "counts": "count", "sign": False, "normalise": False}
    other = {"size": 1000, "words": [1], "characters": [3, 5], "lower": False, "counts": "log", "sign": True, "normalise": True}
    with open(os.path.join(folder, "sms-spam", "SMSSpamCollection"), encoding="utf-8", newline="\n") as file:
        messages = [line.rstrip("\n").split("\t", 1)[1] for line in file]
    cases = []
    for at in range(20):
        keys, line = (plain, other)[at % 2], at * 277
        row = counts(messages[line], keys)
        cases.append({"line": line, "keys": keys, "places": [p for p, _ in row], "values": [v for _, v in row]})
    with open(os.path.join(folder, "tinyshakespeare", "input.txt"), encoding="utf-8") as file:
        samples, tests = windows(file.read(), 80, 0.2)
    shown = [{"sample": at, "owner": samples[at][0], "tokens": samples[at][1], "label": samples[at][2]} for at in (0, 4321, len(samples) - 1)]
    golden = {"counts": cases, "training": len(samples), "tests": tests, "windows": shown}
    print(json.dumps(golden))


if __name__ == "__main__":
    main(sys.argv[1])
