"""Three steps of each optimizer in PyTorch: the numbers of `core/src/optimizer.rs`. Lion by its paper's algorithm 2."""

import math

import torch

GRADIENTS = [2.0, -1.0, 3.0]
RATE, DECAY = 0.1, 0.5


def steps(name, make):
    w = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    optimizer = make([w])
    values = []
    for gradient in GRADIENTS:
        w.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        values.append(round(w.item(), 8))
    print(f"{name}: {values}")


def lion():
    w, m, values = 1.0, 0.0, []
    for g in GRADIENTS:
        w *= 1 - RATE * DECAY
        w -= RATE * math.copysign(1.0, 0.9 * m + 0.1 * g)
        m = 0.99 * m + 0.01 * g
        values.append(round(w, 8))
    print(f"LION: {values}")


O = torch.optim
steps("NESTEROV", lambda p: O.SGD(p, RATE, momentum=0.9, nesterov=True, weight_decay=DECAY))
steps("ADAM_W", lambda p: O.AdamW(p, RATE, weight_decay=DECAY))
steps("RMS_PROP", lambda p: O.RMSprop(p, RATE, weight_decay=DECAY))
steps("RMS_PROP_MOMENTUM", lambda p: O.RMSprop(p, RATE, momentum=0.9, weight_decay=DECAY))
steps("ADAGRAD", lambda p: O.Adagrad(p, RATE, weight_decay=DECAY))
lion()
