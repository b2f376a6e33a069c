"""One paper, one file, on the waist `log_weights(x, samples)`."""

from jensen.models.birkhoff import PermutationMatching, RoundedPosterior, RowPosterior, StickBreakingPosterior
from jensen.models.discrete_vae import DiscreteVAE
from jensen.models.iwae import IWAE
from jensen.models.neurons import NeuronIdentities
from jensen.models.structured_prediction import StructuredPredictor
from jensen.models.vae import VAE

__all__ = [
    "IWAE",
    "VAE",
    "DiscreteVAE",
    "NeuronIdentities",
    "PermutationMatching",
    "RoundedPosterior",
    "RowPosterior",
    "StickBreakingPosterior",
    "StructuredPredictor",
]
