r"""Importance weighted autoencoder: one or more stochastic layers, trained on a bound that tightens with every sample.

Expectation: $\log p_\theta(x) = \log \mathbb{E}_{q(h \mid x)}\left[ p_\theta(x, h) / q(h \mid x) \right]$, bounded by
`bounds.iwae`.

$$p(x, h) = p(h^L) \, p(h^{L-1} \mid h^L) \cdots p(x \mid h^1), \qquad
q(h \mid x) = q(h^1 \mid x) \, q(h^2 \mid h^1) \cdots q(h^L \mid h^{L-1})$$

| paper | code | shape |
|---|---|---|
| $x$ | `x` | `(B, pixels)` |
| $h^1, \ldots, h^L$ | `h` | a list of `(K, B, D_l)` |
| $\epsilon^1, \ldots, \epsilon^L$ | `noise` | `(K, B, D_1 + ... + D_L)` |
| $q(h^l \mid h^{l-1})$ | `encoders[l - 1]` | `DiagonalNormal` |
| $p(h^{l-1} \mid h^l)$ | `decoders[l - 1]` | `DiagonalNormal`; over pixels for $l = 1$ |
| $w_k$ | `log_weights(x, K).total.exp()` | `(K, B)` |

Differs from the paper: any number of stochastic layers; it has one and two. Its encoder and decoder are tanh
perceptrons (`layers.GaussianMLP`, `layers.BernoulliMLP`), here any module that returns a distribution.

References:
    | Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016)
    | https://arxiv.org/abs/1509.00519v4
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.func import functional_call

from jensen._contracts import Inference, LatentLayer, LogWeights, check_noise, check_samples
from jensen.distributions import DiagonalNormal, StandardNormal
from jensen.layers import check_chain, check_observations

__all__ = ["IWAE"]


class IWAE(nn.Module):
    r"""A chain of Gaussian latent layers with a recognition network for each.

    Args:
        encoders: $q(h^1 \mid x), q(h^2 \mid h^1), \ldots$, modules that return a `DiagonalNormal`.
        decoders: $p(x \mid h^1), p(h^1 \mid h^2), \ldots$, modules that return a distribution, that over pixels
            first.
        latents: the number of units of each layer, lowest first.

    Raises:
        ValueError: if there is not one encoder and one decoder for each layer.

    Example:
        >>> encoder, decoder = GaussianMLP(784, (200, 200), 50), BernoulliMLP(50, (200, 200), 784)
        >>> iwae = IWAE(encoders=[encoder], decoders=[decoder], latents=[50])
        >>> x = torch.bernoulli(torch.full((3, 784), 0.1))
        >>> bounds.iwae(iwae.log_weights(x, samples=5).total).shape
        torch.Size([3])

    References:
        | Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), eqs. 1 and 2
        | https://arxiv.org/abs/1509.00519v4
    """

    zero: Tensor

    def __init__(self, *, encoders: Sequence[nn.Module], decoders: Sequence[nn.Module], latents: Sequence[int]) -> None:
        super().__init__()
        if not 1 <= len(latents) == len(encoders) == len(decoders):
            sizes = f"{len(encoders)} encoders, {len(decoders)} decoders, {len(latents)} latent sizes"
            raise ValueError(f"each stochastic layer needs one of each, got {sizes}")
        self.encoders, self.decoders = nn.ModuleList(encoders), nn.ModuleList(decoders)
        self.sizes, self.width = list(latents), sum(latents)
        self.register_buffer("zero", torch.zeros(self.sizes[-1]), persistent=False)

    def prior(self) -> StandardNormal:
        r"""$p(h^L)$, a standard Gaussian."""
        return StandardNormal(self.zero, validate_args=False)

    def posterior(self, x: Tensor) -> DiagonalNormal:
        r"""$q(h^1 \mid x)$, the first factor of eq. 2."""
        q: DiagonalNormal = self.encoders[0](x)
        return q

    def likelihood(self, h: Tensor) -> Distribution:
        r"""$p(x \mid h^1)$, the last factor of eq. 1."""
        p: Distribution = self.decoders[0](h)
        return p

    def generate(self, noise: Tensor) -> Distribution:
        r"""$p(x \mid h^1)$ at the ancestral draw that standard normal noise stands for: $p(x \mid \epsilon)$.

        $$h^L = \epsilon^L, \qquad h^l = \mu(h^{l+1}) + \sigma(h^{l+1}) \odot \epsilon^l$$

        Args:
            noise: $\epsilon^1, \ldots, \epsilon^L$, `(*batch, D_1 + ... + D_L)`, as in `noise`.
        """
        *lower, h = noise.split_with_sizes(self.sizes, -1)
        for epsilon, decoder in zip(reversed(lower), reversed(self.decoders[1:]), strict=True):
            h = decoder(h).from_noise(epsilon)
        return self.likelihood(h)

    def noise(self, x: Tensor, samples: int = 1) -> Tensor:
        r"""$\epsilon \sim \mathcal{N}(0, I)$ for all layers, `(samples, B, D_1 + ... + D_L)`, for `log_weights`."""
        check_samples(samples)
        return torch.randn(samples, x.shape[0], self.width, dtype=self.zero.dtype, device=x.device)

    def log_weights(
        self,
        x: Tensor,
        samples: int = 1,
        *,
        noise: Tensor | None = None,
        posterior: DiagonalNormal | None = None,
        path_derivative: bool = False,
    ) -> LogWeights:
        r"""The log-weights $\log p(x, h_k) - \log q(h_k \mid x)$ of eq. 8; the first encoder runs once for each datum.

        Args:
            x: data, `(B, pixels)`.
            samples: the number $K$ of draws for each datum.
            noise: the $\epsilon$ to use in place of fresh ones, `(K, B, D_1 + ... + D_L)`.
            posterior: $q(h^1 \mid x)$, where it is at hand already.
            path_derivative: let the gradient reach the encoders through the draws alone, for `bounds.stl` and
                `bounds.dreg`.

        Returns:
            Three tensors `(K, B)` in nats; `log_prior` is that of all layers.

        Raises:
            ValueError: if `samples` is below 1 or a shape does not fit.
        """
        q = self.posterior(x) if posterior is None else posterior
        h, _, log_posterior = self._recognise(q, self._noise(x, samples, noise))
        if path_derivative:  # branches of the draws: what flows along them does not pass from layer to layer
            h = [h_l.view_as(h_l) for h_l in h]
            log_posterior = self._log_posterior_at(h, q)
        return LogWeights(
            log_likelihood=self.likelihood(h[0]).log_prob(x),
            log_prior=self._log_prior(h),
            log_posterior=log_posterior,
            path=tuple(h) if path_derivative else (),
        )

    def infer(self, x: Tensor, samples: int = 1, *, noise: Tensor | None = None) -> Inference:
        r"""Log-weights, divergence, likelihood and draws of one pass; `noise` as for `log_weights`.

        The divergence of the top layer is in closed form given the draws below, that of a lower layer is
        $\log q(h^l \mid h^{l-1}) - \log p(h^l \mid h^{l+1})$ at the draws; the mean over draws is the divergence.
        """
        noise = self._noise(x, samples, noise)
        h, q, log_posterior = self._recognise(self.posterior(x), noise)
        log_p = [p_l.log_prob_per_unit(below) for below, p_l in zip(h[:-1], self._priors(h), strict=True)]
        log_prior = self.prior().log_prob(h[-1])
        for each in log_p:
            log_prior = log_prior + each.sum(-1)
        likelihood = self.likelihood(h[0])
        units = self._divergences(h, q, log_p)
        return Inference(
            LogWeights(likelihood.log_prob(x), log_prior, log_posterior),
            torch.stack([each.sum(-1) for each in units]).sum(0),
            likelihood,
            tuple(h),
            units,
        )

    def _divergences(self, h: list[Tensor], q: list[DiagonalNormal], log_p: list[Tensor]) -> tuple[Tensor, ...]:
        """The divergence of each unit given the draws `(K, B, D_l)`: in closed form at the top, log-ratios below."""
        lower = [q_l.log_prob_per_unit(h_l) - p for q_l, h_l, p in zip(q, h, log_p, strict=False)]
        return (*lower, self.prior().kl_per_unit(q[-1]).expand_as(h[-1]))

    def _noise(self, x: Tensor, samples: int, noise: Tensor | None) -> Tensor:
        if noise is None:
            return self.noise(x, samples)
        check_noise(noise, (samples, x.shape[0], self.width))
        return noise

    def _recognise(self, q: DiagonalNormal, noise: Tensor) -> tuple[list[Tensor], list[DiagonalNormal], Tensor]:
        r"""Draws $h^1, \ldots, h^L$ of eq. 2, the factors that they are of, and $\log q(h \mid x)$."""
        epsilon = noise.split_with_sizes(self.sizes, -1) if len(self.sizes) > 1 else (noise,)
        h, factors, log_posterior = [q.from_noise(epsilon[0])], [q], q.log_prob_from_noise(epsilon[0])
        for l in range(1, len(self.sizes)):
            q_l = self.encoders[l](h[l - 1])
            h.append(q_l.from_noise(epsilon[l]))
            factors.append(q_l)
            log_posterior = log_posterior + q_l.log_prob_from_noise(epsilon[l])
        return h, factors, log_posterior

    def _log_prior(self, h: list[Tensor]) -> Tensor:
        r"""$\log p(h^L) + \sum_l \log p(h^l \mid h^{l+1})$, eq. 1."""
        log_prior = self.prior().log_prob(h[-1])
        for below, p_l in zip(h[:-1], self._priors(h), strict=True):
            log_prior = log_prior + p_l.log_prob(below)
        return log_prior

    def _priors(self, h: list[Tensor]) -> list[DiagonalNormal]:
        r"""$p(h^1 \mid h^2), \ldots, p(h^{L-1} \mid h^L)$, the inner factors of eq. 1."""
        return [decoder(h_l) for decoder, h_l in zip(self.decoders[1:], h[1:], strict=True)]

    def _log_posterior_at(self, h: list[Tensor], q: DiagonalNormal) -> Tensor:
        r"""$\log q(h \mid x)$ as a function of the draws alone, every encoder's parameters held constant."""
        log_posterior = q.detached().log_prob(h[0])
        for l in range(1, len(self.sizes)):
            constant = {name: parameter.detach() for name, parameter in self.encoders[l].named_parameters()}
            log_posterior = log_posterior + functional_call(self.encoders[l], constant, (h[l - 1],)).log_prob(h[l])
        return log_posterior

    def latents(self, x: Tensor, samples: int = 1) -> list[LatentLayer]:
        r"""Posterior mean and divergence of each unit, `(B, D_l)` for each layer.

        Above the first layer they are averages over `samples` draws of the layers below. The divergence of the top
        layer is in closed form given those; that of a lower layer is a mean of
        $\log q(h^l_d \mid h^{l-1}) - \log p(h^l_d \mid h^{l+1})$.
        """
        h, q, _ = self._recognise(self.posterior(x), self.noise(x, samples))
        log_p = [p_l.log_prob_per_unit(below) for below, p_l in zip(h[:-1], self._priors(h), strict=True)]
        kl = self._divergences(h, q, log_p)
        means = [q_l.mean.expand_as(h_l).mean(0) for q_l, h_l in zip(q, h, strict=True)]
        return [LatentLayer(mean, each.mean(0)) for mean, each in zip(means, kl, strict=True)]

    def check(self, x: Tensor) -> None:
        """Refuse data that this model has no likelihood for (`layers.check_observations`) and layers that do not fit.

        Raises:
            ValueError: if the data have another shape or lie outside the support, or a decoder has another width.
        """
        check_chain(self.decoders, self.zero, sizes=self.sizes)
        check_observations(self.likelihood(self.zero.new_zeros(self.sizes[0])), x)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Pixel means at `n` ancestral draws, `(n, pixels)`."""
        return self.generate(torch.randn(n, self.width, dtype=self.zero.dtype, device=self.zero.device)).mean

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Pixel means at one posterior draw for each datum, `(B, pixels)`."""
        return self.likelihood(self.posterior(x).sample()).mean
