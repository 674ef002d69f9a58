"""Networks on flat values and their losses, in double precision, written from the definitions."""

import numpy as np


class Network:
    """A stack of layers, written as a scenario's `model.cnn.layers`, and a dense layer to the classes.

    Parameters are one flat vector; `layout` says which tensor stands where.
    """

    def __init__(self, inputs, classes, layers):
        self.described = layers
        self.inputs, self.classes = inputs, classes
        self.layers, self.layout, self.size = [], [], 0
        width = inputs
        for layer in list(layers) + [{"dense": {"units": classes}}]:
            (kind, keys), at = next(iter(layer.items())), len(self.layers)
            if kind == "dense":
                self._tensor(at, "weight", (keys["units"], width))
                width = keys["units"]
                self._tensor(at, "bias", (width,))
            if kind in ("batch_norm", "group_norm"):
                self._tensor(at, "weight", (width,))
                self._tensor(at, "bias", (width,))
            if kind == "batch_norm":
                self._tensor(at, "mean", (width,))
                self._tensor(at, "variance", (width,))
            self.layers.append((kind, keys))
        self.places = {name: (start, shape) for name, start, shape in self.layout}

    def _tensor(self, at, name, shape):
        self.layout.append(("%d.%s" % (at, name), self.size, shape))
        self.size += int(np.prod(shape))

    def model(self):
        """The scenario's table `model`."""
        return {"cnn": {"layers": self.described}}

    def tensor(self, w, name):
        """A view of one tensor."""
        start, shape = self.places[name]
        return w[start : start + int(np.prod(shape))].reshape(shape)

    def unpack(self, w):
        """All tensors by name."""
        return {name: self.tensor(w, name) for name in self.places}

    def pack(self, tensors):
        """The flat vector of tensors by name; other tensors are left out."""
        return np.concatenate([np.asarray(tensors[name]).reshape(-1) for name, _, _ in self.layout])

    def draw(self, seed, scale=0.6):
        """Parameters to start from, as single precision holds them."""
        rng = np.random.default_rng(seed)
        w = rng.normal(0.0, scale, self.size)
        for name in self.places:
            if name.endswith(".variance"):
                self.tensor(w, name)[:] = rng.uniform(0.5, 2.0, self.places[name][1])
        return w.astype(np.float32).astype(np.float64)

    def statistics(self):
        """Which values are running statistics."""
        mask = np.zeros(self.size, dtype=bool)
        for name, start, shape in self.layout:
            if name.endswith((".mean", ".variance")):
                mask[start : start + int(np.prod(shape))] = True
        return mask

    def forward(self, w, x, training=False, frozen=()):
        """Logits, and what `backward` and `follow` need. Batch norms at positions in `frozen` never take the batch."""
        tape, h = [], x
        for at, (kind, keys) in enumerate(self.layers):
            tensor = lambda name: self.tensor(w, "%d.%s" % (at, name))
            if kind == "dense":
                tape.append(h)
                h = h @ tensor("weight").T + tensor("bias")
            elif kind == "tanh":
                h = np.tanh(h)
                tape.append(h)
            elif kind == "relu":
                tape.append(h > 0)
                h = np.maximum(h, 0)
            elif kind == "batch_norm":
                by_batch = training and at not in frozen
                mean = h.mean(axis=0) if by_batch else tensor("mean")
                variance = h.var(axis=0) if by_batch else tensor("variance")
                scale = 1 / np.sqrt(variance + keys.get("epsilon", 1e-5))
                normal = (h - mean) * scale
                unbiased = variance * len(h) / max(len(h) - 1, 1)
                tape.append((normal, scale, by_batch, mean, unbiased))
                h = normal * tensor("weight") + tensor("bias")
            elif kind == "group_norm":
                groups = h.reshape(len(h), keys["groups"], -1)
                scale = 1 / np.sqrt(groups.var(axis=2, keepdims=True) + keys.get("epsilon", 1e-5))
                normal = (groups - groups.mean(axis=2, keepdims=True)) * scale
                tape.append((normal, scale))
                h = normal.reshape(h.shape) * tensor("weight") + tensor("bias")
            elif kind == "dropout" and not training:
                tape.append(None)
            else:
                raise ValueError(kind)
        return h, tape

    def backward(self, w, tape, slope):
        """The gradient, from the slope of the loss at the logits; 0 for running statistics."""
        grad = np.zeros(self.size)
        for at in reversed(range(len(self.layers))):
            kind, keys = self.layers[at]
            tensor = lambda name: self.tensor(w, "%d.%s" % (at, name))
            into = lambda name: self.tensor(grad, "%d.%s" % (at, name))
            if kind == "dense":
                into("weight")[:] = slope.T @ tape[at]
                into("bias")[:] = slope.sum(axis=0)
                slope = slope @ tensor("weight")
            elif kind == "tanh":
                slope = slope * (1 - tape[at] ** 2)
            elif kind == "relu":
                slope = slope * tape[at]
            elif kind == "batch_norm":
                normal, scale, by_batch = tape[at][:3]
                into("weight")[:] = (slope * normal).sum(axis=0)
                into("bias")[:] = slope.sum(axis=0)
                slope = slope * tensor("weight")
                if by_batch:
                    slope = slope - slope.mean(axis=0) - normal * (slope * normal).mean(axis=0)
                slope = slope * scale
            elif kind == "group_norm":
                normal, scale = tape[at]
                into("weight")[:] = (slope * normal.reshape(slope.shape)).sum(axis=0)
                into("bias")[:] = slope.sum(axis=0)
                inner = (slope * tensor("weight")).reshape(normal.shape)
                shift = inner.mean(axis=2, keepdims=True)
                stretch = (inner * normal).mean(axis=2, keepdims=True)
                slope = ((inner - shift - normal * stretch) * scale).reshape(slope.shape)
        return grad

    def follow(self, w, tape):
        """Parameters whose running statistics have moved towards those of the batch."""
        w = w.copy()
        for at, (kind, keys) in enumerate(self.layers):
            if kind == "batch_norm" and tape[at][2]:
                share = keys.get("momentum", 0.1)
                for name, seen in (("mean", tape[at][3]), ("variance", tape[at][4])):
                    running = self.tensor(w, "%d.%s" % (at, name))
                    running[:] = (1 - share) * running + share * seen
        return w

    def features(self, w, x):
        """What goes into the last dense layer."""
        return self.forward(w, x)[1][-1]


def softmax(z):
    """Probabilities of each row."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def only(z, classes):
    """Logits of which those outside of `classes` count for nothing."""
    masked = np.full(z.shape, -np.inf)
    masked[:, classes] = z[:, classes]
    return masked


def cross_entropy(z, y, classes=None):
    """The loss of each row, and its slope at the logits, over some classes or all."""
    z = z if classes is None else only(z, classes)
    rows = np.arange(len(y))
    p = softmax(z)
    slope = p.copy()
    slope[rows, y] -= 1
    return -np.log(p[rows, y]), slope


def sigmoid(z):
    """1 / (1 + exp(-z))."""
    return 1 / (1 + np.exp(-z))


class Sgd:
    """`v <- momentum v + g; w <- w - rate v`, from rest."""

    def __init__(self, rate, momentum=0.0):
        self.rate, self.momentum, self.velocity = rate, momentum, 0.0

    def step(self, w, grad):
        """The next parameters."""
        self.velocity = self.momentum * self.velocity + grad
        return w - self.rate * self.velocity


def gradient(net, w, x, y, classes=None, training=True, frozen=(), weights=None):
    """The gradient of the mean cross entropy, and the tape of the pass."""
    z, tape = net.forward(w, x, training, frozen)
    slope = cross_entropy(z, y, classes)[1] / len(y)
    if weights is not None:
        slope = slope * weights[:, None]
    return net.backward(w, tape, slope), tape


def train(net, w, x, y, rate, steps, momentum=0.0, extra=None, classes=None, frozen=()):
    """Full-batch steps; `extra(w)` is added to each gradient."""
    sgd = Sgd(rate, momentum)
    for _ in range(steps):
        grad, tape = gradient(net, w, x, y, classes, frozen=frozen)
        if extra is not None:
            grad = np.where(net.statistics(), 0.0, grad + extra(w))
        w = net.follow(sgd.step(w, grad), tape)
    return w


def losses(net, w, x, y):
    """The loss of each sample in evaluation."""
    return cross_entropy(net.forward(w, x)[0], y)[0]
