"""W5 in Avalanche: its own Naive, Replay and EWC strategies, without metrics or loggers, one thread."""

import sys
import warnings

# Chatter about solvers, loggers and coming versions; none concerns what is measured.
warnings.filterwarnings("ignore")

import torch
from avalanche.benchmarks import tensors_benchmark
from avalanche.training.plugins import EvaluationPlugin, SupervisedPlugin
from avalanche.training.supervised import EWC, Naive, Replay

import common
import torch_common
import torch_continual


class FirstStep(SupervisedPlugin):
    """Notes when the first training step is done."""

    seconds = None

    def after_training_iteration(self, strategy, **_):
        if self.seconds is None:
            self.seconds = common.since_start()


def stream(data):
    """One experience per task, its data in tensors: Avalanche's fastest way to hold a data set."""
    def split(x, y):
        return [(x[rows], y[rows]) for rows in map(torch.from_numpy, common.tasks(y.numpy()))]

    return tensors_benchmark(
        train_tensors=split(data.x, data.y),
        test_tensors=split(data.test_x, data.test_y),
        task_labels=[0] * common.TASKS,
    ).train_stream


def strategy(method, model, first):
    given = dict(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), common.CONTINUAL_RATE),
        criterion=torch.nn.CrossEntropyLoss(),
        train_mb_size=common.BATCH,
        train_epochs=1,
        plugins=[first],
        evaluator=EvaluationPlugin(loggers=[]),
    )
    if method == "replay":
        return Replay(mem_size=common.BUFFER, **given)
    if method == "ewc":
        return EWC(ewc_lambda=common.EWC_STRENGTH, **given)
    return Naive(**given)


def main():
    chosen = common.arguments(["W5"], threads=1)
    if chosen.method is None:
        sys.exit(torch_continual.each_method())
    torch.set_num_threads(chosen.threads)
    data = torch_common.tensors(common.load(chosen.data))
    torch.manual_seed(chosen.seed)
    model = torch_common.mlp(400)
    first = FirstStep()
    learner = strategy(chosen.method, model, first)
    clock = common.Clock()
    for experience in stream(data):
        with clock.round():
            learner.train(experience, num_workers=0)
        accuracy = torch_common.accuracy(list(model.parameters()), data)
    common.report_tasks(
        "avalanche", chosen, clock, first.seconds, accuracy, ["avalanche-lib", "torch", "numpy"])


if __name__ == "__main__":
    main()
