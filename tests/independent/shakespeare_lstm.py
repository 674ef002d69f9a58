"""Trains in PyTorch what `scenarios/catalogue/shakespeare-lstm.toml` describes, and prints the test perplexity of each seed.

    python tests/independent/shakespeare_lstm.py FOLDER [ROUNDS] [SEEDS]

FOLDER holds `tinyshakespeare/input.txt`. Draws differ, so perplexities agree as those of two seeds do.
"""

import os
import sys

import torch
from torch import nn

from text import speakers
from text_models import CharLstm

PLACES, BATCH, RATE, COHORT, LEAST, SHARE = 80, 10, 0.8, 10, 1000, 0.2


def clients(text):
    """Windows of every speaker of enough characters: training inputs and answers, and those of the last share for tests."""
    said = speakers(text)
    kinds = sorted(set("".join(speech for of in said.values() for speech in of)) | {"\n"})
    number = {kind: i for i, kind in enumerate(kinds)}
    train, test = [], []
    for of in said.values():
        if sum(map(len, of)) < LEAST:
            continue
        tokens = torch.tensor([number[c] for c in "\n".join(of)])
        cut = len(tokens) - int(len(tokens) * SHARE + 0.5)
        train.append(windows(tokens[:cut]))
        test.append(windows(tokens[cut:]))
    joined = tuple(torch.cat(part) for part in zip(*test))
    return train, joined, len(kinds)


def windows(tokens):
    begins = range(0, len(tokens) - PLACES, PLACES)
    inputs = [tokens[b : b + PLACES] for b in begins]
    answers = [tokens[b + PLACES] for b in begins]
    shape = (len(inputs), PLACES)
    return torch.stack(inputs) if inputs else torch.zeros(shape, dtype=torch.long), torch.tensor(answers, dtype=torch.long)


def train_client(net, start, inputs, answers):
    net.load_state_dict(start)
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE)
    for rows in torch.randperm(len(answers)).split(BATCH):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(inputs[rows]), answers[rows]).backward()
        optimizer.step()


def run(train, test, kinds, rounds):
    net = CharLstm(kinds, kinds, 8, 256, 2)
    model = {name: value.clone() for name, value in net.state_dict().items()}
    for _ in range(rounds):
        cohort = torch.randperm(len(train))[:COHORT].tolist()
        total = sum(len(train[c][1]) for c in cohort)
        mean = {name: torch.zeros_like(value, dtype=torch.double) for name, value in model.items()}
        for client in cohort:
            train_client(net, model, *train[client])
            for name, value in net.state_dict().items():
                mean[name] += value.double() * (len(train[client][1]) / total)
        model = {name: value.float() for name, value in mean.items()}
    net.load_state_dict(model)
    with torch.no_grad():
        losses = [nn.functional.cross_entropy(net(x), y, reduction="sum") for x, y in zip(test[0].split(500), test[1].split(500))]
    return (sum(losses) / len(test[1])).exp().item()


def main(folder, rounds=100, seeds=3):
    with open(os.path.join(folder, "tinyshakespeare", "input.txt"), encoding="utf-8") as file:
        train, test, kinds = clients(file.read())
    print(f"{len(train)} clients, {sum(len(y) for _, y in train)} training windows, {len(test[1])} test windows, {kinds} characters")
    torch.set_num_threads(1)
    found = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        found.append(run(train, test, kinds, rounds))
        print(f"seed {seed}: perplexity {found[-1]:.3f} after {rounds} rounds", flush=True)
    print(f"mean {sum(found) / len(found):.3f}")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
