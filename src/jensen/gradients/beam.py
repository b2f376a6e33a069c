"""One step of stochastic beam search: the keys of the children, given that of their parent."""

from typing import NamedTuple

import torch
from torch import Generator, Tensor

__all__ = ["Beam", "grow", "gumbel_like", "log_waits", "root"]


class Beam(NamedTuple):
    """The `n` prefixes with the largest keys, for each of `B` searches.

    Attributes:
        tokens: `(B, n, t)`.
        log_prob: of the prefixes, `(B, n)`.
        perturbed: their keys in descending order, `(B, n)`.
        pruned: the log-probability of all that was left out at each step, `(B,)` each.
    """

    tokens: Tensor
    log_prob: Tensor
    perturbed: Tensor
    pruned: tuple[Tensor, ...] = ()

    @property
    def log_complement(self) -> Tensor:
        """The log-probability of all that was left out, `(B,)`."""
        return torch.stack(self.pruned).logsumexp(0)


def gumbel_like(x: Tensor, generator: Generator | None = None) -> Tensor:
    """Standard Gumbel noise of the shape of `x`."""
    return log_waits(x, generator=generator).neg_()


def log_waits(x: Tensor, *, shape: tuple[int, ...] = (), generator: Generator | None = None) -> Tensor:
    """Logarithms of standard exponential times, `(*shape, *x.shape)`; five times as fast as `exponential_`."""
    kind = torch.promote_types(x.dtype, torch.float32)
    uniform = torch.rand((*shape, *x.shape), dtype=kind, device=x.device, generator=generator)
    return uniform.clamp_min_(torch.finfo(kind).tiny).log_().neg_().log_().to(x.dtype)


def root(like: Tensor, generator: Generator | None = None) -> Beam:
    """The empty prefix of `B` searches, of the dtype and on the device of `like`, `(B, ...)`."""
    zero = like.new_zeros(len(like), 1)
    tokens = torch.empty(len(like), 1, 0, dtype=torch.long, device=like.device)
    return Beam(tokens, zero, gumbel_like(zero, generator))


def grow(beam: Beam, log_p: Tensor, k: int, *, generator: Generator | None = None) -> Beam:
    r"""Extend each prefix by each token, and keep the `k` children with the largest keys.

    With $\phi$ the log-probability of a child, $e^{-G}$ of its key $G$ is an exponential waiting time of rate
    $e^{\phi}$, and the parent's is the shortest of its children's. So one child, picked by its probability, takes the
    key of the parent; the others wait for an independent time longer:

    $$G_i = -\log\big(e^{-G} + E_i e^{-\phi_i}\big), \qquad E_i \sim \mathrm{Exp}(1)$$

    Args:
        beam: the prefixes, `(B, n)`.
        log_p: the log-probabilities of the next token, `(B, n, V)` or `(B, 1, V)`.
        k: how many children to keep.
        generator: for the keys.

    Returns:
        The children, at most `k`; where there are fewer of positive probability the last keys are `-inf`.

    References:
        | Stochastic Beams and Where to Find Them (Kool, van Hoof & Welling, 2019), algorithm 1
        | https://arxiv.org/abs/1903.06059v2
    """
    child = beam.log_prob.unsqueeze(-1) + log_p  # (B, n, V)
    V = child.shape[-1]
    constant = child.detach()
    arrival = _arrivals(constant, -beam.perturbed.unsqueeze(-1), generator).flatten(1)  # (B, n V): minus the keys
    first, place = arrival.topk(min(k, arrival.shape[1]), 1, largest=False)  # (B, k)
    parent, token = place // V, place % V
    history = beam.tokens.gather(1, parent.unsqueeze(-1).expand(-1, -1, beam.tokens.shape[-1]))  # (B, k, t)
    pruned = constant.flatten(1).scatter(1, place, -torch.inf).logsumexp(1)
    tokens = torch.cat((history, token.unsqueeze(-1)), -1)
    return Beam(tokens, child.flatten(1).gather(1, place), -first, (*beam.pruned, pruned))


def _arrivals(log_prob: Tensor, parent: Tensor, generator: Generator | None) -> Tensor:
    """Log-times of children of `log_prob` `(B, n, V)`, of which the first comes with its parent, `(B, n, 1)`."""
    race, later = log_waits(log_prob, shape=(2,), generator=generator)
    first = race.sub_(log_prob).argmin(-1, keepdim=True)
    return torch.logaddexp(parent, later.sub_(log_prob)).scatter_(-1, first, parent)
