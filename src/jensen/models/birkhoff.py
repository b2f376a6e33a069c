r"""Variational permutation inference: which observation belongs to which centre, as a distribution.

Expectation: $\mathbb{E}_{q_\tau(X)}[\log p(y \mid X) + \log p(X) - \log q_\tau(X)]$, whose mean is `bounds.elbo` of the
log-weights; $q_\tau$ is a distribution of matrices that tend to permutations as $\tau \to 0$.

$$y_m = \sum_n x_{mn} c_n + \sigma \epsilon_m, \qquad
p(X) = \prod_{m, n} \tfrac{1}{2} \big(\mathcal{N}(x_{mn}; 0, \eta^2) + \mathcal{N}(x_{mn}; 1, \eta^2)\big)$$

| paper | code | shape |
|---|---|---|
| $y$ | `y` | `(B, N, d)` |
| $c$ | `centres` | `(B, N, d)` or `(N, d)` |
| $X$ | `x` | `(K, B, N, N)` |
| $\theta$ | parameters of `posterior` | `(B, N - 1, N - 1)` or `(B, N, N)` each |

The $B$ problems have nothing to do with each other but that they are fitted at the same time. The bound is one of the
*relaxed* model, in which $X$ is any matrix. With `StickBreakingPosterior` prior and posterior have densities of
different dimension, $N^2$ and $(N - 1)^2$, as in the paper: there its value means nothing, only its differences.
For few things the true posterior over permutations is a sum, `exact_posterior`, and says how good all this is.

Differs from the paper: the temperature is an attribute that the user may lower from step to step; log-scales are
squashed by a sigmoid into their interval, as the paper does not say how.

References:
    | Reparameterizing the Birkhoff Polytope for Variational Permutation Inference (Linderman et al., 2018)
    | https://arxiv.org/abs/1710.09508v1
"""

import math

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal
from torch.nn.functional import one_hot

from jensen._contracts import LogWeights
from jensen.distributions.permutation_matrices import all_permutations, nearest_permutation
from jensen.distributions.rounded_birkhoff import RoundedBirkhoff
from jensen.distributions.stick_breaking_birkhoff import StickBreakingBirkhoff

__all__ = [
    "PermutationMatching",
    "RoundedPosterior",
    "RowPosterior",
    "StickBreakingPosterior",
    "bhattacharyya",
    "mallows",
]


class StickBreakingPosterior(nn.Module):
    r"""Free parameters of a `StickBreakingBirkhoff` for each of `problems` problems.

    Args:
        size: $N$, how many things are matched.
        problems: $B$.
        tau: temperature, an attribute.
        scales: the interval that $\nu$ is kept in.

    Example:
        >>> StickBreakingPosterior(size=4, problems=2)().batch_shape
        torch.Size([2])
    """

    def __init__(
        self, *, size: int, problems: int = 1, tau: float = 0.5, scales: tuple[float, float] = (1e-8, 1.0)
    ) -> None:
        super().__init__()
        self.tau, self.scales = tau, scales
        self.loc = nn.Parameter(torch.zeros(problems, size - 1, size - 1))
        self.squashed_scale = nn.Parameter(torch.zeros(problems, size - 1, size - 1))

    def forward(self) -> StickBreakingBirkhoff:
        r"""$q_\tau(X; \theta)$, batch `(B,)`."""
        scale = _within(self.scales, self.squashed_scale)
        return StickBreakingBirkhoff(self.loc, scale, tau=self.tau, validate_args=False)


class RoundedPosterior(nn.Module):
    r"""Free parameters of a `RoundedBirkhoff` for each of `problems` problems.

    Args:
        size: $N$, how many things are matched.
        problems: $B$.
        tau: temperature, an attribute.
        scales: the interval that $\nu$ is kept in.
        allowed: the matches that may be, boolean `(N, N)` or `(B, N, N)`; all where there is none.

    Raises:
        ValueError: if `allowed` is of another shape.

    Example:
        >>> RoundedPosterior(size=4, problems=2)().batch_shape
        torch.Size([2])
    """

    forbidden: Tensor

    def __init__(
        self,
        *,
        size: int,
        problems: int = 1,
        tau: float = 0.5,
        scales: tuple[float, float] = (0.1, 0.5),
        allowed: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.tau, self.scales = tau, scales
        self.logits = nn.Parameter(torch.zeros(problems, size, size))
        self.squashed_scale = nn.Parameter(torch.zeros(problems, size, size))
        forbidden = torch.zeros(size, size, dtype=torch.bool) if allowed is None else ~allowed
        if forbidden.shape not in {(size, size), (problems, size, size)}:
            shapes = f"{(size, size)} or {(problems, size, size)}"
            raise ValueError(f"allowed has shape {tuple(forbidden.shape)}; expected {shapes}")
        self.register_buffer("forbidden", forbidden)

    def forward(self) -> RoundedBirkhoff:
        r"""$q_\tau(X; \theta)$, batch `(B,)`."""
        logits = self.logits.masked_fill(self.forbidden, -math.inf)
        return RoundedBirkhoff(logits, _within(self.scales, self.squashed_scale), tau=self.tau, validate_args=False)


class RowPosterior(nn.Module):
    r"""A `RoundedPosterior` that does not know of permutations, as a baseline: its mean is a softmax of each row.

    Args:
        size: $N$, how many things are matched.
        problems: $B$.
        tau: temperature.
        scales: the interval that $\nu$ is kept in.
        allowed: the matches that may be, boolean `(N, N)` or `(B, N, N)`; all where there is none.

    Raises:
        ValueError: if `allowed` is of another shape.

    Example:
        >>> RowPosterior(size=4, problems=2)().centre.sum(-1)[0]
        tensor([1., 1., 1., 1.], grad_fn=<SelectBackward0>)
    """

    def __init__(
        self,
        *,
        size: int,
        problems: int = 1,
        tau: float = 0.5,
        scales: tuple[float, float] = (0.1, 0.5),
        allowed: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.rounded = RoundedPosterior(size=size, problems=problems, tau=tau, scales=scales, allowed=allowed)

    def forward(self) -> RoundedBirkhoff:
        """A `RoundedBirkhoff`, batch `(B,)`, the columns of whose mean need not sum to one."""
        q: RoundedBirkhoff = self.rounded()
        q.centre = q.logits.softmax(-1)
        return q


class PermutationMatching(nn.Module):
    r"""Observations, one of each centre, in an unknown order.

    Args:
        posterior: a module whose call gives a distribution of matrices with a method `from_noise`, such as
            `StickBreakingPosterior` or `RoundedPosterior`.
        centres: where the observations come from, `(N, d)` or `(B, N, d)`.
        sigma: standard deviation of their noise, a number or `(B,)`.
        eta: standard deviation of the prior around zero and one.

    Raises:
        ValueError: if the centres are no matrix.

    Example:
        >>> model = PermutationMatching(posterior=RoundedPosterior(size=3), centres=torch.randn(3, 2), sigma=0.5)
        >>> y = model.sample(1)
        >>> bounds.elbo(model.log_weights(y, samples=4).total).shape
        torch.Size([1])
        >>> model.exact_posterior(y).shape
        torch.Size([1, 6])

    References:
        | Reparameterizing the Birkhoff Polytope for Variational Permutation Inference (Linderman et al., 2018)
        | https://arxiv.org/abs/1710.09508v1
    """

    centres: Tensor
    sigma: Tensor

    def __init__(self, *, posterior: nn.Module, centres: Tensor, sigma: float | Tensor, eta: float = 0.3) -> None:
        super().__init__()
        if centres.ndim not in (2, 3):
            raise ValueError(f"centres has shape {tuple(centres.shape)}; expected (N, d) or (B, N, d)")
        self.posterior_of, self.eta = posterior, eta
        self.register_buffer("centres", centres)
        self.register_buffer("sigma", torch.as_tensor(sigma, dtype=centres.dtype)[..., None, None])

    def prior(self) -> Distribution:
        """p(X), every entry near zero or near one."""
        size, near = self.centres.shape[-2], self.centres.new_tensor([0.0, 1.0])
        mixture = MixtureSameFamily(
            Categorical(logits=torch.zeros_like(near), validate_args=False),
            Normal(near, self.eta, validate_args=False),
            validate_args=False,
        )
        grid: Distribution = mixture.expand((size, size))  # type: ignore[no-untyped-call]
        return Independent(grid, 2, validate_args=False)

    def posterior(self) -> StickBreakingBirkhoff | RoundedBirkhoff:
        r"""$q_\tau(X; \theta)$, batch `(B,)`, event `(N, N)`."""
        q: StickBreakingBirkhoff | RoundedBirkhoff = self.posterior_of()
        return q

    def likelihood(self, x: Tensor) -> Distribution:
        """p(y | X) for matrices `(*sample, B, N, N)`, event `(N, d)`."""
        return Independent(Normal(x @ self.centres, self.sigma, validate_args=False), 2, validate_args=False)

    def log_weights(self, y: Tensor, samples: int = 1, *, noise: Tensor | None = None) -> LogWeights:
        r"""The terms of $\log p(y, X) - \log q_\tau(X)$ at reparameterised draws.

        Args:
            y: the observations, `(B, N, d)`.
            samples: how many draws.
            noise: the $\epsilon$ to use in place of fresh ones, `(samples, B, ...)`.

        Returns:
            Three tensors `(samples, B)` in nats.

        Raises:
            ValueError: if `samples` is below 1, or the problems are not as many as the posterior has.
        """
        q = self.posterior()
        if samples < 1:
            raise ValueError(f"samples is {samples}; draw at least one for each problem")
        if y.shape[:-1] != (*q.batch_shape, q.event_shape[0]):
            expected = f"({q.batch_shape[0]}, {q.event_shape[0]}, d)"
            raise ValueError(f"y has shape {tuple(y.shape)}; this posterior expects {expected}")
        x, log_posterior = q.from_noise(q.noise((samples,)) if noise is None else noise)
        return LogWeights(
            log_likelihood=self.likelihood(x).log_prob(y),
            log_prior=self.prior().log_prob(x),
            log_posterior=log_posterior,
        )

    def exact_posterior(self, y: Tensor) -> Tensor:
        r"""$p(P \mid y)$ of every permutation, the prior uniform, by enumeration, `(B, N!)` in the order of the list.

        Raises:
            ValueError: if there are more than 9 things to match.
        """
        distance = (y.unsqueeze(-2) - self.centres.unsqueeze(-3)).square().sum(-1)  # (B, N, N)
        score = -0.5 * distance / self.sigma.square()
        every = all_permutations(y.shape[-2]).to(y.device)  # (N!, N)
        rows = torch.arange(y.shape[-2], device=y.device)
        return score[..., rows, every].sum(-1).softmax(-1)

    def map_estimate(self, y: Tensor) -> Tensor:
        """The likeliest permutation, by the Hungarian algorithm, as column numbers `(B, N)`."""
        distance = (y.unsqueeze(-2) - self.centres.unsqueeze(-3)).square().sum(-1)
        return nearest_permutation(-distance).argmax(-1)

    @torch.no_grad()
    def rounded_posterior(self, samples: int) -> Tensor:
        """How often each permutation is nearest to a draw of the posterior, `(B, N!)`, frequencies that sum to one."""
        q = self.posterior()
        every = all_permutations(q.event_shape[0]).to(self.centres.device)
        index = nearest_permutation(q.sample(torch.Size((samples,)))).argmax(-1)  # (K, B, N)
        place = _rank(index, every)  # (K, B)
        return one_hot(place, len(every)).to(self.centres).mean(0)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """`n` draws of observations in a random order, `(n, N, d)`, or `(n, B, N, d)` where the centres have `B`."""
        size = self.centres.shape[-2]
        shape = (n, *self.centres.shape[:-2], size)
        order = torch.rand(shape, device=self.centres.device).argsort(-1)
        return self.likelihood(one_hot(order, size).to(self.centres)).sample()


def bhattacharyya(p: Tensor, q: Tensor) -> Tensor:
    r"""Bhattacharyya distance of two discrete distributions, $-\log \sum_i \sqrt{p_i q_i}$, in nats.

    Args:
        p: probabilities `(*batch, S)`.
        q: likewise.

    Returns:
        Zero where they agree, `inf` where they have nothing in common, `(*batch)`.

    Example:
        >>> bhattacharyya(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0]))
        tensor(0.3466)
    """
    return -(p * q).sqrt().sum(-1).log()


def mallows(centre: Tensor, theta: float) -> Tensor:
    r"""Mallows' model over all permutations, $p(\pi) \propto \exp(-\theta \sum_i |\pi(i) - \pi_0(i)|)$.

    Args:
        centre: $\pi_0$ as column numbers, `(*batch, N)`.
        theta: how sharply the probability falls with the distance.

    Returns:
        Probabilities in the order of `all_permutations`, `(*batch, N!)`.

    Example:
        >>> mallows(torch.tensor([1, 0]), 0.5)
        tensor([0.2689, 0.7311])
    """
    every = all_permutations(centre.shape[-1]).to(centre.device)
    distance = (every - centre.unsqueeze(-2)).abs().sum(-1)
    return (-theta * distance).softmax(-1)


def _rank(index: Tensor, every: Tensor) -> Tensor:
    """The place in the lexicographic list `every` of each permutation `(*batch, N)`."""
    base = every.shape[-1] ** torch.arange(every.shape[-1] - 1, -1, -1, device=every.device)
    return torch.searchsorted((every * base).sum(-1), (index * base).sum(-1))


def _within(interval: tuple[float, float], free: Tensor) -> Tensor:
    low, high = interval
    return low + (high - low) * free.sigmoid()
