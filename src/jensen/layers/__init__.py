"""Networks, without probability and with: a conditional distribution is a module whose forward returns one."""

from jensen.layers import curvature, shrinking, variational
from jensen.layers.class_conditional import ClassConditional
from jensen.layers.controls import ControlVariate
from jensen.layers.convolutions import ConvolutionalDecoder, ConvolutionalEncoder
from jensen.layers.flows import FlowPosterior
from jensen.layers.likelihoods import CategoricalLikelihood, GaussianLikelihood, Likelihood, Prediction
from jensen.layers.perceptrons import BernoulliMLP, ContinuousBernoulliMLP, GaussianMLP, mlp
from jensen.layers.pixels import PixelHead
from jensen.layers.support import check_chain, check_observations
from jensen.layers.units import DiscreteMLP, check_units, discrete
from jensen.layers.variational import bayesianize, compressible, sparsify, variational_dropout

__all__ = [
    "BernoulliMLP",
    "CategoricalLikelihood",
    "ClassConditional",
    "ContinuousBernoulliMLP",
    "ControlVariate",
    "ConvolutionalDecoder",
    "ConvolutionalEncoder",
    "DiscreteMLP",
    "FlowPosterior",
    "GaussianLikelihood",
    "GaussianMLP",
    "Likelihood",
    "PixelHead",
    "Prediction",
    "bayesianize",
    "check_chain",
    "check_observations",
    "check_units",
    "compressible",
    "curvature",
    "discrete",
    "mlp",
    "shrinking",
    "sparsify",
    "variational",
    "variational_dropout",
]
