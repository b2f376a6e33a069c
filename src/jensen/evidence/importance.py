"""Log-evidence as the mean of importance weights."""

from torch import Tensor

from jensen._evidence import Evidence
from jensen.evidence._means import evidence_of_mean

__all__ = ["importance"]


def importance(log_weights: Tensor, *, smooth: bool = False, method: str = "importance") -> Evidence:
    r"""Importance sampling: the mean weight of draws from any normalised density $q$.

    $$\hat Z = \frac{1}{N} \sum_{n=1}^{N} w_n, \qquad w_n = \frac{p(y \mid \theta_n)\, p(\theta_n)}{q(\theta_n)}, \quad
    \theta_n \sim q$$

    Unbiased for $Z$, with a finite variance only where $q$ has no lighter tail than the posterior. `smooth=True`
    replaces the largest weights by the order statistics of a fitted generalised Pareto tail, which trades a small bias
    for less variance.

    Args:
        log_weights: $\log w_n$, `(N,)` of independent draws or `(S, C)` of chains of $q$; `-inf` is a weight of zero.
        smooth: whether the value is the Pareto-smoothed one; the other is in `diagnostics` either way.
        method: the name under which the result goes, for a $q$ that has one.

    Returns:
        The log-evidence in nats; `diagnostics` holds `pareto_k`, `effective_sample_size` (Kish), `raw_log_z`,
        `smoothed_log_z`, `draws`, `nan`, `minus_inf`. It warns where $\hat k$ is above what so many draws allow, and
        gives no error where $\hat k \ge 1$.

    Raises:
        ValueError: if there are fewer than two draws, any is `inf`, or all are `-inf` or NaN.

    Example:
        >>> quantile = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
        >>> theta = 1.5 * torch.special.ndtri(quantile)  # N(0, 1.5^2), evenly; the target is exp(-theta^2 / 2)
        >>> log_w = -theta**2 / 2 - torch.distributions.Normal(0, 1.5).log_prob(theta)
        >>> print(importance(log_w))  # exact: log(2 pi) / 2
        log Z = 0.92 ± 0.01 (importance)

    References:
        | Pareto Smoothed Importance Sampling (Vehtari, Simpson, Gelman, Yao & Gabry, 2024)
        | https://jmlr.org/papers/v25/19-556.html
    """
    return evidence_of_mean(log_weights, what="log_weights", method=method, smooth=smooth)
