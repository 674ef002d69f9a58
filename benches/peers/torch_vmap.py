"""FedAvg with all clients of a round in one batched computation: torch.func.vmap over parameters."""

import torch
from torch.func import grad, vmap

import common
import torch_common

# Gradients of many clients at once; parameters, images and labels all have a leading client axis.
gradients = vmap(grad(torch_common.loss))


# Parameters of all clients in one batch, at most; more of them leave the cache and take longer.
TOGETHER = 2_000_000


def train(parameters, x, y, rows):
    """The sum of the clients' models after their epoch."""
    clients, samples = rows.shape
    rows = rows.gather(1, torch.rand(rows.shape).argsort(1))
    local = [p.expand(clients, *p.shape).clone() for p in parameters]
    for start in range(0, samples, common.BATCH):
        batch = rows[:, start : start + common.BATCH]
        steps = gradients(local, x[batch], y[batch])
        torch._foreach_add_(local, list(steps), alpha=-common.RATE)
    return [p.sum(0) for p in local]


def round_of(parameters, x, y, rows):
    clients = max(1, TOGETHER // sum(p.numel() for p in parameters))
    total = [torch.zeros_like(p) for p in parameters]
    for part in rows.split(clients):
        torch._foreach_add_(total, train(parameters, x, y, part))
    # Every client has the same number of samples, so the weighted mean is the plain one.
    return [p / len(rows) for p in total]


def main():
    chosen = common.arguments()
    torch.set_num_threads(chosen.threads)
    workload = common.WORKLOADS[chosen.workload]
    data = common.load(chosen.data)
    rows = torch.from_numpy(common.partition(data.y, workload, chosen.seed))
    data = torch_common.tensors(data)
    model = torch_common.module(workload.model, chosen.seed)
    parameters = [p.detach() for p in model.parameters()]
    clock = common.Clock()
    for finished, cohort in zip(range(1, chosen.rounds + 1), common.cohorts(workload, chosen.seed)):
        with clock.round():
            parameters = round_of(parameters, data.x, data.y, rows[cohort])
        if torch_common.due(workload, finished, chosen.rounds):
            accuracy = torch_common.accuracy(parameters, data)
    common.report("torch_vmap", chosen, clock, accuracy, ["torch", "numpy"])


if __name__ == "__main__":
    main()
