r"""Variational autoencoder: a latent-variable model and, trained with it, a network that guesses its latents.

Expectation: $\log p_\theta(x) = \log \mathbb{E}_{q_\phi(z \mid x)}[ p_\theta(x \mid z) \, p(z) / q_\phi(z \mid x) ]$,
bounded by `bounds.elbo`.

$$p(z) = \mathcal{N}(z; 0, I), \qquad q_\phi(z \mid x) = \mathcal{N}(z; \mu, \mathrm{diag}(\sigma^2)), \qquad
z = \mu + \sigma \odot \epsilon$$

| paper | code | shape |
|---|---|---|
| $x^{(i)}$ | `x` | `(B, pixels)` |
| $z^{(i, l)}$ | `z` | `(L, B, latent)` |
| $\epsilon^{(l)}$ | `noise` | `(L, B, latent)` |
| $q_\phi(z \mid x)$ | `posterior(x)` | batch `(B,)`, event `(latent,)` |
| $p_\theta(x \mid z)$ | `likelihood(z)` | batch `(L, B)`, event `(pixels,)` |

Differs from the paper: weights start Glorot-uniform instead of $\mathcal{N}(0, 0.01)$; the encoder gives the log-scale,
not the log-variance.

References:
    | Auto-Encoding Variational Bayes (Kingma & Welling, 2014)
    | https://arxiv.org/abs/1312.6114v11
"""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, kl_divergence

from jensen._contracts import LatentLayer, LogWeights, check_noise
from jensen.distributions import DiagonalNormal, StandardNormal
from jensen.layers import check_observations

__all__ = ["VAE"]


class VAE(nn.Module):
    r"""A Gaussian latent vector, an encoder and a decoder.

    Args:
        encoder: a module from data `(B, pixels)` to a `DiagonalNormal` over latents, such as `layers.GaussianMLP`.
        decoder: a module from latents to a distribution over data: `layers.BernoulliMLP` for binary pixels,
            `layers.GaussianMLP` for real ones, `layers.ContinuousBernoulliMLP` for grey levels.
        latent: the number of latent units.

    Example:
        >>> vae = VAE(encoder=GaussianMLP(784, (500,), 20), decoder=BernoulliMLP(20, (500,), 784), latent=20)
        >>> x = torch.bernoulli(torch.full((3, 784), 0.1))
        >>> bounds.elbo(vae.log_weights(x, samples=1).total).shape
        torch.Size([3])

    References:
        | Auto-Encoding Variational Bayes (Kingma & Welling, 2014), section 3
        | https://arxiv.org/abs/1312.6114v11
    """

    zero: Tensor

    def __init__(self, *, encoder: nn.Module, decoder: nn.Module, latent: int) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.register_buffer("zero", torch.zeros(latent), persistent=False)

    def prior(self) -> StandardNormal:
        r"""$p(z)$, a standard Gaussian."""
        return StandardNormal(self.zero, validate_args=False)

    def posterior(self, x: Tensor) -> DiagonalNormal:
        r"""$q_\phi(z \mid x)$, eq. 9."""
        q: DiagonalNormal = self.encoder(x)
        return q

    def likelihood(self, z: Tensor) -> Distribution:
        r"""$p_\theta(x \mid z)$, appendix C."""
        p: Distribution = self.decoder(z)
        return p

    def noise(self, x: Tensor, samples: int = 1) -> Tensor:
        r"""$\epsilon \sim \mathcal{N}(0, I)$, `(samples, B, latent)`: the argument `noise` of `log_weights`."""
        if samples < 1:
            raise ValueError(f"samples is {samples}; draw at least one for each datum")
        return torch.randn(samples, x.shape[0], self.zero.shape[0], dtype=self.zero.dtype, device=x.device)

    def log_weights(
        self,
        x: Tensor,
        samples: int = 1,
        *,
        noise: Tensor | None = None,
        posterior: DiagonalNormal | None = None,
        path_derivative: bool = False,
    ) -> LogWeights:
        r"""The terms of $\log p_\theta(x, z) - \log q_\phi(z \mid x)$, eq. 6, at $z = \mu + \sigma \odot \epsilon$.

        The encoder runs once for each datum, whatever `samples`.

        Args:
            x: data, `(B, pixels)`.
            samples: how many draws for each datum.
            noise: the $\epsilon$ to use in place of fresh ones, `(samples, B, latent)`.
            posterior: $q_\phi(z \mid x)$, where it is at hand already.
            path_derivative: let the gradient reach $\phi$ through the draws alone, for `bounds.stl` and `bounds.dreg`.

        Returns:
            Three tensors `(samples, B)` in nats.

        Raises:
            ValueError: if `samples` is below 1 or a shape does not fit.
        """
        q = self.posterior(x) if posterior is None else posterior
        noise = self.noise(x, samples) if noise is None else noise
        check_noise(noise, (samples, *q.loc.shape))
        z = q.from_noise(noise)  # (L, B, latent)
        return LogWeights(
            log_likelihood=self.likelihood(z).log_prob(x),
            log_prior=self.prior().log_prob(z),
            log_posterior=q.detached().log_prob(z) if path_derivative else q.log_prob_from_noise(noise),
            path=(z,) if path_derivative else (),
        )

    def kl(self, x: Tensor) -> Tensor:
        r"""$\mathrm{KL}(q_\phi(z \mid x) \,\|\, p(z))$ in closed form, appendix B, `(B,)` in nats."""
        return kl_divergence(self.posterior(x), self.prior())

    def latents(self, x: Tensor, samples: int = 1) -> list[LatentLayer]:
        """Posterior mean and divergence of each latent unit, `(B, latent)` each; exact, whatever `samples`."""
        q = self.posterior(x)
        return [LatentLayer(mean=q.mean, kl=self.prior().kl_per_unit(q))]

    def check(self, x: Tensor) -> None:
        """Refuse data that this model has no likelihood for: `layers.check_observations`."""
        check_observations(self.likelihood(self.zero), x)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Pixel means at `n` draws from the prior, `(n, pixels)`."""
        return self.likelihood(self.prior().sample((n,))).mean

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Pixel means at one posterior draw for each datum, `(B, pixels)`."""
        return self.likelihood(self.posterior(x).sample()).mean
