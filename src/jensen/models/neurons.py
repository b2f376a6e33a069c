r"""Which neuron is which: worms share their wiring, and in each recording its neurons come in an unknown order.

Expectation: $\mathbb{E}_q[\sum_j \log p(Y^{(j)} \mid X^{(j)}, W) + \log p(X^{(j)}) + \log p(W) - \log q(X, W)]$, whose
mean is `bounds.elbo` of the log-weights.

$$Y^{(j)}_t = X^{(j)} W X^{(j) \top} Y^{(j)}_{t-1} + \sigma \epsilon_t, \qquad
w_{mn} \sim \mathcal{N}(0, s^2) \text{ where the map has a contact, else } w_{mn} = 0$$

| paper | code | shape |
|---|---|---|
| $Y^{(j)}$ | `y` | `(J, T, N)` |
| $X^{(j)}$ | `x`, row: observed, column: on the map | `(K, J, N, N)` |
| $W$ | `weights` | `(K, N, N)` |
| $A$ | `connected` | `(N, N)` |
| $C^{(j)}$ | `allowed` of the posterior | `(J, N, N)` |

A recording enters through its moments only: whatever $T$, a step costs a few products of $N \times N$ matrices.

Differs from the paper: the posterior of the weights is Gaussian with independent entries (the paper does not say), and
$\sigma$ is known. $W$ is free in all entries where there is a contact, in either direction.

References:
    | Reparameterizing the Birkhoff Polytope for Variational Permutation Inference (Linderman et al., 2018), section 5
    | https://arxiv.org/abs/1710.09508v1
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Normal

from jensen._contracts import LogWeights
from jensen.distributions.permutation_matrices import nearest_permutation
from jensen.distributions.rounded_birkhoff import RoundedBirkhoff

__all__ = ["NeuronIdentities", "RecordingMoments", "point_estimate", "recording_moments"]


class RecordingMoments(NamedTuple):
    r"""What the likelihood of a linear system asks of $J$ recordings.

    Attributes:
        squares: $\sum_t \lVert Y_t \rVert^2$ without the first instant, `(J,)`.
        lagged: $\sum_t Y_t Y_{t-1}^\top$, `(J, N, N)`.
        before: $\sum_t Y_{t-1} Y_{t-1}^\top$, `(J, N, N)`.
        steps: the number of transitions, $T - 1$.
    """

    squares: Tensor
    lagged: Tensor
    before: Tensor
    steps: int


def recording_moments(y: Tensor) -> RecordingMoments:
    """The moments of recordings `(J, T, N)`.

    Raises:
        ValueError: if the recordings have another number of axes, or fewer than two instants.

    Example:
        >>> recording_moments(torch.ones(1, 3, 2)).lagged
        tensor([[[2., 2.],
                 [2., 2.]]])
    """
    if y.ndim != 3 or y.shape[1] < 2:
        raise ValueError(f"y has shape {tuple(y.shape)}; expected (J, T, N) with at least two instants")
    now, past = y[:, 1:], y[:, :-1]
    return RecordingMoments(now.square().sum((1, 2)), now.mT @ past, past.mT @ past, now.shape[1])


class NeuronIdentities(nn.Module):
    r"""A linear system on a known graph, seen in several worms, the neurons of each in an unknown order.

    Args:
        posterior: a module whose call gives a distribution of matrices `(N, N)`, batch `(J,)`, with a method
            `from_noise`, such as `RoundedPosterior` with the matches that positions allow.
        connected: where a weight may differ from zero, boolean `(N, N)`.
        sigma: standard deviation of the noise.
        weight_scale: standard deviation of the weights' prior.
        eta: standard deviation of the matrices' prior around zero and one.

    Raises:
        ValueError: if `connected` is no square matrix.

    Example:
        >>> from jensen.models.birkhoff import RoundedPosterior
        >>> ring = torch.eye(4).roll(1, 0).bool()
        >>> model = NeuronIdentities(posterior=RoundedPosterior(size=4, problems=2), connected=ring)
        >>> moments = recording_moments(torch.randn(2, 50, 4))
        >>> model.log_weights(moments, samples=3).total.shape
        torch.Size([3, 1])

    References:
        | Reparameterizing the Birkhoff Polytope for Variational Permutation Inference (Linderman et al., 2018)
        | https://arxiv.org/abs/1710.09508v1
    """

    edges: Tensor

    def __init__(
        self,
        *,
        posterior: nn.Module,
        connected: Tensor,
        sigma: float = 1.0,
        weight_scale: float = 1.0,
        eta: float = 0.3,
    ) -> None:
        super().__init__()
        if connected.ndim != 2 or connected.shape[0] != connected.shape[1]:
            raise ValueError(f"connected has shape {tuple(connected.shape)}; expected (N, N)")
        self.posterior_of, self.size = posterior, connected.shape[0]
        self.sigma, self.weight_scale, self.eta = sigma, weight_scale, eta
        self.register_buffer("edges", connected.flatten().nonzero().squeeze(-1))
        self.weight_mean = nn.Parameter(torch.zeros(len(self.edges)))
        self.weight_log_scale = nn.Parameter(torch.full((len(self.edges),), -3.0))

    def prior(self) -> Distribution:
        """p(W), independent entries, batch `(E,)`."""
        return Normal(torch.zeros_like(self.weight_mean), self.weight_scale, validate_args=False)

    def weight_posterior(self) -> Distribution:
        """q(W), independent entries where there is a contact, batch `(E,)`."""
        return Normal(self.weight_mean, self.weight_log_scale.exp(), validate_args=False)

    def posterior(self) -> RoundedBirkhoff:
        r"""$q_\tau(X; \theta)$, batch `(J,)`, event `(N, N)`."""
        q: RoundedBirkhoff = self.posterior_of()
        return q

    def matrix(self, entries: Tensor) -> Tensor:
        """W with the weights `(*sample, E)` at the contacts and zeros elsewhere, `(*sample, N, N)`."""
        flat = entries.new_zeros(*entries.shape[:-1], self.size * self.size)
        return flat.index_copy(-1, self.edges, entries).reshape(*entries.shape[:-1], self.size, self.size)

    def log_likelihood(self, moments: RecordingMoments, x: Tensor, weights: Tensor) -> Tensor:
        r"""$\log p(Y^{(j)} \mid X^{(j)}, W)$ in nats, `(K, J)`, for `x` `(K, J, N, N)` and `weights` `(K, N, N)`."""
        system = x @ weights.unsqueeze(-3) @ x.mT  # (K, J, N, N)
        explained = (system * moments.lagged).sum((-2, -1))
        predicted = ((system @ moments.before) * system).sum((-2, -1))
        error = moments.squares - 2 * explained + predicted
        constant = 0.5 * moments.steps * self.size * math.log(2 * math.pi * self.sigma**2)
        return -0.5 * error / self.sigma**2 - constant

    def log_prior(self, x: Tensor, allowed: Tensor) -> Tensor:
        """The log-density of X over the entries that may differ from zero, `(K, J)`: each is near zero or near one."""
        squares = torch.logaddexp(*(-0.5 * ((x - mean) / self.eta).square() for mean in (0.0, 1.0)))
        each = squares - 0.5 * math.log(8 * math.pi * self.eta**2)
        return torch.where(allowed, each, 0.0).sum((-2, -1))

    def log_weights(self, moments: RecordingMoments, samples: int = 1) -> LogWeights:
        r"""The terms of $\log p(Y, X, W) - \log q(X, W)$, all recordings together.

        Returns:
            Three tensors `(samples, 1)` in nats: the recordings share their weights and make one datum.

        Raises:
            ValueError: if `samples` is below 1, or the recordings are not as many as the posterior has.
        """
        if samples < 1:
            raise ValueError(f"samples is {samples}; draw at least one")
        q, q_weights = self.posterior(), self.weight_posterior()
        if moments.lagged.shape != (*q.batch_shape, *q.event_shape):
            shapes = f"{tuple(moments.lagged.shape)} for a posterior of {(*q.batch_shape, *q.event_shape)}"
            raise ValueError(f"moments have shape {shapes}; give as many recordings and neurons as it has")
        x, log_x = q.from_noise(q.noise((samples,)))
        entries = q_weights.rsample((samples,))  # (K, E)
        log_prior = self.log_prior(x, q.allowed).sum(-1) + self.prior().log_prob(entries).sum(-1)
        return LogWeights(
            log_likelihood=self.log_likelihood(moments, x, self.matrix(entries)).sum(-1, keepdim=True),
            log_prior=log_prior.unsqueeze(-1),
            log_posterior=(log_x.sum(-1) + q_weights.log_prob(entries).sum(-1)).unsqueeze(-1),
        )


def point_estimate(moments: RecordingMoments, *, connected: Tensor, allowed: Tensor, rounds: int = 15) -> Tensor:
    r"""Names without a posterior: the likeliest weights and the likeliest permutations, in turn.

    The weights are ridge regressions, the permutations of each recording come from Frank and Wolfe's steps on the
    quadratic assignment problem; at first all candidates have equal shares. A local optimum, as a baseline.

    Args:
        moments: of $J$ recordings with $\sigma = 1$.
        connected: where a weight may differ from zero, boolean `(N, N)`.
        allowed: the matches that may be, boolean `(J, N, N)`.
        rounds: how often both are found.

    Returns:
        Permutation matrices `(J, N, N)`.

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> ring = torch.eye(4).roll(1, 0).bool()
        >>> moments = recording_moments(torch.randn(2, 50, 4))
        >>> known = torch.eye(4).bool().expand(2, 4, 4)
        >>> point_estimate(moments, connected=ring, allowed=known, rounds=1).argmax(-1)
        tensor([[0, 1, 2, 3],
                [0, 1, 2, 3]])

    References:
        | Fast Approximate Quadratic Programming for Graph Matching (Vogelstein et al., 2015)
        | https://doi.org/10.1371/journal.pone.0121002
    """
    if allowed.shape != moments.lagged.shape or connected.shape != allowed.shape[1:]:
        shapes = f"{tuple(moments.lagged.shape)}, {tuple(allowed.shape)} and {tuple(connected.shape)}"
        raise ValueError(f"moments, allowed and connected have shapes {shapes}; expected (J, N, N) twice and (N, N)")
    x = allowed.to(moments.before) / allowed.sum(-1, keepdim=True)
    for _ in range(rounds):
        weights = _regression(moments, x, connected)
        each = zip(moments.before, moments.lagged, x, allowed, strict=True)
        x = torch.stack([_assignment(before, lagged, weights, now, may) for before, lagged, now, may in each])
    return x


def _regression(moments: RecordingMoments, x: Tensor, connected: Tensor) -> Tensor:
    """The likeliest weights under a standard normal prior, given permutations."""
    before, lagged = ((x.mT @ each @ x).sum(0) for each in (moments.before, moments.lagged))
    weights = torch.zeros_like(before)
    for n, contacts in enumerate(connected):
        i = contacts.nonzero().squeeze(-1)
        weights[n, i] = torch.linalg.solve(before[i][:, i] + torch.eye(len(i)).to(before), lagged[n, i])
    return weights


def _assignment(before: Tensor, lagged: Tensor, weights: Tensor, x: Tensor, allowed: Tensor) -> Tensor:
    """A permutation that makes one recording likely, by Frank and Wolfe's steps from the doubly stochastic `x`."""
    square = weights.T @ weights
    for _ in range(15):
        slope = 2 * (lagged @ x @ weights.T + lagged.T @ x @ weights) - 2 * before @ x @ square
        direction = nearest_permutation(slope.masked_fill(~allowed, -math.inf)) - x
        first = (slope * direction).sum()
        second = 2 * ((direction @ weights @ direction.T) * lagged).sum()
        second = second - ((direction.T @ before @ direction) * square).sum()
        best = -first / (2 * second) if second < 0 else torch.ones_like(first)
        x = x + best.clamp(0, 1) * direction
        if best <= 0 or direction.abs().sum() == 0:
            break
    return nearest_permutation(x.masked_fill(~allowed, -math.inf))
