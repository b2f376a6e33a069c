"""Families that torch lacks, one a file, each a `torch.distributions.Distribution`."""

from jensen.distributions.diagonal_normal import DiagonalNormal
from jensen.distributions.independent_bernoulli import IndependentBernoulli
from jensen.distributions.independent_continuous_bernoulli import IndependentContinuousBernoulli
from jensen.distributions.standard_normal import StandardNormal

__all__ = ["DiagonalNormal", "IndependentBernoulli", "IndependentContinuousBernoulli", "StandardNormal"]
