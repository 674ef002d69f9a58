"""FedAvg as most people write it first: one PyTorch model, one client after another, one thread."""

import torch
from torch.nn import functional as F

import common
import torch_common


def train(model, x, y, workload):
    optimizer = torch.optim.SGD(model.parameters(), lr=workload.rate)
    order = torch.randperm(len(x))
    for batch in order.split(workload.batch):
        optimizer.zero_grad()
        F.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()


def round_of(model, shards, cohort, workload):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    total = {name: torch.zeros_like(value) for name, value in before.items()}
    samples = 0
    for client in cohort:
        x, y = shards[client]
        model.load_state_dict(before)
        train(model, x, y, workload)
        samples += len(x)
        for name, value in model.state_dict().items():
            total[name].add_(value, alpha=len(x))
    model.load_state_dict({name: value / samples for name, value in total.items()})


def main():
    chosen = common.arguments(threads=1)
    torch.set_num_threads(chosen.threads)
    workload = common.WORKLOADS[chosen.workload]
    data = common.load(chosen.data, workload.source)
    rows = common.partition(data.y, workload, chosen.seed)
    data = torch_common.tensors(data)
    shards = [(data.x[row], data.y[row]) for row in map(torch.from_numpy, rows)]
    model = torch_common.module(workload.model, chosen.seed)
    clock = common.Clock()
    for finished, cohort in zip(range(1, chosen.rounds + 1), common.cohorts(workload, chosen.seed)):
        with clock.round():
            round_of(model, shards, cohort, workload)
        if torch_common.due(workload, finished, chosen.rounds):
            accuracy = torch_common.accuracy_of(model, data)
    common.report("torch_loop", chosen, clock, accuracy, ["torch", "numpy"])


if __name__ == "__main__":
    main()
