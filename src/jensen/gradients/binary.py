"""What estimators for independent bits share: the logits of q, and pairs of draws from the same uniform numbers."""

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution, constraints

from jensen.gradients._parts import UnsupportedError, base_of, support_of

__all__ = ["antithetic_pair", "binary_logits", "pulled", "uniform_noise"]


def binary_logits(q: Distribution) -> Tensor:
    """The log-odds of a distribution over independent bits, `(*batch, *event)`, differentiable in its parameters.

    Args:
        q: Bernoulli, `distributions.IndependentBernoulli`, `Independent` of those, or any other distribution over
            bits that have one entry of `q.logits` each.

    Raises:
        UnsupportedError: if `q` is something else.

    Example:
        >>> from torch.distributions import Bernoulli, Independent
        >>> binary_logits(Independent(Bernoulli(torch.tensor([0.5, 0.75])), 1))
        tensor([0.0000, 1.0986])
    """
    base = base_of(q)
    shape = q.batch_shape + q.event_shape
    logits = getattr(base, "logits", None) if _takes_bits(base) else None
    if not isinstance(logits, Tensor) or logits.shape != shape:
        raise UnsupportedError(
            f"{type(base).__name__} is not a distribution over independent bits, which has one logit for each; "
            "give Bernoulli, Independent(Bernoulli) or IndependentBernoulli, or use score_function or unordered_set"
        )
    return logits


def uniform_noise(logits: Tensor, samples: int, *, generator: Generator | None = None) -> Tensor:
    """Numbers from $[0, 1)$ by `generator`, one for each of `logits` in `samples` pairs, `(K, *batch, *event)`."""
    shape = (samples, *logits.shape)
    return torch.rand(shape, dtype=logits.dtype, device=logits.device, generator=generator)


def antithetic_pair(logits: Tensor, noise: Tensor) -> Tensor:
    r"""Two draws from the same uniform numbers, each of them a draw from q, `(2, K, *batch, *event)`.

    $$b = 1[u \ge \sigma(-\phi)], \qquad \tilde b = 1[u < \sigma(\phi)]$$

    Args:
        logits: $\phi$, `(*batch, *event)`.
        noise: $u$ in $[0, 1)$, `(K, *batch, *event)`.

    Example:
        >>> antithetic_pair(torch.tensor([0.0, 9.0]), torch.tensor([[0.25, 0.25]]))[:, 0]
        tensor([[0., 1.],
                [1., 1.]])
    """
    return torch.stack([noise >= torch.sigmoid(-logits), noise < torch.sigmoid(logits)]).to(logits)


def pulled(difference: Tensor, weight: Tensor, logits: Tensor) -> Tensor:
    """A term worth nothing in particular, whose gradient in each logit is `difference * weight`, averaged over pairs.

    Args:
        difference: one for each pair, held constant, `(K, *batch)`.
        weight: one for each bit of each pair, held constant, `(K, *batch, *event)`.
        logits: `(*batch, *event)`; no gradient flows into infinite ones, where nothing can change.
    """
    each = weight.detach() * logits.masked_fill(logits.isinf(), 0.0)  # (K, *batch, *event)
    return (difference.detach() * each.reshape(*difference.shape, -1).sum(-1)).mean(0)


def _takes_bits(q: Distribution) -> bool:
    support = support_of(q)
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return support is constraints.boolean
