"""Convolutions, poolings and normalisations on images, beside values of PyTorch that stand in git (`torch/values.json`); they
are made by `torch/record.py`, which needs PyTorch. Full batches from given weights, so no draw matters."""

import json
import os
import struct

import numpy as np

from common import Checks, command, single

IMAGES, SHAPE, CLASSES, RATE, EPOCHS, ROUNDS = 24, (2, 8, 8), 3, 0.0625, 2, 3
VALUES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch", "values.json")

CASES = {
    "batch norm, max and average pooling, momentum and weight decay": {
        "layers": [
            {"conv": {"channels": 4, "kernel": 3, "padding": 1}},
            {"batch_norm": {}},
            {"relu": {}},
            {"max_pool": {"size": 2}},
            {"conv": {"channels": 6, "kernel": 2, "stride": 1}},
            {"batch_norm": {"momentum": 0.25, "epsilon": 0.001}},
            {"tanh": {}},
            {"avg_pool": {"size": 2, "stride": 1}},
        ],
        "training": {"optimizer": {"sgd": {"momentum": 0.875}}, "weight_decay": 0.015625},
    },
    "the second batch norm frozen from the start": {
        "layers": [
            {"conv": {"channels": 3, "kernel": 3}},
            {"batch_norm": {}},
            {"relu": {}},
            {"conv": {"channels": 4, "kernel": 3, "padding": 1}},
            {"batch_norm": {}},
            {"relu": {}},
            {"avg_pool": {"size": 2}},
        ],
        "training": {"optimizer": {"sgd": {"momentum": 0.5}}},
        "frozen": [4],
    },
    "group norm, strides, Adam": {
        "layers": [
            {"conv": {"channels": 6, "kernel": 3, "stride": 2, "padding": 2}},
            {"group_norm": {"groups": 3}},
            {"relu": {}},
            {"conv": {"channels": 4, "kernel": 3}},
            {"group_norm": {"groups": 1, "epsilon": 0.01}},
            {"tanh": {}},
            {"max_pool": {"size": 2, "stride": 1}},
        ],
        "training": {"optimizer": {"adam": {"beta1": 0.875, "beta2": 0.9375, "epsilon": 0.015625}}},
    },
}


def spread(count, seed):
    """Numbers between -1 and 1 that look drawn and are the same everywhere."""
    state, out = seed, []
    for _ in range(count):
        state = (6364136223846793005 * state + 1442695040888963407) % 2**64
        out.append(2 * (state >> 11) / 2**53 - 1)
    return np.array(out)


def images():
    """Images and their labels."""
    x = spread(IMAGES * int(np.prod(SHAPE)), 1).reshape((IMAGES,) + SHAPE)
    y = np.arange(IMAGES) % CLASSES
    return single(x + 0.5 * (y - 1)[:, None, None, None] * np.linspace(-1, 1, SHAPE[2])), y


def tensors(layers):
    """Names, shapes and first values of all tensors, layer by layer; the last layer is dense."""
    (channels, height, width), out = SHAPE, {}
    for at, layer in enumerate(layers):
        kind, keys = next(iter(layer.items()))
        if kind == "conv":
            out["%d.weight" % at] = (keys["channels"], channels, keys["kernel"], keys["kernel"])
            out["%d.bias" % at] = (keys["channels"],)
            channels = keys["channels"]
            side = lambda n: (n + 2 * keys.get("padding", 0) - keys["kernel"]) // keys.get("stride", 1) + 1
            height, width = side(height), side(width)
        if kind.endswith("_pool"):
            side = lambda n: (n - keys["size"]) // keys.get("stride", keys["size"]) + 1
            height, width = side(height), side(width)
        if kind.endswith("_norm"):
            for name in ("weight", "bias") + (("mean", "variance") if kind == "batch_norm" else ()):
                out["%d.%s" % (at, name)] = (channels,)
    at += 2  # The layer that makes an image flat counts.
    out["%d.weight" % at] = (CLASSES, channels * height * width)
    out["%d.bias" % at] = (CLASSES,)
    start = {}
    for seed, (name, shape) in enumerate(out.items(), 100):
        values = spread(int(np.prod(shape)), seed).reshape(shape)
        start[name] = single(1.25 + values / 2 if name.endswith("variance") else values / 2)
    return start


def write_images(folder):
    """As IDX files; the keys of `data.set.idx`."""
    x, y = images()
    paths = [os.path.join(folder, name) for name in ("images.idx", "labels.idx")]
    with open(paths[0], "wb") as file:
        file.write(struct.pack(">BBBBIIII", 0, 0, 13, 4, *x.shape) + x.astype(">f4").tobytes())
    with open(paths[1], "wb") as file:
        file.write(struct.pack(">BBBBI", 0, 0, 8, 1, len(y)) + y.astype(np.uint8).tobytes())
    keys = ("train_images", "train_labels", "test_images", "test_labels")
    return dict(zip(keys, paths + paths), channels="first")


def main():
    lyceum, checks = command(), Checks()
    with open(VALUES) as file:
        values = json.load(file)
    files = write_images(lyceum.place.name)
    for name, case in CASES.items():
        start = tensors(case["layers"])
        scenario = {
            "run": {"rounds": ROUNDS},
            "data": {"set": {"idx": files}, "clients": 1, "normalise": "none", "partition": "iid"},
            "model": {"cnn": {"layers": case["layers"]}},
            "training": dict({"rate": RATE, "epochs": EPOCHS, "batch": 1000}, **case["training"]),
        }
        if "frozen" in case:
            freeze = {"names": [str(at) for at in case["frozen"]], "after": 0}
            stream = {"classes": [[0, 1, 2]], "head": "shared", "method": {"freeze": freeze}}
            scenario["scenario"] = {"class_incremental": stream}
        for engine in ("fused", "flex"):
            scenario["training"]["engine"] = engine
            result = lyceum.run(scenario, None, start=start)
            for tensor, first in start.items():
                want = np.array(values[name]["tensors"][tensor]).reshape(first.shape)
                what = "%s, %s: %s" % (name, engine, tensor)
                checks.moved(what, result.tensors[tensor], want, first, tolerance=1e-5)
            seen = result.named("evaluated")[-1]
            checks.close("%s, %s: loss in evaluation" % (name, engine), seen["loss"], values[name]["loss"], tolerance=4e-6)
    checks.finish()


if __name__ == "__main__":
    main()
