"""W5 in plain PyTorch: naive, replay and EWC as short loops, one thread."""

import subprocess
import sys

import torch
from torch.nn import functional as F

import common
import torch_common


def each_method():
    """Runs the calling script once per method, so that each has its own start and its own memory."""
    for method in common.METHODS:
        code = subprocess.run([sys.executable, *sys.argv, "--method", method]).returncode
        if code:
            return code
    return 0


class Replay:
    """A buffer shared evenly by the tasks seen; each step takes a batch of it besides the new one."""

    def __init__(self):
        self.kept = []

    def more(self, x, y):
        if not self.kept:
            return x, y
        old_x, old_y = self.buffer
        drawn = torch.randint(len(old_x), (common.BATCH,))
        return torch.cat([x, old_x[drawn]]), torch.cat([y, old_y[drawn]])

    def gradient(self, parameters):
        pass

    def finish(self, model, x, y):
        share = common.BUFFER // (len(self.kept) + 1)
        drawn = torch.randperm(len(x))[:share]
        self.kept = [(a[:share], b[:share]) for a, b in self.kept] + [(x[drawn], y[drawn])]
        self.buffer = [torch.cat(part) for part in zip(*self.kept)]


class Ewc:
    """The penalties of all tasks, folded into one pull: sum F (w - w_t) = (sum F) w - sum F w_t."""

    def __init__(self):
        self.strength = None

    def more(self, x, y):
        return x, y

    def gradient(self, parameters):
        if self.strength is None:
            return
        for p, strength, anchor in zip(parameters, self.strength, self.anchor):
            p.grad.addcmul_(strength, p).sub_(anchor)

    def finish(self, model, x, y):
        parameters = list(model.parameters())
        batches = list(zip(x.split(common.BATCH), y.split(common.BATCH)))
        fisher = [torch.zeros_like(p) for p in parameters]
        for xs, ys in batches:
            slopes = torch.autograd.grad(F.cross_entropy(model(xs), ys), parameters)
            for total, slope in zip(fisher, slopes):
                total.addcmul_(slope, slope)
        factor = 2 * common.EWC_STRENGTH / len(batches)
        pull = [f * factor for f in fisher]
        hold = [f * p.detach() for f, p in zip(pull, parameters)]
        if self.strength is not None:
            torch._foreach_add_(pull, self.strength)
            torch._foreach_add_(hold, self.anchor)
        self.strength, self.anchor = pull, hold


class Naive:
    def more(self, x, y):
        return x, y

    def gradient(self, parameters):
        pass

    def finish(self, model, x, y):
        pass


def learn(model, optimizer, method, x, y, after_step):
    parameters = list(model.parameters())
    for batch in torch.randperm(len(x)).split(common.BATCH):
        xs, ys = method.more(x[batch], y[batch])
        optimizer.zero_grad()
        F.cross_entropy(model(xs), ys).backward()
        with torch.no_grad():
            method.gradient(parameters)
        optimizer.step()
        after_step()
    method.finish(model, x, y)


def main():
    chosen = common.arguments(["W5"], threads=1)
    if chosen.method is None:
        sys.exit(each_method())
    torch.set_num_threads(chosen.threads)
    data = common.load(chosen.data)
    positions = common.tasks(data.y)
    data = torch_common.tensors(data)
    torch.manual_seed(chosen.seed)
    model = torch_common.mlp(400)
    optimizer = torch.optim.SGD(model.parameters(), common.CONTINUAL_RATE)
    method = {"naive": Naive, "replay": Replay, "ewc": Ewc}[chosen.method]()
    first = []

    def after_step():
        if not first:
            first.append(common.since_start())

    clock = common.Clock()
    for task in positions:
        x, y = data.x[task], data.y[task]
        with clock.round():
            learn(model, optimizer, method, x, y, after_step)
        accuracy = torch_common.accuracy(list(model.parameters()), data)
    common.report_tasks("torch_continual", chosen, clock, first[0], accuracy, ["torch", "numpy"])


if __name__ == "__main__":
    main()
