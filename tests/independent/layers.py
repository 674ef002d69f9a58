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


def coarse(values):
    """Eighths, so that sums of products are exact and short."""
    return torch.round(values * 8) / 8


def draw(generator, *shape, scale=1.0):
    """Values that a 32-bit number holds as they are."""
    values = torch.randn(*shape, generator=generator, dtype=torch.float32) * scale
    return values.double()


def case(name, settings, params, x, apply, tokens=False, seed=9, keep=lambda values: values):
    """`apply(params, x)` gives the output; `params` is a list of tensors in the order of the layout."""
    generator = torch.Generator().manual_seed(seed)
    params = [p.clone().requires_grad_() for p in params]
    x = x.clone().requires_grad_(not tokens)
    y = apply(params, x)
    slope = keep(draw(generator, *y.shape))
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
def layer_norm(g):
    x, w, b = draw(g, 3, 4, 21), draw(g, 21), draw(g, 21)
    yield case("layer_norm", {}, [w, b], x, lambda p, x: F.layer_norm(x, (21,), p[0], p[1], 1e-5))


@layer
def rms_norm(g):
    x, w = draw(g, 3, 4, 21), draw(g, 21)
    settings = {"epsilon": 1e-6}
    yield case("rms_norm", settings, [w], x, lambda p, x: F.rms_norm(x, (21,), p[0], 1e-6))


@layer
def global_avg_pool(g):
    for rows, shape in [(3, (5, 4, 3)), (1, (2, 7, 5))]:
        x = draw(g, rows, *shape)
        yield case("global_avg_pool", {}, [], x, lambda p, x: F.adaptive_avg_pool2d(x, 1).flatten(1))


def convolution(name, module, g, rows, inputs, sides, channels, kernel, **settings):
    """One convolution, by PyTorch's own layer with the same settings."""
    module = module(inputs, channels, kernel, dtype=torch.float64, **settings)
    shapes = [p.shape for p in module.parameters()]
    names = [n for n, _ in module.named_parameters()]
    params = [coarse(draw(g, *shape)) for shape in shapes]
    apply = lambda p, x: torch.func.functional_call(module, dict(zip(names, p)), (x,))
    as_list = lambda v: list(v) if isinstance(v, tuple) else v
    settings = {key: as_list(value) for key, value in settings.items()}
    settings |= {"channels": channels, "kernel": as_list(kernel)}
    return case(name, settings, params, coarse(draw(g, rows, inputs, *sides)), apply, keep=coarse)


@layer
def conv2d(g):
    def c(*sizes, **settings):
        return convolution("conv2d", torch.nn.Conv2d, g, *sizes, **settings)

    yield c(3, 2, (5, 7), 3, 3, padding=1)
    yield c(1, 3, (6, 5), 5, (2, 3), stride=(2, 1), padding=(0, 2), dilation=(1, 2), bias=False)
    yield c(2, 4, (5, 4), 6, 3, padding="same", groups=2)
    yield c(1, 1, (6, 9), 3, (4, 2), padding="same")
    yield c(2, 3, (6, 5), 2, 3, stride=2, padding=2, padding_mode="reflect")
    yield c(1, 2, (4, 5), 4, 3, padding=(3, 1), padding_mode="replicate", groups=2)
    yield c(1, 2, (4, 5), 3, (3, 4), padding="same", padding_mode="circular")
    yield c(3, 3, (5, 6), 3, 3, padding=1, groups=3)
    yield c(1, 2, (7, 6), 6, (3, 2), stride=(1, 2), padding=2, dilation=2, groups=2, bias=False, padding_mode="reflect")


@layer
def conv1d(g):
    def c(*sizes, **settings):
        return convolution("conv1d", torch.nn.Conv1d, g, *sizes, **settings)

    yield c(3, 2, (11,), 3, 3, padding=1)
    yield c(1, 4, (13,), 6, 4, stride=3, padding=2, dilation=2, groups=2, bias=False)
    yield c(1, 2, (9,), 3, 4, padding="same", padding_mode="circular")
    yield c(2, 3, (10,), 6, 3, padding=2, padding_mode="replicate", groups=3)
    yield c(1, 1, (7,), 2, 5, padding="same", padding_mode="reflect")


def main(folder):
    for name, make in ALL.items():
        cases = list(make(torch.Generator().manual_seed(len(name))))
        Path(folder, name + ".json").write_text(json.dumps(cases) + "\n")
        print(f"{name}: {len(cases)} cases")


if __name__ == "__main__":
    main(sys.argv[1])
