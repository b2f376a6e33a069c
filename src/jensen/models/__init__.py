"""One paper, one file, on the waist `log_weights(x, samples)`."""

from jensen.models.bayesian_network import BayesianNetwork
from jensen.models.birkhoff import PermutationMatching, RoundedPosterior, RowPosterior, StickBreakingPosterior
from jensen.models.discrete_vae import DiscreteVAE
from jensen.models.iwae import IWAE
from jensen.models.laplace_network import LaplaceNetwork
from jensen.models.neurons import NeuronIdentities
from jensen.models.structured_prediction import StructuredPredictor
from jensen.models.vae import VAE

__all__ = [
    "IWAE",
    "VAE",
    "BayesianNetwork",
    "DiscreteVAE",
    "LaplaceNetwork",
    "NeuronIdentities",
    "PermutationMatching",
    "RoundedPosterior",
    "RowPosterior",
    "StickBreakingPosterior",
    "StructuredPredictor",
]
