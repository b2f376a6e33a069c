"""The smallest phylogeny: two sequences and the distance between them."""

import math

import torch
from torch import Tensor
from torch.distributions import Exponential

from jensen._targets import Target
from jensen.datasets.targets._pieces import double, log_prob

__all__ = ["jc69_pair"]


def jc69_pair(sites: int = 948, differences: int = 90, *, rate: float = 10.0) -> Target:
    r"""The distance between two sequences under the model of Jukes and Cantor; by default human and orangutan.

    $$P(\text{same}) = \tfrac{1}{4} \big(\tfrac{1}{4} + \tfrac{3}{4} e^{-4 t / 3}\big), \qquad
    P(\text{other}) = \tfrac{1}{4} \big(\tfrac{1}{4} - \tfrac{1}{4} e^{-4 t / 3}\big), \qquad t \sim \mathrm{Exp}(10)$$

    for each pair of letters at a site. With $x = e^{-4t/3}$ the evidence is a finite sum of incomplete beta integrals;
    here it comes from the trapezoidal rule in $\log t$, to rounding.

    Args:
        sites: how long the sequences are.
        differences: at how many sites they differ.
        rate: of the exponential prior, the reciprocal of its mean distance.

    Raises:
        ValueError: if there are more differences than sites.

    Example:
        >>> round(jc69_pair().exact, 7)
        -1712.8943621

    References:
        | Evolution of Protein Molecules (Jukes & Cantor, 1969)
        | https://doi.org/10.1016/B978-1-4832-3211-9.50009-7
        | 19 Dubious Ways to Compute the Marginal Likelihood of a Phylogenetic Tree Topology (Fourment et al., 2020)
        | https://arxiv.org/abs/1811.11804
    """
    if not 0 <= differences <= sites:
        raise ValueError(f"differences must lie between 0 and the number of sites {sites}, got {differences}")
    differs = (torch.arange(sites) < differences).long()

    def both(distance: Tensor) -> Tensor:
        decay = 4 * distance / 3
        return torch.stack([torch.log1p(3 * (-decay).exp()), torch.log(-torch.expm1(-decay))], -1) - 4 * math.log(2)

    def log_likelihood(distance: Tensor) -> Tensor:
        return both(distance) @ both(distance).new_tensor([sites - differences, differences])

    prior = Exponential(double(rate))
    log_distance = torch.linspace(-60, 8, 20_001, dtype=torch.float64)
    distance = log_distance.exp()
    log_integrand = log_likelihood(distance) + log_prob(prior, distance) + log_distance
    exact = float(log_integrand.logsumexp(0)) + math.log(68 / 20_000)
    return Target(log_likelihood, prior, pointwise=lambda distance: both(distance)[:, differs], exact=exact)
