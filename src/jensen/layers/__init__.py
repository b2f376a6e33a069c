"""Networks, without probability and with: a conditional distribution is a module whose forward returns one."""

from jensen.layers import curvature, shrinking, variational
from jensen.layers.controls import ControlVariate
from jensen.layers.likelihoods import CategoricalLikelihood, GaussianLikelihood, Likelihood, Prediction
from jensen.layers.perceptrons import BernoulliMLP, ContinuousBernoulliMLP, GaussianMLP, mlp
from jensen.layers.support import check_observations
from jensen.layers.units import DiscreteMLP, check_units, discrete
from jensen.layers.variational import bayesianize, compressible, sparsify

__all__ = [
    "BernoulliMLP",
    "CategoricalLikelihood",
    "ContinuousBernoulliMLP",
    "ControlVariate",
    "DiscreteMLP",
    "GaussianLikelihood",
    "GaussianMLP",
    "Likelihood",
    "Prediction",
    "bayesianize",
    "check_observations",
    "check_units",
    "compressible",
    "curvature",
    "discrete",
    "mlp",
    "shrinking",
    "sparsify",
    "variational",
]
