"""Trains the networks of `convolution.py` in PyTorch, in double precision, and writes what they come to into `values.json`.

Run by hand where PyTorch is there; the values stand in git beside this script:

    python tests/independent/torch/record.py
"""

import json
import os
import sys

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from convolution import CASES, EPOCHS, RATE, ROUNDS, VALUES, images, tensors  # noqa: E402


def layer(kind, keys, channels):
    """The layer of PyTorch that this one is."""
    if kind == "conv":
        more = {"stride": keys.get("stride", 1), "padding": keys.get("padding", 0)}
        return torch.nn.Conv2d(channels, keys["channels"], keys["kernel"], **more)
    if kind == "batch_norm":
        return torch.nn.BatchNorm2d(channels, momentum=keys.get("momentum", 0.1), eps=keys.get("epsilon", 1e-5))
    if kind == "group_norm":
        return torch.nn.GroupNorm(keys["groups"], channels, eps=keys.get("epsilon", 1e-5))
    if kind in ("max_pool", "avg_pool"):
        pool = torch.nn.MaxPool2d if kind == "max_pool" else torch.nn.AvgPool2d
        return pool(keys["size"], keys.get("stride", keys["size"]))
    return {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}[kind]()


def network(layers, start):
    """A network with these first values, and where each tensor is."""
    channels, parts = images()[0].shape[1], []
    for described in layers:
        kind, keys = next(iter(described.items()))
        parts.append(layer(kind, keys, channels))
        channels = keys.get("channels", channels)
    head = list(start)[-2]
    parts += [torch.nn.Flatten(), torch.nn.Linear(start[head].shape[1], start[head].shape[0])]
    net = torch.nn.Sequential(*parts).double()
    names = {"mean": "running_mean", "variance": "running_var"}
    places = {name: (int(name.split(".")[0]), name.split(".")[1]) for name in start}
    found = {name: getattr(net[at], names.get(tensor, tensor)) for name, (at, tensor) in places.items()}
    with torch.no_grad():
        for name, tensor in found.items():
            tensor.copy_(torch.from_numpy(start[name]))
    return net, found


def optimizer(net, training):
    """Made anew for each call of a client."""
    kind, keys = next(iter(training["optimizer"].items()))
    if kind == "adam":
        return torch.optim.Adam(net.parameters(), lr=RATE, betas=(keys["beta1"], keys["beta2"]), eps=keys["epsilon"])
    decay = training.get("weight_decay", 0.0)
    return torch.optim.SGD(net.parameters(), lr=RATE, momentum=keys["momentum"], weight_decay=decay)


def main():
    x, y = (torch.from_numpy(of) for of in images())
    values = {}
    for name, case in CASES.items():
        net, found = network(case["layers"], tensors(case["layers"]))
        for _ in range(ROUNDS):
            net.train()
            for frozen in case.get("frozen", []):
                net[frozen].eval().requires_grad_(False)
            rule = optimizer(net, case["training"])
            for _ in range(EPOCHS):
                rule.zero_grad()
                torch.nn.functional.cross_entropy(net(x), y).backward()
                rule.step()
        net.eval()
        loss = torch.nn.functional.cross_entropy(net(x), y).item()
        flat = lambda tensor: [float("%.12g" % value) for value in tensor.detach().reshape(-1).tolist()]
        values[name] = {"loss": loss, "tensors": {of: flat(tensor) for of, tensor in found.items()}}
        print("%s: loss in evaluation %.9f" % (name, loss))
    lines = ['"torch": "%s"' % torch.__version__.split("+")[0]]
    for name, found in values.items():
        rows = ['    "%s": %s' % (tensor, json.dumps(row)) for tensor, row in found["tensors"].items()]
        lines.append('"%s": {"loss": %r, "tensors": {\n%s\n}}' % (name, found["loss"], ",\n".join(rows)))
    with open(VALUES, "w") as file:
        file.write("{\n%s\n}\n" % ",\n".join(lines))


if __name__ == "__main__":
    main()
