"""FedAvg in FedJAX: its own `fed_avg` on its jitted for-each-client backend, the default on one device."""

import fedjax
import haiku
import jax
import numpy as np

import common


def network(model):
    """The workload's network with PyTorch's initial range, so that accuracies can be compared."""
    weights = haiku.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")

    def dense(width):
        return haiku.Linear(width, w_init=weights)

    def conv(channels):
        return haiku.Conv2D(channels, 3, padding="VALID", w_init=weights)

    def pool():
        return haiku.MaxPool(2, 2, "VALID")

    if model == "softmax":
        layers = [dense(10)]
    elif model == "mlp":
        layers = [dense(200), jax.nn.relu, dense(200), jax.nn.relu, dense(10)]
    else:
        layers = [haiku.Reshape((28, 28, 1)), conv(16), jax.nn.relu, pool(),
                  conv(32), jax.nn.relu, pool(), haiku.Flatten(), dense(10)]
    return haiku.Sequential(layers)


def cross_entropy(batch, scores):
    return -jax.nn.log_softmax(scores)[jax.numpy.arange(len(scores)), batch["y"]]


def model_of(name, sample):
    transformed = haiku.transform(lambda batch: network(name)(batch["x"]))
    metrics = {"accuracy": fedjax.metrics.Accuracy()}
    return fedjax.create_model_from_haiku(transformed, sample, cross_entropy, metrics)


def federated(data, rows):
    return fedjax.InMemoryFederatedData(
        {client: {"x": data.x[row], "y": data.y[row].astype(np.int32)} for client, row in enumerate(rows)})


def accuracy_of(scores, params, data):
    # In pieces, so that evaluation does not decide how much memory the script needs.
    pieces = np.split(data.test_x, len(data.test_x) // 1_000)
    guesses = [np.asarray(scores(params, {"x": piece}).argmax(1)) for piece in pieces]
    return float((np.concatenate(guesses) == data.test_y).mean())


def main():
    chosen = common.arguments()
    workload = common.WORKLOADS[chosen.workload]
    data = common.load(chosen.data)
    clients = federated(data, common.partition(data.y, workload, chosen.seed))
    model = model_of(workload.model, {"x": data.x[:1], "y": data.y[:1].astype(np.int32)})
    algorithm = fedjax.algorithms.fed_avg.federated_averaging(
        fedjax.model_grad(model),
        fedjax.optimizers.sgd(common.RATE),
        fedjax.optimizers.sgd(1.0),
        fedjax.ShuffleRepeatBatchHParams(batch_size=common.BATCH, num_epochs=1),
    )
    sampler = fedjax.client_samplers.UniformGetClientSampler(clients, workload.cohort, chosen.seed)
    state = algorithm.init(model.init(jax.random.PRNGKey(chosen.seed)))
    scores = jax.jit(model.apply_for_eval)
    clock = common.Clock()
    for finished in range(1, chosen.rounds + 1):
        with clock.round():
            state, _ = algorithm.apply(state, sampler.sample())
            jax.block_until_ready(state.params)
        if finished % workload.evaluate_every == 0 or finished == chosen.rounds:
            accuracy = accuracy_of(scores, state.params, data)
    common.report("fedjax", chosen, clock, accuracy, ["fedjax", "jax", "jaxlib", "dm-haiku", "numpy"])


if __name__ == "__main__":
    main()
