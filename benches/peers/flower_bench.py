"""FedAvg in Flower: message API, Ray simulation with one CPU per client, so as many workers as threads."""

import os

# Before the import: neither library may report usage from a measurement.
os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import functools
import sys

import torch
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

import common
import torch_common
from torch_loop import train

client_app = ClientApp()


@functools.cache
def shards(folder, name, seed):
    """Data and rows, read once by each worker."""
    torch.set_num_threads(1)
    data = common.load(folder)
    rows = common.partition(data.y, common.WORKLOADS[name], seed)
    return torch_common.tensors(data), torch.from_numpy(rows)


@functools.cache
def worker_model(name):
    return torch_common.module(common.WORKLOADS[name].model, 0)


@client_app.train()
def fit(message, context):
    asked = message.content["config"]
    data, rows = shards(asked["data"], asked["workload"], asked["seed"])
    row = rows[context.node_config["partition-id"]]
    model = worker_model(asked["workload"])
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    train(model, data.x[row], data.y[row])
    content = {
        "arrays": ArrayRecord(model.state_dict()),
        "metrics": MetricRecord({"num-examples": len(row)}),
    }
    return Message(content=RecordDict(content), reply_to=message)


class TimedFedAvg(FedAvg):
    """Flower's FedAvg with the clock started before clients are drawn and stopped after the mean is taken."""

    def __init__(self, clock, **settings):
        super().__init__(**settings)
        self.clock = clock

    def configure_train(self, *given):
        self.clock.start()
        return super().configure_train(*given)

    def aggregate_train(self, *given):
        mean = super().aggregate_train(*given)
        self.clock.stop()
        return mean


def server(chosen, clock, result):
    workload = common.WORKLOADS[chosen.workload]
    app = ServerApp()

    def evaluate(finished, arrays):
        if finished and torch_common.due(workload, finished, chosen.rounds):
            model = torch_common.module(workload.model, chosen.seed)
            model.load_state_dict(arrays.to_torch_state_dict())
            data, _ = shards(chosen.data, chosen.workload, chosen.seed)
            result["accuracy"] = torch_common.accuracy(list(model.parameters()), data)

    @app.main()
    def run(grid, context):
        strategy = TimedFedAvg(
            clock,
            fraction_train=workload.cohort / workload.clients,
            fraction_evaluate=0.0,
            min_train_nodes=workload.cohort,
            min_available_nodes=workload.clients,
        )
        config = {"data": chosen.data, "workload": chosen.workload, "seed": chosen.seed}
        model = torch_common.module(workload.model, chosen.seed)
        strategy.start(
            grid, ArrayRecord(model.state_dict()), chosen.rounds,
            train_config=ConfigRecord(config), evaluate_fn=evaluate)

    return app


def main():
    chosen = common.arguments()
    chosen.data = os.path.abspath(chosen.data)
    clock = common.Clock(processes=1 + chosen.threads)
    result = {}
    run_simulation(
        server(chosen, clock, result), client_app, common.WORKLOADS[chosen.workload].clients,
        backend_config={
            "init_args": {"num_cpus": chosen.threads},
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
        })
    common.report("flower", chosen, clock, result["accuracy"], ["flwr", "ray", "torch", "numpy"])


if __name__ == "__main__":
    # Under its own name, so that workers import the client instead of receiving it with every message.
    import flower_bench

    sys.exit(flower_bench.main())
