"""The importance-weighted bound at the price of one backward pass for all its samples."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from jensen._contracts import check_log_weights
from jensen.bounds.importance import iwae

__all__ = ["resampled_iwae"]


def resampled_iwae(
    log_weights: Callable[[Tensor], Tensor], noise: Tensor, *, generator: Generator | None = None
) -> Tensor:
    r"""The importance-weighted bound, its gradient through one sample picked by its weight, in nats.

    $$\nabla \mathcal{L}_K = \sum_{k=1}^{K} \tilde w_k \nabla \log w_k = \mathbb{E}_{i \sim \tilde w}[\nabla \log w_i]$$

    The $K$ samples are evaluated without a graph and only the sample $i$ is evaluated again with one: the value is
    `iwae` on all $K$, the gradient is unbiased, and neither its arithmetic nor its memory grows with $K$. The price is
    the variance of the choice of $i$, which vanishes where one weight dominates.

    Args:
        log_weights: maps noise `(K, B, D)` to log-weights `(K, B)`; called with `K` draws, then with one.
        noise: the standard draws that the samples are made from, `(K, B, D)`.
        generator: for the choice of the sample.

    Returns:
        The bound, `(B,)`.

    Raises:
        ValueError: if `log_weights` returns another shape than `(K, B)`, or there is no sample.

    Example:
        >>> location = torch.tensor(0.5, requires_grad=True)
        >>> bound = resampled_iwae(lambda noise: (location + noise).sum(-1), torch.zeros(4, 3, 2))
        >>> bound.sum().backward()
        >>> bound.detach(), location.grad
        (tensor([1., 1., 1.]), tensor(6.))

    References:
        | Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), section 3
        | https://arxiv.org/abs/1509.00519v4
    """
    with torch.no_grad():
        log_w = log_weights(noise)  # (K, B)
    if log_w.shape != noise.shape[:2]:
        shapes = f"{tuple(log_w.shape)} for noise {tuple(noise.shape)}"
        raise ValueError(f"log_weights gave shape {shapes}; expected {tuple(noise.shape[:2])}")
    check_log_weights(log_w)
    clock = torch.empty_like(log_w).exponential_(generator=generator)
    picked = (log_w - clock.log()).argmax(0, keepdim=True)  # (1, B): k with probability w_k / sum_j w_j
    chosen = noise.gather(0, picked.unsqueeze(-1).expand(1, *noise.shape[1:]))  # (1, B, D)
    log_w_chosen = log_weights(chosen).squeeze(0).clamp_min(torch.finfo(log_w.dtype).min)
    return iwae(log_w) + (log_w_chosen - log_w_chosen.detach())
