"""FedAvg in pfl-research: its simulated backend on one process per thread, started by torchrun."""

import os
import subprocess
import sys

import torch

import common

CHILD = "LOCAL_RANK"


def run_processes(processes):
    """Starts this script again on several processes, as pfl-research's guide to distributed runs does."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--no-python",
               f"--nproc-per-node={processes}", sys.executable, *sys.argv]
    environment = {**common.restart_environment(), "OMP_NUM_THREADS": "1"}
    sys.exit(subprocess.run(command, env=environment).returncode)


def simulate(chosen):
    # Imported late: pfl opens its process group while it is imported.
    from pfl.aggregate.simulate import SimulatedBackend
    from pfl.aggregate.weighting import WeightByDatapoints
    from pfl.algorithm.base import NNAlgorithmParams
    from pfl.algorithm.federated_averaging import FederatedAveraging
    from pfl.callback.base import TrainingProcessCallback
    from pfl.data.dataset import Dataset
    from pfl.data.federated_dataset import FederatedDataset
    from pfl.data.sampling import MinimizeReuseUserSampler
    from pfl.hyperparam.base import NNTrainHyperParams
    from pfl.internal.ops.pytorch_ops import distributed
    from pfl.metrics import Metrics
    from pfl.model.pytorch import PyTorchModel
    import numpy
    import torch_common

    class Network(torch.nn.Module):
        def __init__(self, layers):
            super().__init__()
            self.layers = layers

        def loss(self, x, y):
            return torch.nn.functional.cross_entropy(self.layers(x), y)

        def metrics(self, x, y):
            # Asked for in the first round whatever the frequency; users are not evaluated here.
            return {}

    class Users:
        """A fresh order of users for each pass, the same in all processes."""

        def __init__(self, clients, seed):
            self.rng = numpy.random.default_rng(seed)
            self.clients = clients
            self.left = []

        def __call__(self):
            if not self.left:
                self.left = self.rng.permutation(self.clients).tolist()
            return self.left.pop()

    class Watch(TrainingProcessCallback):
        def after_central_iteration(self, aggregate_metrics, model, *, central_iteration):
            clock.stop()
            finished = central_iteration + 1
            if distributed.global_rank == 0 and torch_common.due(workload, finished, chosen.rounds):
                self.accuracy = torch_common.accuracy_of(model.pytorch_model.layers, data)
            clock.start()
            return False, Metrics()

    torch.set_num_threads(chosen.threads // distributed.world_size)
    workload = common.WORKLOADS[chosen.workload]
    arrays = common.load(chosen.data, workload.source)
    rows = [torch.from_numpy(row) for row in common.partition(arrays.y, workload, chosen.seed)]
    data = torch_common.tensors(arrays)

    def user(client):
        row = rows[client]
        row = row[torch.randperm(len(row))]
        return Dataset((data.x[row], data.y[row]), user_id=str(client))

    network = Network(torch_common.module(workload.model, chosen.seed))
    model = PyTorchModel(network, torch.optim.SGD, torch.optim.SGD(network.parameters(), 1.0))
    users = FederatedDataset(user, Users(workload.clients, chosen.seed))
    settings = NNAlgorithmParams(
        central_num_iterations=chosen.rounds,
        evaluation_frequency=chosen.rounds + 1,
        train_cohort_size=workload.cohort,
        val_cohort_size=None,
    )
    training = NNTrainHyperParams(
        local_num_epochs=1, local_learning_rate=workload.rate, local_batch_size=workload.batch)
    watch = Watch()
    clock = common.Clock(processes=distributed.world_size)
    clock.start()
    FederatedAveraging().run(
        settings, SimulatedBackend(users, None, [WeightByDatapoints()]), model, training,
        callbacks=[watch], send_metrics_to_platform=False)
    if distributed.global_rank == 0:
        common.report("pfl", chosen, clock, watch.accuracy, ["pfl", "torch", "numpy"])


def main():
    chosen = common.arguments()
    if chosen.threads > 1 and CHILD not in os.environ:
        run_processes(chosen.threads)
    simulate(chosen)


if __name__ == "__main__":
    main()
