"""The logarithm of a normalising constant, with an error bar that can be trusted."""

from jensen._evidence import Diagnostic, Evidence, Kind
from jensen._pareto import pareto_k, pareto_smooth, reliable_k
from jensen._targets import Draws, Target
from jensen.evidence.accounts import Cost
from jensen.evidence.bridge import bridge, bridge_from_ratios
from jensen.evidence.comparison import Comparison
from jensen.evidence.draws import as_draws
from jensen.evidence.driver import compare, log_evidence
from jensen.evidence.harmonic import harmonic, stabilized_harmonic
from jensen.evidence.importance import importance
from jensen.evidence.jackknife import jackknife
from jensen.evidence.laplace import laplace
from jensen.evidence.laplus import beta_prime_laplus, gamma_laplus, gamma_laplus_importance, lognormal_laplus
from jensen.evidence.lower_bounds import elbo
from jensen.evidence.methods import METHODS, Method
from jensen.evidence.model_comparison import BayesFactor, ModelProbabilities, bayes_factor, model_probabilities
from jensen.evidence.monte_carlo import naive
from jensen.evidence.nested import nested, nested_log_weights
from jensen.evidence.path import modified_path, path
from jensen.evidence.scores import (
    conditional_predictive_ordinates,
    maximum_a_posteriori,
    maximum_likelihood,
    pointwise_predictive_density,
)
from jensen.evidence.settings import Settings
from jensen.evidence.smc import smc
from jensen.evidence.stepping_stone import generalized_stepping_stone, stepping_stone
from jensen.evidence.sumo import multilevel, sumo
from jensen.evidence.thames import thames

__all__ = [
    "METHODS",
    "BayesFactor",
    "Comparison",
    "Cost",
    "Diagnostic",
    "Draws",
    "Evidence",
    "Kind",
    "Method",
    "ModelProbabilities",
    "Settings",
    "Target",
    "as_draws",
    "bayes_factor",
    "beta_prime_laplus",
    "bridge",
    "bridge_from_ratios",
    "compare",
    "conditional_predictive_ordinates",
    "elbo",
    "gamma_laplus",
    "gamma_laplus_importance",
    "generalized_stepping_stone",
    "harmonic",
    "importance",
    "jackknife",
    "laplace",
    "log_evidence",
    "lognormal_laplus",
    "maximum_a_posteriori",
    "maximum_likelihood",
    "model_probabilities",
    "modified_path",
    "multilevel",
    "naive",
    "nested",
    "nested_log_weights",
    "pareto_k",
    "pareto_smooth",
    "path",
    "pointwise_predictive_density",
    "reliable_k",
    "smc",
    "stabilized_harmonic",
    "stepping_stone",
    "sumo",
    "thames",
]
