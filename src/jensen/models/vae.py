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

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, kl_divergence

from jensen._contracts import Inference, LatentLayer, LogWeights, check_noise, check_samples
from jensen.distributions import DiagonalNormal, StandardNormal, draw_with_log_prob
from jensen.layers import check_observations

__all__ = ["VAE"]


class VAE(nn.Module):
    r"""A Gaussian latent vector, an encoder and a decoder.

    The posterior may be any family with reparameterised draws, such as `layers.FlowPosterior`. Only of a
    `DiagonalNormal` is there a divergence in closed form, and a density that holds its parameters constant
    (`path_derivative`).

    Args:
        encoder: a module from data `(B, pixels)` to a distribution over latents: a `DiagonalNormal`, such as
            `layers.GaussianMLP` and `layers.ConvolutionalEncoder` give, or another.
        decoder: a module from latents to a distribution over data: `layers.BernoulliMLP` for binary pixels,
            `layers.GaussianMLP` for real ones, `layers.ContinuousBernoulliMLP` for grey levels,
            `layers.ConvolutionalDecoder` for any of these and for discretised ones.
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

    def posterior(self, x: Tensor) -> Any:
        r"""$q_\phi(z \mid x)$, eq. 9; what the encoder returns."""
        return self.encoder(x)

    def likelihood(self, z: Tensor) -> Distribution:
        r"""$p_\theta(x \mid z)$, appendix C."""
        p: Distribution = self.decoder(z)
        return p

    def noise(self, x: Tensor, samples: int = 1) -> Tensor:
        r"""$\epsilon \sim \mathcal{N}(0, I)$, `(samples, B, latent)`: the argument `noise` of `log_weights`."""
        check_samples(samples)
        return torch.randn(samples, x.shape[0], self.zero.shape[0], dtype=self.zero.dtype, device=x.device)

    def log_weights(
        self,
        x: Tensor,
        samples: int = 1,
        *,
        noise: Tensor | None = None,
        posterior: Distribution | None = None,
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
            ValueError: if `samples` is below 1, a shape does not fit, or the posterior is of a family without what the
                arguments ask for.
        """
        q = self.posterior(x) if posterior is None else posterior
        z, log_q = self._draw(q, samples, noise)
        if path_derivative:
            log_q = _constant(q).log_prob(z)
        log_weights, _ = self._weigh(x, z, log_q)
        return log_weights._replace(path=(z,)) if path_derivative else log_weights

    def infer(self, x: Tensor, samples: int = 1, *, noise: Tensor | None = None) -> Inference:
        r"""Log-weights, divergence, likelihood and draws of one pass; `noise` as for `log_weights`.

        The divergence is in closed form where the posterior is a `DiagonalNormal`; otherwise it is
        $\log q_\phi(z \mid x) - \log p(z)$ at each draw, whose expectation it is.
        """
        q = self.posterior(x)
        z, log_q = self._draw(q, samples, noise)
        log_weights, likelihood = self._weigh(x, z, log_q)
        if isinstance(q, DiagonalNormal):
            units = self.prior().kl_per_unit(q).expand(samples, -1, -1)
        else:
            units = (log_q - log_weights.log_prior).unsqueeze(-1)
        return Inference(log_weights, units.sum(-1), likelihood, (z,), (units,))

    def _draw(self, q: Distribution, samples: int, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        """Draws `(samples, B, latent)` and their log-density `(samples, B)`."""
        if q.event_shape != self.zero.shape:
            event = tuple(q.event_shape)
            raise ValueError(
                f"the posterior has events of shape {event}; expected (latent,) = {tuple(self.zero.shape)}"
            )
        if noise is None:
            check_samples(samples)
        else:
            check_noise(noise, (samples, *q.batch_shape, *q.event_shape))
        return draw_with_log_prob(q, samples, noise=noise)

    def _weigh(self, x: Tensor, z: Tensor, log_q: Tensor) -> tuple[LogWeights, Distribution]:
        """Log-weights of given draws, and the likelihood that the first of their terms is of."""
        likelihood = self.likelihood(z)
        return LogWeights(likelihood.log_prob(x), self.prior().log_prob(z), log_q), likelihood

    def kl(self, x: Tensor) -> Tensor:
        r"""$\mathrm{KL}(q_\phi(z \mid x) \,\|\, p(z))$ in closed form, appendix B, `(B,)` in nats.

        Raises:
            ValueError: if there is none, as for a flow.
        """
        q = self.posterior(x)
        if not isinstance(q, DiagonalNormal):
            raise ValueError(
                f"{type(q).__name__} has no closed-form divergence from the prior; take infer(x, samples).kl, its "
                "estimate at each draw, or Variational(analytic_kl=False)"
            )
        return kl_divergence(q, self.prior())

    def latents(self, x: Tensor, samples: int = 1) -> list[LatentLayer]:
        """Posterior mean and divergence of each latent unit, `(B, latent)` each; exact, whatever `samples`.

        Where the posterior is no `DiagonalNormal` the mean is that of `samples` draws, and the divergence one number
        for all units, `(B, 1)`: dependent units have none of their own that add up to it.
        """
        q = self.posterior(x)
        if isinstance(q, DiagonalNormal):
            return [LatentLayer(mean=q.mean, kl=self.prior().kl_per_unit(q))]
        z, log_q = self._draw(q, samples, None)
        kl = (log_q - self.prior().log_prob(z)).mean(0)
        return [LatentLayer(mean=z.mean(0), kl=kl.unsqueeze(-1))]

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


def _constant(q: Distribution) -> DiagonalNormal:
    """The posterior with its parameters held constant."""
    if not isinstance(q, DiagonalNormal):
        raise ValueError(
            f"{type(q).__name__} has no density that holds its parameters constant, which path derivatives (stl, dreg) "
            "need; take a DiagonalNormal, or another objective such as ImportanceWeighted"
        )
    return q.detached()
