"""Golden values of whole models, computed by PyTorch in 64 bits: `python text_models.py ../../scenarios/tests/golden`.

Each model is built of PyTorch's own modules; its parameters are listed in the order of our layout.
"""

import json
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from layers import brief


def case(model, settings, x, classes, seed=5):
    """A pass forward through `model`, whose parameters are drawn anew, as 32-bit numbers hold them."""
    generator = torch.Generator().manual_seed(seed)
    model = model.double().eval()
    for p in model.parameters():
        p.data = (torch.randn(p.shape, generator=generator) * 0.3).double()
    with torch.no_grad():
        y = model(x)
    found = brief({
        "params": [v for p in model.parameters() for v in p.detach().reshape(-1).tolist()],
        "input": x.reshape(-1).double().tolist(),
        "output": y.reshape(-1).tolist(),
        "gradient": [],
        "input_slope": [],
        "slope": [],
    })
    values = {key: found[key] for key in ["params", "input", "output"]}
    return {"settings": settings, "input_shape": list(x.shape[1:]), "classes": classes, "rows": len(x), **values}


class CharLstm(nn.Module):
    def __init__(self, vocabulary, classes, embedding, units, layers):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.lstm = nn.LSTM(embedding, units, layers, batch_first=True)
        self.head = nn.Linear(units, classes)

    def forward(self, x):
        return self.head(self.lstm(self.embedding(x))[0][:, -1])


def char_lstm():
    x = torch.randint(0, 7, (2, 6), generator=torch.Generator().manual_seed(1))
    yield case(CharLstm(7, 7, 8, 9, 2), {"units": 9}, x, 7)
    settings = {"units": 18, "embedding": 3, "layers": 1, "vocabulary": 11}
    yield case(CharLstm(11, 4, 3, 18, 1), settings, x, 4)


def rotate(x):
    """Rotary positions as in LLaMA, by complex numbers: value i and value i + half are a pair."""
    places, half = x.shape[-2], x.shape[-1] // 2
    rates = 10000.0 ** (-2 * torch.arange(half).double() / (2 * half))
    turn = torch.polar(torch.ones(places, half).double(), torch.outer(torch.arange(places).double(), rates))
    turned = torch.complex(x[..., :half], x[..., half:]) * turn
    return torch.cat([turned.real, turned.imag], -1)


class Block(nn.Module):
    def __init__(self, width, heads, rotary):
        super().__init__()
        self.first = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.second = nn.LayerNorm(width)
        self.dense = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))
        self.rotary, self.heads = rotary, heads

    def attend(self, x):
        if not self.rotary:
            mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1]).to(x.dtype)
            return self.attention(x, x, x, attn_mask=mask, need_weights=False, is_causal=True)[0]
        a = self.attention
        parts = F.linear(x, a.in_proj_weight, a.in_proj_bias).chunk(3, -1)
        q, k, v = (t.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2) for t in parts)
        y = F.scaled_dot_product_attention(rotate(q), rotate(k), v, is_causal=True)
        return a.out_proj(y.transpose(1, 2).reshape(x.shape))

    def forward(self, x):
        x = x + self.attend(self.first(x))
        return x + self.dense(self.second(x))


class Gpt(nn.Module):
    def __init__(self, vocabulary, classes, context, layers, heads, width, rotary=False):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.positions = None if rotary else nn.Parameter(torch.zeros(context, width))
        self.blocks = nn.ModuleList(Block(width, heads, rotary) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes, bias=False)

    def parameters(self):
        # PyTorch lists a module's own parameters before those of its parts.
        yield from self.embedding.parameters()
        if self.positions is not None:
            yield self.positions
        for part in [*self.blocks, self.norm, self.head]:
            yield from part.parameters()

    def forward(self, x):
        y = self.embedding(x)
        y = y if self.positions is None else y + self.positions
        for block in self.blocks:
            y = block(y)
        return self.head(self.norm(y))


def gpt():
    x = torch.randint(0, 7, (2, 5), generator=torch.Generator().manual_seed(2))
    yield case(Gpt(7, 7, 5, 2, 2, 6), {"layers": 2, "heads": 2, "width": 6, "dropout": 0.5}, x, 7)
    settings = {"layers": 1, "heads": 2, "width": 12, "rotary": True, "vocabulary": 9}
    yield case(Gpt(9, 4, 5, 1, 2, 12, rotary=True), settings, x, 4)


class Text(nn.Module):
    def __init__(self, words, width, sizes, tokens):
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.dense = nn.ModuleList(nn.Linear(a, b) for a, b in zip([width] + sizes, sizes))
        self.tokens = tokens

    def forward(self, x):
        if self.tokens:
            y = self.words(x).mean(1)
        else:
            y = x @ self.words.weight / x.sum(1, keepdim=True)
        for layer in self.dense[:-1]:
            y = F.relu(layer(y))
        return self.dense[-1](y)


def text_classifier():
    g = torch.Generator().manual_seed(3)
    counts = (torch.rand(3, 40, generator=g) < 0.2).double() * torch.randint(1, 4, (3, 40), generator=g)
    yield case(Text(40, 5, [7, 3], False), {"width": 5, "hidden": [7]}, counts, 3)
    tokens = torch.randint(0, 9, (3, 6), generator=g)
    yield case(Text(9, 5, [3], True), {"width": 5, "vocabulary": 9}, tokens, 3)


def main(folder):
    Path(folder).mkdir(parents=True, exist_ok=True)
    for make in [char_lstm, gpt, text_classifier]:
        cases = list(make())
        Path(folder, make.__name__ + ".json").write_text(json.dumps(cases) + "\n")
        print(f"{make.__name__}: {len(cases)} cases")


if __name__ == "__main__":
    main(sys.argv[1])
