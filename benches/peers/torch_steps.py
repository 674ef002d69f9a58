"""Training steps of larger models, here and in PyTorch (eager, one thread), in turn.

    python torch_steps.py BENCH [RUNS] [MODEL...]

BENCH is the program that `cargo bench --workspace --bench steps --no-run` names. Prints milliseconds of a step, medians over the runs, and the
ratio of PyTorch's to ours with its range. `benches/steps.rs` has the same models.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "independent"))
from models import batch, resnet9  # noqa: E402
from text_models import CharLstm, Gpt  # noqa: E402


def images(rows):
    return torch.rand(rows, 3, 32, 32) * 2 - 1, torch.arange(rows) * 31 % 10


def tokens(rows, places, every):
    return torch.randint(0, 80, (rows, places)), torch.randint(0, 80, (rows, places) if every else (rows,))


# Name: model, inputs and answers.
CASES = {
    "resnet9": lambda: (resnet9(3, 10, 16, batch), images(64)),
    "resnet9-wide": lambda: (resnet9(3, 10, 64, batch), images(32)),
    "char-lstm": lambda: (CharLstm(80, 80, 8, 256, 2), tokens(10, 80, False)),
    "gpt": lambda: (Gpt(80, 80, 64, 4, 4, 128), tokens(16, 64, True)),
}


def theirs(name):
    net, (x, y) = CASES[name]()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    found, began = [], time.perf_counter()
    while len(found) < 8 or time.perf_counter() - began < 3:
        start = time.perf_counter()
        optimizer.zero_grad()
        F.cross_entropy(net(x).flatten(0, -2), y.flatten()).backward()
        optimizer.step()
        found.append((time.perf_counter() - start) * 1e3)
    return statistics.median(found[3:])


def ours(bench, name):
    line = subprocess.run([bench, name], capture_output=True, text=True, check=True).stdout
    return float(line.split()[1])


def main(bench, runs=5, *names):
    torch.set_num_threads(1)
    print(f"| model | ours, ms | PyTorch {torch.__version__}, ms | ratio |\n|---|---:|---:|---:|")
    for name in names or CASES:
        pairs = [(ours(bench, name), theirs(name)) for _ in range(int(runs))]
        ratios = sorted(b / a for a, b in pairs)
        a, b = (statistics.median(side) for side in zip(*pairs))
        print(f"| {name} | {a:.2f} | {b:.2f} | {statistics.median(ratios):.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}] |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
