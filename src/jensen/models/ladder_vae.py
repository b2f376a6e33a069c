r"""Ladder variational autoencoder: latents inferred from the top down, by what the data say and what is expected.

Expectation: $\log p(x) = \log \mathbb{E}_{q(z \mid x)}\left[ p(x, z) / q(z \mid x) \right]$, bounded by `bounds.elbo`.

$$p(x, z) = p(z_L) \, p(z_{L-1} \mid z_L) \cdots p(x \mid z_1), \qquad
q(z \mid x) = q(z_L \mid x) \, q(z_{L-1} \mid z_L, x) \cdots q(z_1 \mid z_2, x)$$
$$d_n = \mathrm{MLP}(d_{n-1}), \quad d_0 = x, \qquad
\hat q_n = \mathcal{N}(\hat \mu_n(d_n), \hat \sigma_n^2(d_n)), \qquad q(z_L \mid x) = \hat q_L$$
$$q(z_n \mid z_{n+1}, x) \propto \hat q_n(z_n) \, p(z_n \mid z_{n+1}): \qquad
\sigma_{q,n}^{-2} = \hat \sigma_n^{-2} + \sigma_{p,n}^{-2}, \qquad
\mu_{q,n} = \sigma_{q,n}^2 \, (\hat \mu_n \hat \sigma_n^{-2} + \mu_{p,n} \sigma_{p,n}^{-2})$$

| paper | code | shape |
|---|---|---|
| $x$ | `x` | `(B, pixels)` |
| $z_1, \ldots, z_L$ | `z` | a list of `(K, B, D_n)` |
| $\epsilon_1, \ldots, \epsilon_L$ | `noise` | `(K, B, D_1 + ... + D_L)` |
| $d_{n-1} \to d_n$ | `up[n - 1]` | to whatever the next one and `evidence[n - 1]` take |
| $\hat q_n$ | `evidence[n - 1]` | `DiagonalNormal`, batch `(B,)` |
| $p(z_{n-1} \mid z_n)$ | `decoders[n - 1]` | `DiagonalNormal`; over pixels for $n = 1$ |

With one layer it is `VAE`. In a chain of linear-Gaussian layers, however many, the true posterior is of this form.

Differs from the paper: no batch normalisation, which ties the bound of a datum to its minibatch; any module may stand
where it has perceptrons.

References:
    | Ladder Variational Autoencoders (Sønderby, Raiko, Maaløe, Sønderby & Winther, 2016)
    | https://arxiv.org/abs/1602.02282
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.func import functional_call

from jensen._contracts import Inference, LatentLayer, LogWeights, check_noise, check_samples
from jensen.distributions import DiagonalNormal, StandardNormal
from jensen.layers import check_chain, check_observations

__all__ = ["LadderVAE", "merge"]


def merge(q: DiagonalNormal, p: DiagonalNormal) -> DiagonalNormal:
    r"""The product of two Gaussians, normalised: precisions add up, and weigh the means.

    Args:
        q: one of them, `(*batch, D)`.
        p: the other, of a shape that broadcasts with it.

    Example:
        >>> both = merge(DiagonalNormal(torch.zeros(1), torch.zeros(1)), DiagonalNormal(torch.ones(1), torch.zeros(1)))
        >>> both.mean, both.variance
        (tensor([0.5000]), tensor([0.5000]))

    References:
        | Ladder Variational Autoencoders (Sønderby et al., 2016)
        | https://arxiv.org/abs/1602.02282
    """
    log_scale = -0.5 * torch.logaddexp(-2 * q.log_scale, -2 * p.log_scale)
    weight = torch.sigmoid(2 * (p.log_scale - q.log_scale))
    return DiagonalNormal(torch.lerp(p.loc, q.loc, weight), log_scale, validate_args=False)


class LadderVAE(nn.Module):
    r"""A chain of Gaussian latent layers, inferred from the top down.

    Args:
        up: $d_0 \to d_1, d_1 \to d_2, \ldots$, modules from a tensor to a tensor, that of the data first.
        evidence: $\hat q_1, \hat q_2, \ldots$, modules from $d_n$ to a `DiagonalNormal`.
        decoders: $p(x \mid z_1), p(z_1 \mid z_2), \ldots$, modules that return a distribution, that over pixels first.
        latents: the number of units of each layer, lowest first.

    Raises:
        ValueError: if there is not one of each for each layer.

    Example:
        >>> up = [mlp([784, 64]), mlp([64, 32])]
        >>> evidence = [GaussianMLP(64, (), 8), GaussianMLP(32, (), 4)]
        >>> decoders = [BernoulliMLP(8, (64,), 784), GaussianMLP(4, (32,), 8)]
        >>> ladder = LadderVAE(up=up, evidence=evidence, decoders=decoders, latents=[8, 4])
        >>> x = torch.bernoulli(torch.full((3, 784), 0.1))
        >>> bounds.iwae(ladder.log_weights(x, samples=5).total).shape
        torch.Size([3])

    References:
        | Ladder Variational Autoencoders (Sønderby et al., 2016)
        | https://arxiv.org/abs/1602.02282
    """

    zero: Tensor

    def __init__(
        self,
        *,
        up: Sequence[nn.Module],
        evidence: Sequence[nn.Module],
        decoders: Sequence[nn.Module],
        latents: Sequence[int],
    ) -> None:
        super().__init__()
        if not 1 <= len(latents) == len(up) == len(evidence) == len(decoders):
            sizes = f"{len(up)} up, {len(evidence)} evidence, {len(decoders)} decoders, {len(latents)} latent sizes"
            raise ValueError(f"each stochastic layer needs one of each, got {sizes}")
        self.up, self.evidence = nn.ModuleList(up), nn.ModuleList(evidence)
        self.decoders = nn.ModuleList(decoders)
        self.sizes, self.width = list(latents), sum(latents)
        self.register_buffer("zero", torch.zeros(self.sizes[-1]), persistent=False)

    def prior(self) -> StandardNormal:
        r"""$p(z_L)$, a standard Gaussian."""
        return StandardNormal(self.zero, validate_args=False)

    def posterior(self, x: Tensor) -> DiagonalNormal:
        r"""$q(z_L \mid x)$, the first factor of the posterior, that of the top layer."""
        return self.recognise(x)[-1]

    def likelihood(self, z: Tensor) -> Distribution:
        r"""$p(x \mid z_1)$."""
        p: Distribution = self.decoders[0](z)
        return p

    def recognise(self, x: Tensor) -> list[DiagonalNormal]:
        r"""$\hat q_1, \ldots, \hat q_L$: what the data say of each layer, by the deterministic way up.

        Raises:
            ValueError: if one of them is of another width than its layer.
        """
        said: list[DiagonalNormal] = []
        d = x
        for n, (up, evidence, size) in enumerate(zip(self.up, self.evidence, self.sizes, strict=True)):
            d = up(d)
            said.append(evidence(d))
            if said[n].event_shape != (size,):
                event = tuple(said[n].event_shape)
                raise ValueError(f"evidence[{n}] returns events of shape {event}; expected ({size},)")
        return said

    def generate(self, noise: Tensor) -> Distribution:
        r"""$p(x \mid z_1)$ at the ancestral draw that standard normal noise stands for: $p(x \mid \epsilon)$.

        Args:
            noise: $\epsilon_1, \ldots, \epsilon_L$, `(*batch, D_1 + ... + D_L)`, as in `noise`.
        """
        *lower, z = noise.split_with_sizes(self.sizes, -1)
        for epsilon, decoder in zip(reversed(lower), reversed(self.decoders[1:]), strict=True):
            z = decoder(z).from_noise(epsilon)
        return self.likelihood(z)

    def generate_stepwise(self, choose: Callable[[Distribution], Tensor]) -> Distribution:
        r"""$p(x \mid z_1)$ at latents that are chosen from the top down.

        Args:
            choose: called with $p(z_L), p(z_{L-1} \mid z_L), \ldots, p(z_1 \mid z_2)$, one after another, for $z_n$ of
                shape `(*batch, D_n)`.
        """
        z = choose(self.prior())
        for decoder in reversed(self.decoders[1:]):
            z = choose(decoder(z))
        return self.likelihood(z)

    def infer_stepwise(self, x: Tensor, choose: Callable[[Distribution, Distribution], Tensor]) -> Distribution:
        r"""$p(x \mid z_1)$ at latents that are chosen from the top down, beside data.

        Args:
            x: data, `(B, pixels)`.
            choose: called with $q(z_n \mid z_{n+1}, x)$ and $p(z_n \mid z_{n+1})$, the top layer first, for $z_n$ of
                shape `(*samples, B, D_n)`.
        """
        return self.likelihood(self._descend(self.recognise(x), choose))

    def noise(self, x: Tensor, samples: int = 1) -> Tensor:
        r"""$\epsilon \sim \mathcal{N}(0, I)$ for all layers, `(samples, B, D_1 + ... + D_L)`, for `log_weights`."""
        check_samples(samples)
        return torch.randn(samples, x.shape[0], self.width, dtype=self.zero.dtype, device=x.device)

    def log_weights(
        self, x: Tensor, samples: int = 1, *, noise: Tensor | None = None, path_derivative: bool = False
    ) -> LogWeights:
        r"""The log-weights $\log p(x, z) - \log q(z \mid x)$; the way up runs once for each datum.

        Args:
            x: data, `(B, pixels)`.
            samples: the number K of draws for each datum.
            noise: the $\epsilon$ to use in place of fresh ones, `(K, B, D_1 + ... + D_L)`.
            path_derivative: let the gradient reach the posterior through the draws alone, for `bounds.stl` and
                `bounds.dreg`; the posterior's parameters are also those of the decoders that it shares.

        Returns:
            Three tensors `(K, B)` in nats; prior and posterior are those of all layers.

        Raises:
            ValueError: if `samples` is below 1 or a shape does not fit.
        """
        said, epsilon = self.recognise(x), self._noise(x, samples, noise)
        z, q, p = self._draw(said, epsilon)
        if not path_derivative:
            log_posterior = _total([q_n.log_prob_from_noise(e) for q_n, e in zip(q, epsilon, strict=True)])
            return LogWeights(self.likelihood(z[0]).log_prob(x), self._log_prior(z, p), log_posterior)
        z = [z_n.view_as(z_n) for z_n in z]  # branches: what flows along them does not pass from layer to layer
        p = [decoder(above) for decoder, above in zip(self.decoders[1:], z[1:], strict=True)]
        log_likelihood, log_posterior = self.likelihood(z[0]).log_prob(x), self._log_posterior_at(z, said)
        return LogWeights(log_likelihood, self._log_prior(z, p), log_posterior, path=tuple(z))

    def infer(self, x: Tensor, samples: int = 1, *, noise: Tensor | None = None) -> Inference:
        r"""Log-weights, divergence, likelihood and draws of one pass; `noise` as for `log_weights`.

        The divergence of every layer is in closed form given the draw of the layer above; the mean over draws is the
        divergence.
        """
        epsilon = self._noise(x, samples, noise)
        z, q, p = self._draw(self.recognise(x), epsilon)
        likelihood = self.likelihood(z[0])
        log_posterior = _total([q_n.log_prob_from_noise(e) for q_n, e in zip(q, epsilon, strict=True)])
        log_weights = LogWeights(likelihood.log_prob(x), self._log_prior(z, p), log_posterior)
        units = self._divergences(z, q, p)
        return Inference(log_weights, _total([each.sum(-1) for each in units]), likelihood, tuple(z), units)

    def _noise(self, x: Tensor, samples: int, noise: Tensor | None) -> tuple[Tensor, ...]:
        """The noise of each layer, lowest first."""
        if noise is None:
            noise = self.noise(x, samples)
        else:
            check_noise(noise, (samples, x.shape[0], self.width))
        return noise.split_with_sizes(self.sizes, -1)

    def _descend(self, said: list[DiagonalNormal], choose: Callable[[DiagonalNormal, Any], Tensor]) -> Tensor:
        r"""The way down to $z_1$, each $z_n$ chosen given $q(z_n \mid z_{n+1}, x)$ and $p(z_n \mid z_{n+1})$."""
        z = choose(said[-1], self.prior())
        for said_n, decoder in zip(reversed(said[:-1]), reversed(self.decoders[1:]), strict=True):
            p = decoder(z)
            z = choose(merge(said_n, p), p)
        return z

    def _draw(
        self, said: list[DiagonalNormal], epsilon: tuple[Tensor, ...]
    ) -> tuple[list[Tensor], list[DiagonalNormal], list[DiagonalNormal]]:
        r"""Draws $z_1, \ldots, z_L$, the $q$ that they are of, and $p(z_1 \mid z_2), \ldots, p(z_{L-1} \mid z_L)$."""
        drawn: list[tuple[Tensor, DiagonalNormal, DiagonalNormal]] = []

        def draw(q: DiagonalNormal, p: DiagonalNormal) -> Tensor:
            drawn.append((q.from_noise(epsilon[-1 - len(drawn)]), q, p))
            return drawn[-1][0]

        self._descend(said, draw)
        z, q, p = (list(each) for each in zip(*reversed(drawn), strict=True))
        return z, q, p[:-1]

    def _log_prior(self, z: list[Tensor], p: list[DiagonalNormal]) -> Tensor:
        r"""$\log p(z_L) + \sum_n \log p(z_n \mid z_{n+1})$, `(K, B)`."""
        return _total([*(p_n.log_prob(z_n) for p_n, z_n in zip(p, z, strict=False)), self.prior().log_prob(z[-1])])

    def _divergences(self, z: list[Tensor], q: list[DiagonalNormal], p: list[DiagonalNormal]) -> tuple[Tensor, ...]:
        """The divergence of each unit given the draws of the layer above, `(K, B, D_n)`."""
        lower = [q_n.kl_per_unit(p_n) for q_n, p_n in zip(q, p, strict=False)]
        return (*lower, self.prior().kl_per_unit(q[-1]).expand_as(z[-1]))

    def _log_posterior_at(self, z: list[Tensor], said: list[DiagonalNormal]) -> Tensor:
        r"""$\log q(z \mid x)$ as a function of the draws alone, all parameters held constant."""
        terms = [said[-1].detached().log_prob(z[-1])]
        for n in range(len(self.sizes) - 1):
            decoder = self.decoders[n + 1]
            constant = {name: parameter.detach() for name, parameter in decoder.named_parameters()}
            p = functional_call(decoder, constant, (z[n + 1],))
            terms.append(merge(said[n].detached(), p).log_prob(z[n]))
        return _total(terms)

    def latents(self, x: Tensor, samples: int = 1) -> list[LatentLayer]:
        r"""Posterior mean and divergence of each unit, `(B, D_n)` for each layer, lowest first.

        Given the draws of the layer above both are in closed form; below the top they are averages over `samples`.
        """
        z, q, p = self._draw(self.recognise(x), self._noise(x, samples, None))
        units = self._divergences(z, q, p)
        means = [q_n.mean.expand_as(z_n).mean(0) for q_n, z_n in zip(q, z, strict=True)]
        return [LatentLayer(mean, kl.mean(0)) for mean, kl in zip(means, units, strict=True)]

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
        z, _, _ = self._draw(self.recognise(x), self._noise(x, 1, None))
        return self.likelihood(z[0][0]).mean


def _total(terms: list[Tensor]) -> Tensor:
    """The sum of the layers' terms."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
