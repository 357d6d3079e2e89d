"""What the generators of models of pictures share: which values are kept, and training steps as retune takes them."""

from collections.abc import Callable

import torch


def places(size: int) -> list[int]:
    """Where values of a parameter of this size are kept."""
    return sorted({0, size // 3, size // 2, size - 1})


def kept(values: torch.Tensor) -> list[float]:
    """The values of a parameter that are kept."""
    flat = values.detach().flatten()
    return [flat[i].item() for i in places(len(flat))]


def train(model: torch.nn.Module, loss_of: Callable, count: int) -> list[float]:
    """Losses of so many steps of AdamW at 1e-3: no weight decay for vectors, clipping at 1."""
    vectors = [p for p in model.parameters() if p.ndim == 1]
    others = [p for p in model.parameters() if p.ndim > 1]
    optimizer = torch.optim.AdamW(
        [{"params": others, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}], lr=1e-3)  # fmt: skip
    losses = []
    for _ in range(count):
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses
