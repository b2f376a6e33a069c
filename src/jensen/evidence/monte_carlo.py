"""Log-evidence as the mean of the likelihood over draws from the prior."""

from torch import Tensor

from jensen._evidence import Evidence
from jensen.evidence._means import evidence_of_mean

__all__ = ["naive"]


def naive(log_likelihood: Tensor) -> Evidence:
    r"""Naive Monte Carlo: the mean likelihood of draws from the prior.

    $$\hat Z = \frac{1}{N} \sum_{n=1}^{N} p(y \mid \theta_n), \qquad \theta_n \sim p(\theta)$$

    Unbiased for $Z$. Where the posterior is much narrower than the prior, next to no draw finds it: the value is then
    too low and so is its error, of which the tail's $\hat k$ warns.

    Args:
        log_likelihood: $\log p(y \mid \theta_n)$, `(N,)` of independent draws or `(S, C)` of chains whose stationary
            law is the prior; `-inf` is a likelihood of zero.

    Returns:
        The log-evidence in nats; `diagnostics` holds `pareto_k`, `effective_sample_size` (Kish), `draws`, `nan`,
        `minus_inf`.

    Raises:
        ValueError: if there are fewer than two draws, any is `inf`, or all are `-inf` or NaN.

    Example:
        >>> rate = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000  # Beta(1, 1), evenly
        >>> print(naive(torch.distributions.Binomial(10, rate).log_prob(torch.tensor(2.0))))  # exact: -log 11
        log Z = -2.40 ± 0.04 (naive)

    References:
        | 19 Dubious Ways to Compute the Marginal Likelihood of a Phylogenetic Tree Topology (Fourment, Magee, Whidden, Bilge, Matsen & Minin, 2020)
        | https://arxiv.org/abs/1811.11804
    """  # noqa: E501
    return evidence_of_mean(log_likelihood, what="log_likelihood", method="naive")
