r"""Discrete variational autoencoder: latents that are bits or categories, trained by any estimator of `gradients`.

Expectation: $\log p_\theta(x) = \log \mathbb{E}_{q_\phi(z \mid x)}[ p_\theta(x \mid z) \, p(z) / q_\phi(z \mid x) ]$,
bounded by `bounds.elbo`, whose gradient in $\phi$ cannot pass through the draws.

$$p(z) = \prod_{n=1}^{N} \frac{1}{C}, \qquad q_\phi(z \mid x) = \prod_{n=1}^{N} \mathrm{Cat}(z_n; \pi_n(x)), \qquad
\mathcal{L}(x) = -\mathbb{E}_{q_\phi}[\underbrace{-\log p_\theta(x \mid z)}_{f(z)}] - \mathrm{KL}(q_\phi \,\|\, p)$$

| paper | code | shape |
|---|---|---|
| $x$ | `x` | `(B, pixels)` |
| $z$, one-hot rows or bits | `z` | `(K, B, N, C)` or `(K, B, N)` |
| $\pi(x)$ | `posterior(x).mean` | `(B, N, C)` or `(B, N)` |
| $q_\phi(z \mid x)$ | `posterior(x)` | batch `(B,)`, event `(N, C)` or `(N,)` |
| $p_\theta(x \mid z)$ | `likelihood(z)` | batch `(K, B)`, event `(pixels,)` |
| $f$ | `cost(x)` | `(K, B, N, C)` to `(K, B)` |

Differs from the papers: the divergence is always in closed form; both papers also draw it. Networks are what is passed.

References:
    | Categorical Reparameterization with Gumbel-Softmax (Jang, Gu & Poole, 2017), section 4.2
    | https://arxiv.org/abs/1611.01144v5
    | Estimating Gradients for Discrete Random Variables by Sampling without Replacement (Kool et al., 2020)
    | https://arxiv.org/abs/2002.06043
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from jensen._contracts import LatentLayer, LogWeights
from jensen.layers import check_observations, check_units, discrete

__all__ = ["DiscreteVAE"]

Cost = Callable[[Tensor], Tensor]
Estimator = Callable[[Cost, Distribution], Tensor]


class DiscreteVAE(nn.Module):
    r"""Independent discrete latents under a uniform prior, an encoder and a decoder.

    `log_weights` and `kl` are exact in value. A gradient in the encoder needs an estimator: `expected_cost`, or
    `training.Estimated`, which calls it.

    Args:
        encoder: a module from data `(B, pixels)` to a product of discrete units, such as `layers.DiscreteMLP`.
        decoder: a module from flat latents, `(*batch, N C)` or `(*batch, N)`, to a distribution over data, such as
            `layers.BernoulliMLP`.
        units: the event shape of z: `(N,)` for N bits, `(N, C)` for N one-hot rows of C categories.
        control: what `relax` and `rebar` learn, a `layers.ControlVariate`; no part of the bound.

    Raises:
        ValueError: if `units` is neither.

    Example:
        >>> vae = DiscreteVAE(
        ...     encoder=DiscreteMLP(784, (512,), (20, 10)), decoder=BernoulliMLP(200, (512,), 784), units=(20, 10)
        ... )
        >>> x = torch.bernoulli(torch.full((3, 784), 0.1))
        >>> bounds.iwae(vae.log_weights(x, samples=5).total).shape
        torch.Size([3])

    References:
        | Categorical Reparameterization with Gumbel-Softmax (Jang, Gu & Poole, 2017), section 4.2
        | https://arxiv.org/abs/1611.01144v5
    """

    zero: Tensor

    def __init__(
        self, *, encoder: nn.Module, decoder: nn.Module, units: Sequence[int], control: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.control = encoder, decoder, control
        self.units = check_units(units)
        self.register_buffer("zero", torch.zeros(self.units), persistent=False)

    @property
    def log_states(self) -> float:
        """The logarithm of the number of values that all units together can take."""
        return self.units[0] * math.log(self.categories)

    @property
    def categories(self) -> int:
        """The number of values of a unit."""
        return self.units[1] if len(self.units) == 2 else 2

    def prior(self) -> Distribution:
        r"""$p(z)$, uniform."""
        return discrete(self.zero, units=self.units)

    def posterior(self, x: Tensor) -> Distribution:
        r"""$q_\phi(z \mid x)$."""
        q: Distribution = self.encoder(x)
        if q.event_shape != self.units:
            raise ValueError(f"the encoder returns events of shape {tuple(q.event_shape)}; expected {self.units}")
        return q

    def likelihood(self, z: Tensor) -> Distribution:
        r"""$p_\theta(x \mid z)$, also for relaxed latents, whose rows are points of the simplex."""
        p: Distribution = self.decoder(z.flatten(-len(self.units)))
        return p

    def cost(self, x: Tensor) -> Cost:
        r"""$f(z) = -\log p_\theta(x \mid z)$, from draws `(K, B, *units)` to nats `(K, B)`."""
        return lambda z: -self.likelihood(z).log_prob(x)

    def expected_cost(self, x: Tensor, estimator: Estimator, *, posterior: Distribution | None = None) -> Tensor:
        r"""$\mathbb{E}_{q_\phi(z \mid x)}[f(z)]$, `(B,)`, as `estimator(f, q)` estimates value and gradient.

        Args:
            x: data, `(B, pixels)`.
            estimator: `(f, q) -> (B,)`, such as those of `gradients`.
            posterior: $q_\phi(z \mid x)$, where it is at hand already.

        Example:
            >>> from jensen.gradients.score_function import score_function
            >>> vae = DiscreteVAE(encoder=DiscreteMLP(4, (), (2,)), decoder=BernoulliMLP(2, (), 4), units=(2,))
            >>> vae.expected_cost(torch.ones(3, 4), score_function).shape
            torch.Size([3])
        """
        return estimator(self.cost(x), self.posterior(x) if posterior is None else posterior)

    def kl(self, x: Tensor, *, posterior: Distribution | None = None) -> Tensor:
        r"""$\mathrm{KL}(q_\phi(z \mid x) \,\|\, p(z)) = N \log C - \mathrm{H}[q_\phi(z \mid x)]$, `(B,)` in nats."""
        q = self.posterior(x) if posterior is None else posterior
        return self.log_states - q.entropy()

    def log_weights(
        self, x: Tensor, samples: int = 1, *, draws: Tensor | None = None, posterior: Distribution | None = None
    ) -> LogWeights:
        r"""The terms of $\log p_\theta(x, z) - \log q_\phi(z \mid x)$ at draws of the posterior.

        The draws carry no gradient: what flows back through `log_posterior` is the score $\nabla \log q_\phi$ alone.

        Args:
            x: data, `(B, pixels)`.
            samples: how many draws for each datum.
            draws: the z to use in place of fresh ones, `(samples, B, *units)`.
            posterior: $q_\phi(z \mid x)$, where it is at hand already.

        Returns:
            Three tensors `(samples, B)` in nats.

        Raises:
            ValueError: if `samples` is below 1 or the draws have another shape.
        """
        if samples < 1:
            raise ValueError(f"samples is {samples}; draw at least one for each datum")
        q = self.posterior(x) if posterior is None else posterior
        z = q.sample(torch.Size((samples,))) if draws is None else draws  # (K, B, *units)
        if z.shape != (samples, len(x), *self.units):
            raise ValueError(f"draws have shape {tuple(z.shape)}; expected {(samples, len(x), *self.units)}")
        log_posterior = q.log_prob(z)
        return LogWeights(
            log_likelihood=self.likelihood(z).log_prob(x),
            log_prior=torch.full_like(log_posterior, -self.log_states, requires_grad=False),
            log_posterior=log_posterior,
        )

    def latents(self, x: Tensor, samples: int = 1) -> list[LatentLayer]:
        """What each unit knows; exact, whatever `samples`.

        The mean of a bit is its probability, `(B, N)`; that of a row is its vector of probabilities, `(B, N, C)`.
        """
        q = self.posterior(x)
        return [LatentLayer(mean=q.mean, kl=math.log(self.categories) - cast(Any, q).base_dist.entropy())]

    def check(self, x: Tensor) -> None:
        """Refuse data that this model has no likelihood for: `layers.check_observations`."""
        check_observations(self.likelihood(self.zero), x)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Pixel means at `n` draws from the prior, `(n, pixels)`."""
        return self.likelihood(self.prior().sample(torch.Size((n,)))).mean

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Pixel means at one posterior draw for each datum, `(B, pixels)`."""
        return self.likelihood(self.posterior(x).sample()).mean
