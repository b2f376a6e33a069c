"""One paper, one file, on the waist `log_weights(x, samples)`."""

from jensen.models.iwae import IWAE
from jensen.models.vae import VAE

__all__ = ["IWAE", "VAE"]
