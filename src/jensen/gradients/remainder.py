"""The most probable values of a product of independent factors, and the distribution of all the others."""

from typing import NamedTuple

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.nn.functional import pad

from jensen.gradients.prefixes import branches
from jensen.gradients.products import Factors, InverseCdf

__all__ = ["Remainder", "Taken", "most_probable", "take"]


class Taken(NamedTuple):
    """Some values of each of `B` products, and what is left.

    Attributes:
        numbers: the values' numbers, `(B, k, T)`.
        log_prob: `(B, k)`, differentiable.
        log_mass: of the nodes that hold the others, `(B, k, T, V)` as `branches` describes them, differentiable.
    """

    numbers: Tensor
    log_prob: Tensor
    log_mass: Tensor


def take(log_p: Tensor, numbers: Tensor) -> Taken:
    """Divide products `(B, T, V)` into the values `(B, k, T)` and all others."""
    log_prob = log_p.gather(2, numbers.mT).sum(1)
    return Taken(numbers, log_prob, branches(log_p, numbers))


@torch.no_grad()
def most_probable(log_p: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the most probable values by joining neighbours, two and two.

    The pair of the `i`-th best of one and the `j`-th best of the other is not among the `k` best if `i j` is above `k`.

    Args:
        log_p: the factors' log-probabilities, `(B, T, V)`.
        k: how many values, at most all there are.

    Returns:
        Their numbers `(B, k, T)`, the most probable first, and their log-probabilities, `(B, k)`. Where fewer than
        `k` are possible, `-inf` marks the others, whose numbers mean nothing.
    """
    T = log_p.shape[1]
    score, number = log_p.topk(min(k, log_p.shape[2]), 2)  # (B, T, c)
    numbers = number.unsqueeze(-1)  # (B, T, c, width)
    while score.shape[1] > 1:
        if score.shape[1] % 2:
            certain = torch.full_like(score[:, :1], -torch.inf).index_fill_(2, number.new_zeros(1), 0.0)
            score, numbers = torch.cat((score, certain), 1), pad(numbers, (0, 0, 0, 0, 0, 1))
        c = score.shape[2]
        pairs = [(i, j) for i in range(c) for j in range(min(c, k // (i + 1)))]
        left, right = torch.tensor(pairs, device=log_p.device).T
        score, place = (score[:, ::2, left] + score[:, 1::2, right]).topk(min(k, len(pairs)), 2)
        halves = ((numbers[:, ::2], left[place]), (numbers[:, 1::2], right[place]))
        numbers = torch.cat([one.gather(2, i.unsqueeze(-1).expand(*i.shape, one.shape[-1])) for one, i in halves], -1)
    return numbers[:, 0, :, :T], score[:, 0]


class Remainder(Distribution):
    r"""A product without some of its values.

    $$r(z) = \frac{q(z)}{\sum_{z' \notin C} q(z')}, \qquad z \notin C$$

    A draw picks a node of the partition by its mass and completes it by independent draws: nothing is rejected,
    however little is left.

    Args:
        q: the product.
        product: its factors.
        taken: the values $C$, and the nodes; some node must have mass.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(self, q: Distribution, product: Factors, taken: Taken) -> None:
        self.q = q
        self.product = product
        self.numbers = taken.numbers
        self.log_mass = taken.log_mass.flatten(1)
        super().__init__(q.batch_shape, q.event_shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint | None:
        """That of the product."""
        return self.q.support

    def sample(self, sample_shape: Size | list[int] | tuple[int, ...] = Size()) -> Tensor:
        """A draw, `(*sample_shape, *batch, *event)`."""
        n = Size(sample_shape).numel()
        T, V = self.product.log_prob.shape[-2:]
        with torch.no_grad():
            node = torch.multinomial(self.log_mass.softmax(-1), n, replacement=True).unsqueeze(-1)  # (B, n, 1)
            first, depth, number = node // (T * V), node // V % T, node % V
            beginning = self.numbers.gather(1, first.expand(-1, -1, T))  # (B, n, T)
            free = InverseCdf(self.product.log_prob.reshape(-1, T, V))(n).mT
            place = torch.arange(T, device=node.device)
            index = beginning.where(place < depth, number.where(place == depth, free)).transpose(0, 1)
            drawn = self.product.decode(index.reshape(n, *self.batch_shape, T))
            return drawn.reshape(self._extended_shape(Size(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability in nats of a value that was not taken, `(*sample, *batch)`."""
        return self.q.log_prob(value) - self.log_mass.logsumexp(-1).reshape(self.batch_shape)
