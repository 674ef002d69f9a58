"""Models, tensors and evaluation for the scripts that use PyTorch."""

import torch
from torch import nn
from torch.nn import functional as F

import common


def module(model, seed):
    """The workload's network with PyTorch's own initial weights."""
    torch.manual_seed(seed)
    if model == "softmax":
        return nn.Sequential(nn.Linear(784, 10))
    if model == "mlp":
        return mlp(200)
    if model == "sigmoids":
        return nn.Sequential(nn.Linear(784, 10), nn.Sigmoid())
    if model == "pfl_cnn":
        return pfl_cnn()
    return nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(800, 10),
    )


def pfl_cnn():
    net = nn.Sequential(
        nn.Unflatten(1, (3, 32, 32)),
        nn.Conv2d(3, 32, 3), nn.ReLU(),
        nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(64 * 14 * 14, 128), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(128, 10),
    )
    for layer in net:
        if hasattr(layer, "weight"):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return net


def mlp(width):
    return nn.Sequential(
        nn.Linear(784, width), nn.ReLU(),
        nn.Linear(width, width), nn.ReLU(),
        nn.Linear(width, 10),
    )


def outputs(parameters, x):
    """The same networks as a function of a list of parameters, without the cost of modules."""
    if parameters[0].dim() == 4:
        first, first_bias, second, second_bias, *parameters = parameters
        x = x.reshape(-1, 1, 28, 28)
        x = F.max_pool2d(F.relu(F.conv2d(x, first, first_bias)), 2)
        x = F.max_pool2d(F.relu(F.conv2d(x, second, second_bias)), 2)
        x = x.flatten(1)
    while len(parameters) > 2:
        x = F.relu(F.linear(x, parameters[0], parameters[1]))
        parameters = parameters[2:]
    return F.linear(x, parameters[0], parameters[1])


def loss(parameters, x, y):
    return F.cross_entropy(outputs(parameters, x), y)


def tensors(data):
    return common.Data(*map(torch.from_numpy, data))


def flat(parameters):
    return torch.cat([p.detach().reshape(-1) for p in parameters])


def views(vector, shapes):
    """The parameters inside a flat vector; writing to one writes to the other."""
    sizes = [shape.numel() for shape in shapes]
    return [part.view(shape) for part, shape in zip(vector.split(sizes), shapes)]


@torch.no_grad()
def accuracy_of(model, data):
    """As `accuracy`, of a module, which is left as it was."""
    was = model.training
    model.eval()
    pieces = zip(data.test_x.split(500), data.test_y.split(500))
    hits = sum((model(x).argmax(1) == y).sum().item() for x, y in pieces)
    model.train(was)
    return hits / len(data.test_y)


@torch.no_grad()
def accuracy(parameters, data):
    # In pieces, so that evaluation does not decide how much memory a script needs.
    pieces = zip(data.test_x.split(1_000), data.test_y.split(1_000))
    hits = sum((outputs(parameters, x).argmax(1) == y).sum().item() for x, y in pieces)
    return hits / len(data.test_y)


def due(workload, finished, rounds):
    """Whether the model is evaluated after this many rounds."""
    return finished % workload.evaluate_every == 0 or finished == rounds
