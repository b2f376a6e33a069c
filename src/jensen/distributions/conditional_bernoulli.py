"""Independent coins, given how many of them show heads."""

import math

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints, register_kl

from jensen.distributions._discrete import (
    KHot,
    broadcast,
    check_size,
    expected,
    impossible,
    k_hot,
    log_add,
    log_zero,
    possible,
    repeat,
)

__all__ = ["ConditionalBernoulli"]


class ConditionalBernoulli(Distribution):
    r"""Independent binary entries, conditioned on exactly $k$ ones.

    $$p(x) = \frac{1}{Z} \exp \sum_i l_i x_i, \qquad Z = \sum_{|S| = k} \exp \sum_{i \in S} l_i, \qquad \sum_i x_i = k$$

    $Z$ is the elementary symmetric polynomial of the odds, found in $n k$ steps in log space. Adding a constant to
    all logits changes nothing. `UnorderedPlackettLuce` has the same support and draws one item after the other.

    Args:
        logits: log-odds $l$ of the entries, `(*batch, n)`; `-inf` for an entry that is never one.
        k: the number of ones, from 1 to $n$.
        validate_args: whether to check parameters and values, as everywhere in `torch.distributions`.

    Raises:
        ValueError: if `logits` is a scalar or not floating point, `k` is no int between 1 and $n$, or (validating)
            fewer than `k` entries can be one.

    Example:
        >>> q = ConditionalBernoulli(torch.tensor([2.0, 1.0, 1.0]).log(), 2)
        >>> q.log_prob(torch.tensor([1.0, 1.0, 0.0])).exp(), q.mean
        (tensor(0.4000), tensor([0.8000, 0.6000, 0.6000]))

    References:
        | Statistical Applications of the Poisson-Binomial and Conditional Bernoulli Distributions (Chen & Liu, 1997)
        | https://www3.stat.sinica.edu.tw/statistica/oldpdf/A7n44.pdf
    """

    arg_constraints = {"logits": constraints.real_vector}
    has_enumerate_support = True

    def __init__(self, logits: Tensor, k: int, *, validate_args: bool | None = None) -> None:
        check_size(logits, k, validate=validate_args)
        self.logits = logits
        self.k = k
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        """Vectors with `k` ones."""
        return KHot(self.k)

    @property
    def log_normalizer(self) -> Tensor:
        r"""$\log Z$, `(*batch)`."""
        return self._top().squeeze(-1) * self.k + self._suffixes()[0][..., -1]

    @property
    def mean(self) -> Tensor:
        """The probability of each entry to be one, `(*batch, n)`; they sum to `k`."""
        suffixes, odds = self._suffixes(), self._log_odds().unbind(-1)
        log_p = []
        prefix = self._no_item()
        for item, after in zip(odds, suffixes[1:], strict=True):
            pairs = prefix[..., :-1] + after[..., :-1].flip(-1)  # j ones before, k - 1 - j after: (*batch, k)
            log_p.append(item + pairs.logsumexp(-1) - suffixes[0][..., -1])
            prefix = _with_item(prefix, item)
        return torch.stack(log_p, -1).exp()

    @property
    def variance(self) -> Tensor:
        """Of each entry, `(*batch, n)`."""
        return self.mean * (1 - self.mean)

    @property
    def mode(self) -> Tensor:
        """The `k` entries of largest odds, `(*batch, n)`."""
        return torch.zeros_like(self.logits).scatter(-1, self.logits.topk(self.k).indices, 1.0)

    @property
    def support_size(self) -> int:
        r"""The number of subsets, $\binom{n}{k}$."""
        return math.comb(self.logits.shape[-1], self.k)

    def expand(
        self, batch_shape: Size | list[int] | tuple[int, ...], _instance: object = None
    ) -> "ConditionalBernoulli":
        """The same distribution with its parameters expanded to `batch_shape`."""
        new = ConditionalBernoulli(self.logits.expand(*batch_shape, -1), self.k, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def sample(self, sample_shape: Size | list[int] | tuple[int, ...] = Size()) -> Tensor:
        """Vectors with `k` ones, `(*sample_shape, *batch, n)`: each entry given those before it."""
        with torch.no_grad():
            suffixes, odds = self._suffixes(), self._log_odds().unbind(-1)
            left = torch.full((*sample_shape, *self.batch_shape), self.k, device=self.logits.device)
            entries = []
            for item, here, after in zip(odds, suffixes[:-1], suffixes[1:], strict=True):
                log_p = item + _entry(after, left - 1) - _entry(here, left)
                one = (torch.rand_like(log_p) < log_p.exp()) & (left > 0)
                entries.append(one)
                left = left - one.long()
            return torch.stack(entries, -1).to(self.logits)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability in nats, `(*sample, *batch)`."""
        if self._validate_args:
            self._validate_sample(value)
        odds, value = broadcast(self._log_odds(), value)
        return impossible((odds * value).sum(-1) - self._suffixes()[0][..., -1], self._terms)

    def entropy(self) -> Tensor:
        r"""$\log Z - \sum_i \mathbb{E}[x_i] l_i$ in nats, `(*batch)`."""
        return self._suffixes()[0][..., -1] - (self.mean * self._log_odds()).sum(-1)

    def enumerate_support(self, *, expand: bool = True) -> Tensor:  # type: ignore[override]
        """Every vector, `(S, *batch, n)`."""
        return repeat(k_hot(self.k, self.logits), self.batch_shape, expand=expand)

    @property
    def _terms(self) -> int:
        return self.logits.shape[-1] + 1

    def _top(self) -> Tensor:
        return self.logits.detach().amax(-1, keepdim=True)

    def _log_odds(self) -> Tensor:
        """The logits up to a constant, none above zero."""
        return possible(self.logits - self._top(), self._terms)

    def _no_item(self) -> Tensor:
        """Logarithms of the polynomials of order 0 to k in no variable at all, `(*batch, k + 1)`."""
        nothing = self.logits.new_full((*self.batch_shape, self.k + 1), log_zero(self.logits, self._terms))
        nothing[..., 0] = 0
        return nothing

    def _suffixes(self) -> list[Tensor]:
        """Logarithms of the polynomials of order 0 to k in the odds from each entry on, n + 1 of `(*batch, k + 1)`."""
        suffixes = [self._no_item()]
        for item in reversed(self._log_odds().unbind(-1)):
            suffixes.append(_with_item(suffixes[-1], item))
        return suffixes[::-1]


def _with_item(polynomials: Tensor, item: Tensor) -> Tensor:
    """The polynomials in one variable more."""
    longer = log_add(polynomials[..., 1:], polynomials[..., :-1] + item.unsqueeze(-1))
    return torch.cat([polynomials[..., :1], longer], -1)


def _entry(polynomials: Tensor, order: Tensor) -> Tensor:
    polynomials = polynomials.expand(*order.shape, polynomials.shape[-1])
    return polynomials.gather(-1, order.clamp_min(0).unsqueeze(-1)).squeeze(-1)


@register_kl(ConditionalBernoulli, ConditionalBernoulli)  # type: ignore[no-untyped-call, untyped-decorator]
def _kl(q: ConditionalBernoulli, p: ConditionalBernoulli) -> Tensor:
    if q.event_shape != p.event_shape or q.k != p.k:
        sizes = f"{q.k} of {q.event_shape[0]} and {p.k} of {p.event_shape[0]}"
        raise ValueError(f"the subsets are {sizes}; a divergence needs the same sizes")
    return p._suffixes()[0][..., -1] - expected(q.mean, p._log_odds(), p._terms) - q.entropy()
