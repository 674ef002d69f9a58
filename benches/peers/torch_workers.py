"""FedAvg by hand in forked PyTorch workers, one thread each: the fastest that eager PyTorch does here.

Data and models lie in shared memory, a model is one flat vector, and a worker adds up its clients'
models, so that a round sends a list of clients to each worker and nothing back.
"""

import torch
from torch import multiprocessing

import common
import torch_common


def train(parameters, data, row):
    row = row[torch.randperm(len(row))]
    x, y = data.x[row], data.y[row]
    for xs, ys in zip(x.split(common.BATCH), y.split(common.BATCH)):
        steps = torch.autograd.grad(torch_common.loss(parameters, xs, ys), parameters)
        with torch.no_grad():
            torch._foreach_add_(parameters, steps, alpha=-common.RATE)


def work(pipe, number, data, rows, shapes, model, total):
    torch.set_num_threads(1)
    torch.manual_seed(number)
    local = torch.empty_like(model)
    parameters = [view.requires_grad_() for view in torch_common.views(local, shapes)]
    while (cohort := pipe.recv()) is not None:
        total.zero_()
        for client in cohort:
            local.copy_(model)
            row = rows[client]
            train(parameters, data, row)
            total.add_(local, alpha=len(row))
        pipe.send(len(cohort) * rows.shape[1])


def round_of(pipes, model, totals, cohort):
    for number, pipe in enumerate(pipes):
        pipe.send(cohort[number :: len(pipes)].tolist())
    samples = sum(pipe.recv() for pipe in pipes)
    torch.sum(totals, 0, out=model).div_(samples)


def main():
    chosen = common.arguments()
    # Before the first operation: a thread pool would not survive the fork.
    torch.set_num_threads(1)
    workload = common.WORKLOADS[chosen.workload]
    data = common.load(chosen.data)
    rows = torch.from_numpy(common.partition(data.y, workload, chosen.seed)).share_memory_()
    data = torch_common.tensors(data)
    for tensor in data:
        tensor.share_memory_()
    network = torch_common.module(workload.model, chosen.seed)
    shapes = [p.shape for p in network.parameters()]
    model = torch_common.flat(network.parameters()).share_memory_()
    totals = torch.zeros(chosen.threads, len(model)).share_memory_()
    context = multiprocessing.get_context("fork")
    pipes = []
    for number in range(chosen.threads):
        ours, theirs = context.Pipe()
        given = (theirs, number, data, rows, shapes, model, totals[number])
        context.Process(target=work, args=given, daemon=True).start()
        pipes.append(ours)
    clock = common.Clock(processes=1 + chosen.threads)
    for finished, cohort in zip(range(1, chosen.rounds + 1), common.cohorts(workload, chosen.seed)):
        with clock.round():
            round_of(pipes, model, totals, cohort)
        if torch_common.due(workload, finished, chosen.rounds):
            accuracy = torch_common.accuracy(torch_common.views(model, shapes), data)
    for pipe in pipes:
        pipe.send(None)
    common.report("torch_workers", chosen, clock, accuracy, ["torch", "numpy"])


if __name__ == "__main__":
    main()
