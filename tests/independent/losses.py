"""Losses of one row in PyTorch: the numbers of `core/src/loss.rs`."""

import torch
import torch.nn.functional as F

z = torch.tensor([[0.5, -1.2, 2.0]], dtype=torch.float64)
values = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)
label = torch.tensor([2])
print("smoothed", F.cross_entropy(z, label, label_smoothing=0.1).item())
print("cross entropy", F.cross_entropy(z, label).item())
print("mean squared", F.mse_loss(z, values).item())
print("huber", F.huber_loss(z, values).item())
print("cosine", 1 - F.cosine_similarity(z, values).item())
print("multi-label", F.binary_cross_entropy_with_logits(z, values).item())
