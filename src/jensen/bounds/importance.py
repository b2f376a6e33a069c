"""Bounds from importance weighting: every sample makes them tighter."""

import torch
from torch import Tensor

from jensen._contracts import check_log_weights
from jensen._math import log_mean_exp

__all__ = ["effective_sample_size", "iwae", "normalized_weights"]


def iwae(log_w: Tensor, *, dim: int = 0) -> Tensor:
    r"""Importance-weighted lower bound on the log-evidence, in nats.

    $$\mathcal{L}_K = \log \frac{1}{K} \sum_{k=1}^{K} w_k, \qquad \mathbb{E}[\mathcal{L}_K] \le \log p(x)$$

    Never looser in expectation than with fewer samples: `elbo` at $K = 1$, $\log p(x)$ as $K$ grows, with a bias of
    order $1/K$ that `jackknife` removes. Its gradient weighs each sample by `normalized_weights`; no weight has to be
    detached, and the value is the bound itself, which the surrogate $\sum_k \tilde w_k \log w_k$ is not.

    Args:
        log_w: log-weights $\log p(x, z) - \log q(z \mid x)$, `(K, *batch)`.
        dim: the axis of the $K$ samples.

    Returns:
        The bound, `(*batch)`.

    Raises:
        ValueError: if `log_w` is not floating point or holds no sample.

    Example:
        >>> iwae(torch.tensor([0.0, math.log(3.0)]))
        tensor(0.6931)

    References:
        | Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), eq. 8
        | https://arxiv.org/abs/1509.00519v4
    """
    check_log_weights(log_w, dim)
    return log_mean_exp(log_w, dim=dim)


def normalized_weights(log_w: Tensor, *, dim: int = 0) -> Tensor:
    r"""Importance weights that sum to one, $\tilde w_k = w_k / \sum_j w_j$.

    The largest log-weight is subtracted before the exponential. Without that, float32 weights vanish below
    $\log w \approx -104$ and are wrong from about $-88$ on, where they are no longer normal numbers; log-weights of
    images lie in that very range.

    Args:
        log_w: log-weights, `(K, *batch)`.
        dim: the axis of the $K$ samples.

    Returns:
        The weights, of the shape of `log_w`.

    Raises:
        ValueError: if `log_w` is not floating point or holds no sample.

    Example:
        >>> normalized_weights(torch.tensor([-103.0, -104.0]))
        tensor([0.7311, 0.2689])

    References:
        | Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), eq. 13
        | https://arxiv.org/abs/1509.00519v4
    """
    check_log_weights(log_w, dim)
    return torch.softmax(log_w, dim=dim)


def effective_sample_size(log_w: Tensor, *, dim: int = 0) -> Tensor:
    r"""How many equally weighted samples the weighted ones are worth, $1 / \sum_k \tilde w_k^2 \in [1, K]$.

    Args:
        log_w: log-weights, `(K, *batch)`.
        dim: the axis of the $K$ samples.

    Returns:
        The effective sample size, `(*batch)`.

    Raises:
        ValueError: if `log_w` is not floating point or holds no sample.

    Example:
        >>> effective_sample_size(torch.zeros(8))
        tensor(8.)

    References:
        | A Note on Importance Sampling using Standardized Weights (Kong, 1992)
        | https://galton.uchicago.edu/techreports/tr348.pdf
    """
    return normalized_weights(log_w, dim=dim).square().sum(dim).reciprocal()
