"""Golden values of layers, computed by PyTorch in 64 bits: `python layers.py ../../layers/tests/golden`.

Each function makes the cases of one layer: its settings, its parameters in the order of our layout, and what PyTorch makes of them.
"""

import json
import sys
from pathlib import Path

import numpy as np
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
def sparse_linear(g):
    x, w = draw(g, 3, 4, 5), draw(g, 5, 6)
    yield case("sparse_linear", {"units": 6}, [w], x, lambda p, x: x @ p[0])
    few, w = draw(g, 2, 2, 150), draw(g, 150, 9)
    few[torch.rand(few.shape, generator=g) > 0.05] = 0.0
    yield case("sparse_linear", {"units": 9}, [w], few, lambda p, x: x @ p[0])


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
    # Our sequences have places before channels.
    turned = (lambda v: v.transpose(1, 2)) if name == "conv1d" else (lambda v: v)
    apply = lambda p, x: turned(torch.func.functional_call(module, dict(zip(names, p)), (turned(x),)))
    as_list = lambda v: list(v) if isinstance(v, tuple) else v
    settings = {key: as_list(value) for key, value in settings.items()}
    settings |= {"channels": channels, "kernel": as_list(kernel)}
    x = turned(coarse(draw(g, rows, inputs, *sides))).contiguous()
    return case(name, settings, params, x, apply, keep=coarse)


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
def activations(g):
    x = torch.cat([draw(g, 3, 2, 9, scale=2.0), torch.tensor([0.25, -0.25, 6.0, -7.5, 30.0, -30.0]).double().reshape(3, 2, 1)], 2)
    yield case("gelu", {}, [], x, lambda p, x: F.gelu(x))
    yield case("gelu", {"approximate": "tanh"}, [], x, lambda p, x: F.gelu(x, approximate="tanh"))
    yield case("silu", {}, [], x, lambda p, x: F.silu(x))
    yield case("leaky_relu", {}, [], x, lambda p, x: F.leaky_relu(x))
    slope = float(torch.tensor(0.2))
    yield case("leaky_relu", {"slope": slope}, [], x, lambda p, x: F.leaky_relu(x, slope))
    yield case("sigmoid", {}, [], x, lambda p, x: torch.sigmoid(x))


@layer
def embedding(g):
    w, x = draw(g, 7, 5), torch.randint(0, 6, (3, 9), generator=g)
    apply = lambda p, x: F.embedding(x, p[0])
    yield case("embedding", {"size": 7, "width": 5}, [w], x, apply, tokens=True)


@layer
def positions(g):
    w, x = draw(g, 4, 5), draw(g, 3, 4, 5)
    yield case("positions", {}, [w], x, lambda p, x: x + p[0])


def brief(case):
    """The same with fewer digits: results to seven, and 32-bit numbers as short as they can be told apart."""
    results = ["output", "gradient", "input_slope"]
    values = ["params", "input", "slope"]
    shorter = {key: [float(f"{v:.7g}") for v in case[key]] for key in results}
    return {**case, **shorter, **{key: [float(str(np.float32(v))) for v in case[key]] for key in values}}


def recurrent(name, module, gates, settings, g, rows=2, places=4, features=3, units=17, extra=()):
    """One of PyTorch's recurrent layers; `settings` may ask for the last state, or the other way round."""
    shapes = [(gates * units, features), (gates * units, units), (gates * units,), (gates * units,)]
    params = [draw(g, *shape, scale=0.3) for shape in shapes]
    x = draw(g, rows, places, features)

    def apply(p, x):
        model = module(features, units, batch_first=True, **dict(extra)).double()
        names = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
        turned = x.flip(1) if settings.get("reverse") else x
        y, _ = torch.func.functional_call(model, dict(zip(names, p)), (turned,))
        if settings.get("last"):
            return y[:, -1]
        return y.flip(1) if settings.get("reverse") else y

    return brief(case(name, {"units": units, **settings}, params, x, apply))


@layer
def lstm(g):
    yield recurrent("lstm", torch.nn.LSTM, 4, {}, g)
    yield recurrent("lstm", torch.nn.LSTM, 4, {"last": True}, g, rows=1, places=4, units=3)
    yield recurrent("lstm", torch.nn.LSTM, 4, {"reverse": True}, g, rows=2, units=16, features=1)
    yield recurrent("lstm", torch.nn.LSTM, 4, {"last": True, "reverse": True}, g, places=1, units=2)


@layer
def gru(g):
    yield recurrent("gru", torch.nn.GRU, 3, {}, g)
    yield recurrent("gru", torch.nn.GRU, 3, {"last": True}, g, rows=1, places=4, units=3)
    yield recurrent("gru", torch.nn.GRU, 3, {"reverse": True}, g, rows=2, units=16, features=1)


@layer
def rnn(g):
    yield recurrent("rnn", torch.nn.RNN, 1, {}, g)
    yield recurrent("rnn", torch.nn.RNN, 1, {"last": True}, g, rows=1, places=4, units=18)
    relu = [("nonlinearity", "relu")]
    yield recurrent("rnn", torch.nn.RNN, 1, {"activation": "relu", "reverse": True}, g, extra=relu)
    for activation, act in [("tanh", torch.tanh), ("relu", torch.relu)]:
        f, u = 3, 17
        params = [draw(g, u, f), draw(g, u, u, scale=0.3), *(draw(g, u) for _ in range(3))]

        def apply(p, x):
            tau, h, states = 1 + torch.exp(p[4]), torch.zeros(x.shape[0], u).double(), []
            for place in range(x.shape[1]):
                new = act(x[:, place] @ p[0].T + p[2] + h @ p[1].T + p[3])
                h = (1 - 1 / tau) * h + new / tau
                states.append(h)
            return torch.stack(states, 1)

        settings = {"units": u, "activation": activation, "time_constant": 2.0}
        yield brief(case("rnn", settings, params, draw(g, 3, 5, f), apply))


def rotate(x):
    """Rotary positions of rows x heads x places x size: value i and value i + size/2 are a pair."""
    places, half = x.shape[-2], x.shape[-1] // 2
    rates = 10000.0 ** (-torch.arange(half).double() / half)
    angle = torch.arange(places).double()[:, None] * rates
    left, right = x[..., :half], x[..., half:]
    return torch.cat([left * angle.cos() - right * angle.sin(), right * angle.cos() + left * angle.sin()], -1)


def attend(p, x, heads, causal, rotary=False):
    """Attention without a module, for rotary positions."""
    split = lambda t: t.reshape(*t.shape[:2], heads, -1).transpose(1, 2)
    q, k, v = map(split, F.linear(x, p[0], p[1]).chunk(3, -1))
    if rotary:
        q, k = rotate(q), rotate(k)
    y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return F.linear(y.transpose(1, 2).reshape(x.shape), p[2], p[3])


@layer
def attention(g):
    def make(width, bias=True):
        shapes = [(3 * width, width), (3 * width,), (width, width), (width,)]
        return [draw(g, *shape, scale=0.5) for shape in shapes if bias or len(shape) == 2]

    def module(p, x, heads, causal, bias=True):
        model = torch.nn.MultiheadAttention(x.shape[2], heads, bias=bias, batch_first=True).double()
        names = ["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"]
        names = names if bias else names[::2]
        places = x.shape[1]
        mask = torch.ones(places, places).triu(1).bool() if causal else None
        call = lambda *a: torch.func.functional_call(model, dict(zip(names, p)), a, {"attn_mask": mask, "need_weights": False})
        return call(x, x, x)[0]

    x = draw(g, 1, 5, 12)
    yield brief(case("attention", {"heads": 3}, make(12), x, lambda p, x: module(p, x, 3, True)))
    x = draw(g, 2, 3, 5)
    yield brief(case("attention", {"heads": 1, "causal": False}, make(5), x, lambda p, x: module(p, x, 1, False)))
    x = draw(g, 1, 19, 6)
    settings = {"heads": 2, "bias": False}
    yield brief(case("attention", settings, make(6, False), x, lambda p, x: module(p, x, 2, True, False)))
    settings = {"heads": 2, "rotary": True}
    x = draw(g, 2, 9, 8)
    yield brief(case("attention", settings, make(8), x, lambda p, x: attend(p, x, 2, True, True)))
    settings = {"heads": 3, "rotary": True, "causal": False}
    yield brief(case("attention", settings, make(6), draw(g, 3, 4, 6), lambda p, x: attend(p, x, 3, False, True)))


@layer
def pool_places(g):
    x = draw(g, 3, 4, 9)
    yield case("pool_places", {}, [], x, lambda p, x: x.mean(1))
    yield case("pool_places", {"kind": "max"}, [], x, lambda p, x: x.max(1).values)
    yield case("pool_places", {"kind": "last"}, [], x, lambda p, x: x[:, -1])


@layer
def embedding_bag(g):
    x = draw(g, 3, 37) * (torch.rand(3, 37, generator=g) < 0.2)
    x[1] = 0
    w = draw(g, 37, 5)

    def bag(p, x, mode):
        return torch.stack([each(p, row, mode) for row in x])

    def each(p, row, mode):
        places = row.nonzero().flatten()
        total = row.abs().sum() if mode == "mean" and len(places) else 1
        # Features of count zero are kept as well, so that they have a slope, too.
        all_places = torch.arange(len(row))[None]
        return F.embedding_bag(all_places, p[0], mode="sum", per_sample_weights=row[None])[0] / total

    yield case("embedding_bag", {"width": 5}, [w], x, lambda p, x: bag(p, x, "sum"))
    x[1] = x[0] + x[2]
    yield case("embedding_bag", {"width": 5, "mode": "mean"}, [w], x, lambda p, x: bag(p, x, "mean"))


def main(folder):
    for name, make in ALL.items():
        cases = list(make(torch.Generator().manual_seed(len(name))))
        Path(folder, name + ".json").write_text(json.dumps(cases) + "\n")
        print(f"{name}: {len(cases)} cases")


if __name__ == "__main__":
    main(sys.argv[1])
