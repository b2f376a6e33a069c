"""Bounds on the log-evidence: pure functions of log-weights `(K, *batch)`, in nats, larger is better."""

from jensen._contracts import LogWeights
from jensen.bounds.expansions import iwae_bias, iwae_variance, jackknife_bias, relative_moments
from jensen.bounds.importance import effective_sample_size, iwae, normalized_weights
from jensen.bounds.jackknife import jackknife
from jensen.bounds.path import dreg, stl
from jensen.bounds.renyi import cubo, renyi
from jensen.bounds.resampled import resampled_iwae
from jensen.bounds.variational import elbo, minibatch, sgvb_a, sgvb_b

__all__ = [
    "LogWeights",
    "cubo",
    "dreg",
    "effective_sample_size",
    "elbo",
    "iwae",
    "iwae_bias",
    "iwae_variance",
    "jackknife",
    "jackknife_bias",
    "minibatch",
    "normalized_weights",
    "relative_moments",
    "renyi",
    "resampled_iwae",
    "sgvb_a",
    "sgvb_b",
    "stl",
]
