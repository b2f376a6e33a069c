"""One paper, one file, on the waist `log_weights(x, samples)`."""

from jensen.models.bayesian_network import BayesianNetwork
from jensen.models.birkhoff import PermutationMatching, RoundedPosterior, RowPosterior, StickBreakingPosterior
from jensen.models.discrete_vae import DiscreteVAE
from jensen.models.disentangling import DisentanglingAutoencoder, DisentanglingDraws, DisentanglingLosses
from jensen.models.draw import DRAW, Drawing
from jensen.models.iwae import IWAE
from jensen.models.ladder_vae import LadderVAE
from jensen.models.laplace_network import LaplaceNetwork
from jensen.models.neurons import NeuronIdentities
from jensen.models.structured_prediction import StructuredPredictor
from jensen.models.vae import VAE

__all__ = [
    "DRAW",
    "IWAE",
    "VAE",
    "BayesianNetwork",
    "DiscreteVAE",
    "DisentanglingAutoencoder",
    "DisentanglingDraws",
    "DisentanglingLosses",
    "Drawing",
    "LadderVAE",
    "LaplaceNetwork",
    "NeuronIdentities",
    "PermutationMatching",
    "RoundedPosterior",
    "RowPosterior",
    "StickBreakingPosterior",
    "StructuredPredictor",
]
