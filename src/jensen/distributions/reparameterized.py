"""Draws that carry a gradient, with their log-density, of whatever family can give them."""

import torch
from torch import Tensor
from torch.distributions import Distribution

from jensen.distributions.diagonal_normal import DiagonalNormal
from jensen.distributions.pushforward import Pushforward

__all__ = ["draw_with_log_prob"]


def draw_with_log_prob(q: Distribution, samples: int, *, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Reparameterised draws and their log-density, in one pass where the family has one.

    Args:
        q: the distribution, of batch `(*batch,)` and event `(D,)`.
        samples: how many draws K.
        noise: the standard normal noise of the draws, `(K, *batch, D)`, for families that have `from_noise`.

    Returns:
        The draws `(K, *batch, D)` and their log-density in nats, `(K, *batch)`.

    Raises:
        ValueError: if the family has no reparameterised draws, or is given noise and makes its own.

    Example:
        >>> q = DiagonalNormal(torch.zeros(3, 2), torch.zeros(2))
        >>> z, log_q = draw_with_log_prob(q, 5)
        >>> z.shape, log_q.shape
        (torch.Size([5, 3, 2]), torch.Size([5, 3]))
    """
    if isinstance(q, DiagonalNormal):
        noise = q.noise((samples,)) if noise is None else noise
        return q.from_noise(noise), q.log_prob_from_noise(noise)
    if isinstance(q, Pushforward):
        return q.from_noise(q.noise((samples,)) if noise is None else noise)
    if not q.has_rsample:
        raise ValueError(f"{type(q).__name__} has no reparameterised draws, so no gradient passes through its draws")
    if noise is not None:
        raise ValueError(
            f"{type(q).__name__} makes its own noise; leave noise out, or give a posterior with from_noise"
        )
    if hasattr(q, "rsample_and_log_prob"):
        z, log_q = q.rsample_and_log_prob((samples,))
        return z, log_q
    z = q.rsample(torch.Size([samples]))
    return z, q.log_prob(z)
