"""Golden values of layers, computed by PyTorch in 64 bits: `python layers.py ../../layers/tests/golden`.

Each function makes the cases of one layer: its settings, its parameters in the order of our layout, and what PyTorch makes of them.
"""

import json
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

ALL = {}


def layer(function):
    ALL[function.__name__] = function
    return function


def draw(generator, *shape, scale=1.0):
    """Values that a 32-bit number holds as they are."""
    values = torch.randn(*shape, generator=generator, dtype=torch.float32) * scale
    return values.double()


def case(name, settings, params, x, apply, tokens=False, seed=9):
    """`apply(params, x)` gives the output; `params` is a list of tensors in the order of the layout."""
    generator = torch.Generator().manual_seed(seed)
    params = [p.clone().requires_grad_() for p in params]
    x = x.clone().requires_grad_(not tokens)
    y = apply(params, x)
    slope = draw(generator, *y.shape)
    y.backward(slope)
    flat = lambda tensors: [v for t in tensors for v in t.detach().reshape(-1).tolist()]
    return {
        "layer": name,
        "settings": settings,
        "input_shape": list(x.shape[1:]),
        "output_shape": list(y.shape[1:]),
        "rows": x.shape[0],
        "params": flat(params),
        "input": flat([x]),
        "output": flat([y]),
        "slope": flat([slope]),
        "gradient": flat([torch.zeros_like(p) if p.grad is None else p.grad for p in params]),
        "input_slope": [] if tokens else flat([x.grad]),
    }


@layer
def linear(g):
    x = draw(g, 3, 4, 5)
    w, b = draw(g, 6, 5), draw(g, 6)
    yield case("linear", {"units": 6}, [w, b], x, lambda p, x: F.linear(x, p[0], p[1]))
    yield case("linear", {"units": 6, "bias": False}, [w], x, lambda p, x: F.linear(x, p[0]))


@layer
def embedding_bag(g):
    x, w = draw(g, 3, 4, 5), draw(g, 5, 6)
    yield case("embedding_bag", {"units": 6}, [w], x, lambda p, x: x @ p[0])
    few, w = draw(g, 2, 2, 150), draw(g, 150, 9)
    few[torch.rand(few.shape, generator=g) > 0.05] = 0.0
    yield case("embedding_bag", {"units": 9}, [w], few, lambda p, x: x @ p[0])


@layer
def layer_norm(g):
    x, w, b = draw(g, 3, 4, 21), draw(g, 21), draw(g, 21)
    yield case("layer_norm", {}, [w, b], x, lambda p, x: F.layer_norm(x, (21,), p[0], p[1], 1e-5))


@layer
def rms_norm(g):
    x, w = draw(g, 3, 4, 21), draw(g, 21)
    settings = {"epsilon": 1e-6}
    yield case("rms_norm", settings, [w], x, lambda p, x: F.rms_norm(x, (21,), p[0], 1e-6))


def main(folder):
    for name, make in ALL.items():
        cases = list(make(torch.Generator().manual_seed(len(name))))
        Path(folder, name + ".json").write_text(json.dumps(cases) + "\n")
        print(f"{name}: {len(cases)} cases")


if __name__ == "__main__":
    main(sys.argv[1])
