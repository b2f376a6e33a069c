r"""Sequences without replacement from a model that knows the next token.

The keys of all sequences are Gumbel variables, drawn from the root down: a prefix has the largest key of the sequences
that begin with it, so those outside the `k` best prefixes cannot be among the `k` best sequences.

References:
    | Stochastic Beams and Where to Find Them (Kool, van Hoof & Welling, 2019), algorithm 1
    | https://arxiv.org/abs/1903.06059v2
"""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from jensen.gradients._parts import check_samples
from jensen.gradients.beam import Beam, grow, root
from jensen.gradients.distinct import Distinct

__all__ = ["stochastic_beam_search"]

NextLogProb = Callable[[Tensor], Tensor]
"""Maps prefixes `(n, *batch, t)` to log-probabilities of the next token, `(n, *batch, V)`."""


def stochastic_beam_search(
    next_log_prob: NextLogProb,
    k: int,
    length: int,
    *,
    batch_shape: tuple[int, ...] = (),
    eos: int | None = None,
    device: torch.device | str | None = None,
    generator: Generator | None = None,
) -> Distinct:
    """Draw `k` different sequences without replacement, with `length` calls of the model.

    Args:
        next_log_prob: maps prefixes `(n, *batch, t)` of tokens, at first `(1, *batch, 0)`, to the log-probabilities of
            the next token `(n, *batch, V)`, which must sum to one.
        k: how many sequences; all of them if there are fewer.
        length: tokens of a sequence.
        batch_shape: searches that run side by side.
        eos: the token that ends a sequence; it is repeated up to `length`.
        device: where the tokens are.
        generator: for the keys.

    Returns:
        Sequences `(k, *batch, length)` in the order drawn; their log-probabilities are differentiable in what
        `next_log_prob` computes from.

    Raises:
        ValueError: if `k` or `length` is below 1, or `next_log_prob` returns another shape.

    Example:
        >>> coin = torch.tensor([0.9, 0.1]).log()
        >>> sequences = stochastic_beam_search(lambda prefix: coin.expand(len(prefix), 2), k=4, length=2)
        >>> sequences.values.shape, sequences.log_complement
        (torch.Size([4, 2]), tensor(-inf))

    References:
        | Stochastic Beams and Where to Find Them (Kool, van Hoof & Welling, 2019), algorithm 1
        | https://arxiv.org/abs/1903.06059v2
    """
    check_samples(k)
    if length < 1:
        raise ValueError(f"length must be at least 1, got {length}")
    searches = math.prod(batch_shape)
    beam: Beam | None = None
    prefix = torch.empty(1, *batch_shape, 0, dtype=torch.long, device=device)
    for _ in range(length):
        log_p = next_log_prob(prefix)
        if log_p.ndim != prefix.ndim or log_p.shape[:-1] != prefix.shape[:-1]:
            shapes = f"{tuple(log_p.shape)} for prefixes {tuple(prefix.shape)}"
            raise ValueError(f"next_log_prob returned shape {shapes}; expected {(*prefix.shape[:-1], 'V')}")
        log_p = log_p.reshape(len(prefix), searches, -1).transpose(0, 1)  # (B, n, V)
        beam = root(log_p, generator) if beam is None else beam
        beam = grow(beam, log_p if eos is None else _ended(log_p, beam.tokens, eos), k, generator=generator)
        prefix = beam.tokens.transpose(0, 1).reshape(beam.tokens.shape[1], *batch_shape, -1)
    return _finish(beam or root(prefix), prefix)


def _ended(log_p: Tensor, tokens: Tensor, eos: int) -> Tensor:
    """`eos` for certain after an `eos`."""
    certain = torch.full_like(log_p[:1, :1], -torch.inf).index_fill(-1, torch.tensor(eos, device=log_p.device), 0.0)
    return torch.where((tokens == eos).any(-1, keepdim=True), certain, log_p)


def _finish(beam: Beam, sequences: Tensor) -> Distinct:
    shape = sequences.shape[:-1]
    return Distinct(
        sequences,
        beam.log_prob.T.reshape(shape),
        beam.perturbed.T.reshape(shape),
        beam.log_complement.reshape(shape[1:]),
    )
