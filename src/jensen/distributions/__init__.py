"""Families that torch lacks, one a file, each a `torch.distributions.Distribution`."""

from jensen.distributions.conditional_bernoulli import ConditionalBernoulli
from jensen.distributions.diagonal_normal import DiagonalNormal
from jensen.distributions.discretized_logistic import DiscretizedLogistic
from jensen.distributions.discretized_logistic_mixture import DiscretizedLogisticMixture
from jensen.distributions.exp_relaxed_categorical import ExpRelaxedCategorical
from jensen.distributions.finite import Finite
from jensen.distributions.gumbel_sinkhorn import GumbelSinkhorn
from jensen.distributions.horseshoe import (
    HalfCauchyPieces,
    half_cauchy_pieces,
    kl_lognormal_gamma,
    kl_lognormal_inverse_gamma,
    root_of_lognormals,
)
from jensen.distributions.independent_bernoulli import IndependentBernoulli
from jensen.distributions.independent_continuous_bernoulli import IndependentContinuousBernoulli
from jensen.distributions.log_uniform import kl_log_uniform, kl_log_uniform_cubic, kl_log_uniform_exact
from jensen.distributions.logit_relaxed_bernoulli import LogitRelaxedBernoulli
from jensen.distributions.permutation_matrices import all_permutations, nearest_permutation
from jensen.distributions.plackett_luce import PlackettLuce
from jensen.distributions.pushforward import Pushforward
from jensen.distributions.reparameterized import draw_with_log_prob
from jensen.distributions.rounded_birkhoff import RoundedBirkhoff
from jensen.distributions.scale_mixture_normal import ScaleMixtureNormal
from jensen.distributions.sinkhorn import sinkhorn
from jensen.distributions.spanning_tree import SpanningTree
from jensen.distributions.standard_normal import StandardNormal
from jensen.distributions.stick_breaking_birkhoff import StickBreakingBirkhoff
from jensen.distributions.unordered_plackett_luce import (
    UnorderedPlackettLuce,
    log_prob_of_every_subset,
    log_prob_of_subset,
)
from jensen.distributions.weight_divergences import kl_normal_laplace, kl_normal_normal

__all__ = [
    "ConditionalBernoulli",
    "DiagonalNormal",
    "DiscretizedLogistic",
    "DiscretizedLogisticMixture",
    "ExpRelaxedCategorical",
    "Finite",
    "GumbelSinkhorn",
    "HalfCauchyPieces",
    "IndependentBernoulli",
    "IndependentContinuousBernoulli",
    "LogitRelaxedBernoulli",
    "PlackettLuce",
    "Pushforward",
    "RoundedBirkhoff",
    "ScaleMixtureNormal",
    "SpanningTree",
    "StandardNormal",
    "StickBreakingBirkhoff",
    "UnorderedPlackettLuce",
    "all_permutations",
    "draw_with_log_prob",
    "half_cauchy_pieces",
    "kl_log_uniform",
    "kl_log_uniform_cubic",
    "kl_log_uniform_exact",
    "kl_lognormal_gamma",
    "kl_lognormal_inverse_gamma",
    "kl_normal_laplace",
    "kl_normal_normal",
    "log_prob_of_every_subset",
    "log_prob_of_subset",
    "nearest_permutation",
    "root_of_lognormals",
    "sinkhorn",
]
