"""Layers with a posterior over their weights, and what a network of them answers."""

from jensen.layers.variational.conversion import bayesianize
from jensen.layers.variational.group_scales import HorseshoeScales, NormalJeffreysScales
from jensen.layers.variational.group_sparse import GroupSparse, compressible
from jensen.layers.variational.networks import (
    at_means,
    draw_weights,
    forward_and_kl,
    forward_samples,
    forward_with,
    log_posterior,
    log_prior,
    random_layers,
    total_kl,
)
from jensen.layers.variational.posteriors import FullGaussian, MeanField, Posterior
from jensen.layers.variational.priors import LaplacePrior, NormalPrior, Prior, ScaleMixturePrior
from jensen.layers.variational.protocol import Draws, RandomLayer, is_random_layer
from jensen.layers.variational.sparse_dropout import SparseDropout, sparsify
from jensen.layers.variational.variational_dropout import VariationalDropout, variational_dropout
from jensen.layers.variational.wrapper import Variational

__all__ = [
    "Draws",
    "FullGaussian",
    "GroupSparse",
    "HorseshoeScales",
    "LaplacePrior",
    "MeanField",
    "NormalJeffreysScales",
    "NormalPrior",
    "Posterior",
    "Prior",
    "RandomLayer",
    "ScaleMixturePrior",
    "SparseDropout",
    "Variational",
    "VariationalDropout",
    "at_means",
    "bayesianize",
    "compressible",
    "draw_weights",
    "forward_and_kl",
    "forward_samples",
    "forward_with",
    "is_random_layer",
    "log_posterior",
    "log_prior",
    "random_layers",
    "sparsify",
    "total_kl",
    "variational_dropout",
]
