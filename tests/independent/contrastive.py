"""The contrastive loss of pairs in PyTorch, in 64 bits: `python contrastive.py > ../../layers/tests/contrastive.json`."""

import json

import torch
import torch.nn.functional as F

generator = torch.Generator().manual_seed(5)
cases = []
for rows, width, temperature, kin, weighted in [
    (3, 4, 0.1, [[0, 1], [2, 0]], False),
    (5, 7, 0.5, [], True),
    (9, 17, 0.05, [[1, 0], [1, 8], [4, 4 - 1]], False),
    (1, 3, 0.1, [], False),
]:
    z = torch.randn(rows, 2 * width, generator=generator).double().requires_grad_()
    weights = torch.rand(rows, generator=generator).double() if weighted else torch.ones(rows).double()
    u, v = F.normalize(z[:, :width], dim=1), F.normalize(z[:, width:], dim=1)
    scores = u @ v.T / temperature
    mask = torch.zeros(rows, rows, dtype=torch.bool)
    for i, j in kin:
        mask[i, j] = True
    scores = scores.masked_fill(mask, float("-inf"))
    losses = F.cross_entropy(scores, torch.arange(rows), reduction="none")
    loss = (weights * losses).sum() / rows
    loss.backward()
    cases.append({
        "rows": rows,
        "temperature": temperature,
        "outputs": z.detach().reshape(-1).tolist(),
        "kin": kin,
        "weights": weights.tolist() if weighted else [],
        "losses": losses.tolist(),
        "loss": loss.item(),
        "slope": z.grad.reshape(-1).tolist(),
    })
print(json.dumps(cases))
