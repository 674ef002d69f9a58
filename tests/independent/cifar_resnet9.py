"""Trains in PyTorch what `scenarios/catalogue/resnet9-cifar.toml` describes, and prints the test accuracy after every pass.

    python tests/independent/cifar_resnet9.py FOLDER-OF-CIFAR10-SUBSET [SEEDS]

Draws differ, so accuracies agree as those of two seeds do. Every pass begins with an optimizer at rest, as every round does.
"""

import gzip
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from models import batch, resnet9

PASSES, ROWS, WIDTH = 5, 64, 16
SETTINGS = {"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4}


def idx(path):
    """An IDX file of bytes: two zeros, a type, the number of sizes, the sizes, the values."""
    data = gzip.decompress(path.read_bytes())
    assert data[:3] == b"\0\0\x08", path
    sizes = np.frombuffer(data, ">u4", data[3], 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(sizes)


def part(folder, name):
    """Images, channels first, and labels."""
    images = idx(folder / (name + "-images-idx4-ubyte.gz"))
    labels = idx(folder / (name + "-labels-idx1-ubyte.gz"))
    return torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32)), torch.from_numpy(labels.astype(np.int64))


def load(folder):
    """Both parts, each channel with mean 0 and variance 1 over the training images."""
    (train, train_labels), (test, test_labels) = part(folder, "train"), part(folder, "test")
    every = (0, 2, 3)
    mean = train.double().mean(every, keepdim=True).float()
    deviation = train.double().std(every, correction=0, keepdim=True).float()
    scale = lambda images: (images - mean) / deviation
    return (scale(train), train_labels), (scale(test), test_labels)


def accuracy(net, images, labels):
    net.eval()
    with torch.no_grad():
        right = [(net(x).argmax(1) == y).sum().item() for x, y in zip(images.split(250), labels.split(250))]
    return sum(right) / len(labels)


def run_pass(net, images, labels):
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), **SETTINGS)
    for rows in torch.randperm(len(labels)).split(ROWS):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images[rows]), labels[rows]).backward()
        optimizer.step()


def main(folder, seeds):
    train, test = load(Path(folder))
    last = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        net = resnet9(3, 10, WIDTH, batch)
        found = []
        for _ in range(PASSES):
            run_pass(net, *train)
            found.append(accuracy(net, *test))
        print("seed %d: %s" % (seed, " ".join("%.4f" % share for share in found)), flush=True)
        last.append(found[-1])
    print("after the last pass: mean %.4f, from %.4f to %.4f" % (np.mean(last), min(last), max(last)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3)
