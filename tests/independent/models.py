"""Golden values of whole models, computed by PyTorch in 64 bits: `python models.py ../golden`.

Every value of a model and of its batch follows from its place by `value`, so that a file need not hold them: it holds the logits in
evaluation and in training, the loss, and of each tensor's gradient the norm and some values. Of running statistics, the "gradient"
is what a step takes off them. `tests/system/models.rs` computes the same on our engine.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

ROWS = 4
# Batches begin here in the numbering of values.
BATCH = 1 << 31
# Places of a tensor whose gradient is noted: so many, evenly spread.
NOTED = 5


def value(places):
    """From -1 up to 1, in steps of 2^-15, by place: the bits of the place, mixed."""
    mixed = np.asarray(places, dtype=np.uint64) * 2654435761 % 2**32
    mixed ^= mixed >> 15
    mixed = mixed * 2246822519 % 2**32
    mixed ^= mixed >> 13
    return ((mixed >> 16).astype(np.float64) - 32768) / 32768


def start(name, shape, first):
    """The values of a tensor that begins at a place of the layout; as a 32-bit number holds them."""
    values = value(np.arange(first, first + math.prod(shape)))
    if len(shape) > 1:
        values *= math.sqrt(6 / math.prod(shape[1:]))
    elif name in ("weight", "variance"):
        values = 1 + values / 4
    else:
        values = values / 4
    return torch.from_numpy(values.astype(np.float32).astype(np.float64).reshape(shape))


class Add(nn.Module):
    """A residual block: what goes in, or its projection, plus what the way makes of it."""

    def __init__(self, way, projection=()):
        super().__init__()
        self.way, self.projection = nn.Sequential(*way), nn.Sequential(*projection)

    def forward(self, x):
        return self.projection(x) + self.way(x)


def normed(make_norm, inputs, outputs, kernel=3, stride=1):
    return [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2), make_norm(outputs)]


def batch(channels):
    return nn.BatchNorm2d(channels)


def groups(count):
    return lambda channels: nn.GroupNorm(count, channels)


def lenet5(inputs, classes, flat, active, pool):
    """LeCun et al. 1998 with plain pooling and a softmax; images of 28x28."""
    first = [nn.Conv2d(inputs, 6, 5, padding=2), active(), pool(2), nn.Conv2d(6, 16, 5), active(), pool(2)]
    heads = [nn.Linear(flat, 120), active(), nn.Linear(120, 84), active(), nn.Linear(84, classes)]
    return nn.Sequential(*first, nn.Flatten(), *heads)


def resnet9(inputs, classes, width, norm):
    """Page 2018, with a bias in the last layer and without a scale; images of 32x32."""
    w = width
    block = lambda a, b: normed(norm, a, b) + [nn.ReLU()]
    pool = lambda: nn.MaxPool2d(2)
    return nn.Sequential(
        *block(inputs, w),
        *block(w, 2 * w), pool(), Add(block(2 * w, 2 * w) + block(2 * w, 2 * w)),
        *block(2 * w, 4 * w), pool(),
        *block(4 * w, 8 * w), pool(), Add(block(8 * w, 8 * w) + block(8 * w, 8 * w)),
        nn.MaxPool2d(4), nn.Flatten(), nn.Linear(8 * w, classes),
    )  # fmt: skip


def resnet20(inputs, classes, norm):
    """He et al. 2016, section 4.2, with projections (option B)."""
    parts, before = normed(norm, inputs, 16) + [nn.ReLU()], 16
    for channels, step in [(16, 1), (32, 2), (64, 2)]:
        for stride in [step, 1, 1]:
            way = normed(norm, before, channels, 3, stride) + [nn.ReLU()] + normed(norm, channels, channels)
            projection = [] if stride == 1 else normed(norm, before, channels, 1, stride)
            parts += [Add(way, projection), nn.ReLU()]
            before = channels
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))


def small(inputs, classes):
    """Both kinds of blocks, on an image with unequal sides, beside a convolution in groups."""
    way = normed(batch, 8, 12, 3, 2) + [nn.ReLU()] + normed(batch, 12, 12)
    return nn.Sequential(
        *normed(batch, inputs, 8), nn.ReLU(),
        Add(normed(batch, 8, 8) + [nn.Tanh()]),
        Add(way, normed(batch, 8, 12, 1, 2)), nn.ReLU(),
        nn.Conv2d(12, 12, 3, padding=1, groups=3, bias=False), nn.GroupNorm(4, 12), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, classes),
    )  # fmt: skip


def norm(**keys):
    return {"batch_norm": {"momentum": 0.1, "epsilon": 1e-5, **keys}}


def conv(channels, kernel, stride=1):
    return {"conv": {"channels": channels, "kernel": kernel, "stride": stride, "padding": kernel // 2}}


SMALL = [
    conv(8, 3), norm(), {"relu": {}},
    {"residual": {"layers": [conv(8, 3), norm(), {"tanh": {}}]}},
    {"residual": {"layers": [conv(12, 3, 2), norm(), {"relu": {}}, conv(12, 3), norm()], "projection": [conv(12, 1, 2), norm()]}},
    {"relu": {}},
    {"conv2d": {"channels": 12, "kernel": 3, "padding": 1, "groups": 3, "bias": False}},
    {"group_norm": {"groups": 4}}, {"relu": {}}, {"global_avg_pool": {}},
]  # fmt: skip

# Name of the file; our model with its settings; shape of a sample; classes; PyTorch's model.
CASES = [
    ("lenet5", "lenet5", {}, (1, 28, 28), 10, lambda: lenet5(1, 10, 400, nn.ReLU, nn.MaxPool2d)),
    ("lenet5-tanh", "lenet5", {"form": "tanh-average"}, (1, 28, 28), 10, lambda: lenet5(1, 10, 400, nn.Tanh, nn.AvgPool2d)),
    ("resnet9", "resnet9", {"width": 8}, (3, 32, 32), 10, lambda: resnet9(3, 10, 8, batch)),
    ("resnet9-groups", "resnet9", {"width": 8, "norm": {"group": {}}}, (3, 32, 32), 10, lambda: resnet9(3, 10, 8, groups(2))),
    ("resnet20", "resnet20", {}, (3, 32, 32), 10, lambda: resnet20(3, 10, batch)),
    ("resnet20-groups", "resnet20", {"norm": {"group": {"groups": 8}}}, (3, 32, 32), 10, lambda: resnet20(3, 10, groups(8))),
    ("residual", "cnn", {"layers": SMALL}, (2, 9, 7), 5, lambda: small(2, 5)),
]  # fmt: skip


def tensors(net):
    """Our name and the tensor, in the order of our layout: layer by layer, the running statistics after weight and bias."""
    ours = {"running_mean": "mean", "running_var": "variance"}
    for part in net.modules():
        for name in ("weight", "bias", "running_mean", "running_var"):
            tensor = getattr(part, name, None)
            if tensor is not None:
                yield ours.get(name, name), tensor


def fill(net):
    first = 0
    with torch.no_grad():
        for name, tensor in tensors(net):
            tensor.copy_(start(name, tuple(tensor.shape), first))
            first += tensor.numel()


def noted(gradient):
    flat = gradient.reshape(-1).double()
    places = [at * (len(flat) - 1) // (NOTED - 1) for at in range(NOTED)]
    return {"shape": list(gradient.shape), "norm": flat.norm().item(), "values": [flat[at].item() for at in places]}


def golden(model, settings, shape, classes, make, dtype=torch.float64):
    net = make().double()
    fill(net)
    net.to(dtype)
    count = ROWS * math.prod(shape)
    x = torch.from_numpy(value(np.arange(BATCH, BATCH + count))).to(dtype).reshape(ROWS, *shape)
    y = torch.tensor([(3 * row + 1) % classes for row in range(ROWS)])
    evaluated = net.eval()(x)
    before = [tensor.clone() for _, tensor in tensors(net)]
    trained = net.train()(x)
    loss = nn.functional.cross_entropy(trained, y)
    loss.backward()
    steps = [
        tensor.grad if tensor.grad is not None else was - tensor for was, (_, tensor) in zip(before, tensors(net))
    ]
    return {
        "model": model,
        "settings": settings,
        "input": list(shape),
        "classes": classes,
        "rows": ROWS,
        "evaluated": evaluated.detach().reshape(-1).tolist(),
        "trained": trained.detach().reshape(-1).tolist(),
        "loss": loss.item(),
        "tensors": [noted(step.detach()) for step in steps],
    }


def apart(one, other):
    """Largest difference of logits, and of a gradient's values over its norm, or a hundredth of the largest norm where that is more:
    what rounding to 32 bits does."""
    logits = max(abs(a - b) for key in ("evaluated", "trained") for a, b in zip(one[key], other[key]))
    pairs = zip(one["tensors"], other["tensors"])
    least = max(tensor["norm"] for tensor in one["tensors"]) / 100
    gradients = max(abs(a - b) / max(p["norm"], least) for p, q in pairs for a, b in zip(p["values"], q["values"]))
    return logits, gradients


def main(folder):
    for name, *case in CASES:
        made = golden(*case)
        Path(folder, name + ".json").write_text(json.dumps(made) + "\n")
        rough = golden(*case, dtype=torch.float32)
        largest = max(map(abs, made["evaluated"] + made["trained"]))
        print("%s: largest logit %.3g; in 32 bits, logits are off by %.1e, gradients by %.1e" % (name, largest, *apart(made, rough)))


if __name__ == "__main__":
    main(sys.argv[1])
