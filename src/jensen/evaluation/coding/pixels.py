r"""From a distribution over images to the whole numbers that pixels are coded with.

A pixel is one of L levels, $x = k / (L - 1)$. A Bernoulli pixel has two; any other likelihood must give a probability
to each of finitely many `levels`, by `log_prob_of_levels() -> (*batch, pixels, L)`, or, where it has several
`channels` that depend on each other, by `log_prob_of_channel(before) -> (*batch, positions, L)`, one channel after
another. A density gives none: nothing can be coded without loss under it.

Logits and log-probabilities are rounded to multiples of $2^{-10}$, which costs less than $10^{-7}$ bits a pixel, before
anything is made of them: the last digits of a network's output, which differ from machine to machine, are then gone,
but for one output in about $10^{11}$ that lies on the border between two multiples.
"""

from typing import Any, cast

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor
from torch.distributions import Distribution, Independent, constraints

from jensen.evaluation.coding.ans import Floats, Integers, Stack

__all__ = ["LOGIT_STEP", "grey", "levels_of", "pop_pixels", "push_pixels", "round_to"]

LOGIT_STEP = 2.0**-10
"""Logits and log-probabilities are multiples of this."""

WEIGHT = 2.0**22
"""The weight of the most probable level."""


def levels_of(likelihood: Distribution) -> int:
    """How many levels a pixel has under a likelihood.

    Raises:
        ValueError: if it gives pixels a density, or no probabilities that are at hand.

    Example:
        >>> from torch.distributions import Bernoulli
        >>> levels_of(Independent(Bernoulli(logits=torch.zeros(3, 4)), 1))
        2
    """
    if _logits(likelihood) is not None:
        return 2
    if hasattr(likelihood, "log_prob_of_levels"):
        return int(cast(Any, likelihood).levels)
    raise ValueError(
        f"images cannot be coded without loss under {type(likelihood).__name__}: it gives pixels no probabilities; "
        "take a model with Bernoulli or discretised pixels"
    )


def grey(pixels: Integers, levels: int) -> Floats:
    """Levels as the values that networks see, from 0 to 1, of the same shape.

    Example:
        >>> grey(np.array([0, 1, 4]), 5)
        array([0.  , 0.25, 1.  ])
    """
    found: Floats = pixels / (levels - 1.0)
    return found


def push_pixels(stack: Stack, pixels: Integers, likelihood: Any) -> None:
    """Code images, levels `(n, pixels)`, by the first n rows of a likelihood."""
    logits = _logits(likelihood)
    if logits is not None:
        stack.push_bits(pixels.ravel(), _probability(logits[: len(pixels)]))
        return
    channels = _channels(likelihood)
    places = pixels.reshape(len(pixels), -1, channels)
    for c in reversed(range(channels)):
        stack.push_levels(places[..., c].ravel(), _weights(likelihood, places[..., :c]))


def pop_pixels(stack: Stack, count: int, likelihood: Any) -> Integers:
    """Take images from the stack, levels `(count, pixels)`, by the first `count` rows of a likelihood."""
    logits = _logits(likelihood)
    if logits is not None:
        return stack.pop_bits(_probability(logits[:count])).reshape(count, -1)
    channels = _channels(likelihood)
    places = np.zeros((count, likelihood.event_shape[0] // channels, channels), dtype=np.int32)
    for c in range(channels):
        places[..., c] = stack.pop_levels(_weights(likelihood, places[..., :c])).reshape(count, -1)
    return places.reshape(count, -1)


def round_to(values: Tensor, step: float) -> Floats:
    """The nearest multiples of `step`, in double precision, of the same shape.

    Example:
        >>> round_to(torch.tensor([0.3, 0.8]), 0.5)
        array([0.5, 1. ])
    """
    found: Floats = np.rint(values.detach().cpu().double().numpy() / step) * step
    return found


def _logits(likelihood: Any) -> Tensor | None:
    """The logits `(B, pixels)` of binary pixels; None of others."""
    while isinstance(likelihood, Independent):
        likelihood = likelihood.base_dist
    support = likelihood.support
    if isinstance(support, constraints.independent):
        support = support.base_constraint
    logits: Tensor | None = likelihood.logits if support is constraints.boolean else None
    return logits


def _channels(likelihood: Any) -> int:
    return int(getattr(likelihood, "channels", 1))


def _probability(logits: Tensor) -> Floats:
    found: Floats = expit(round_to(logits, LOGIT_STEP)).ravel()
    return found


def _weights(likelihood: Any, before: Integers) -> Floats:
    """Whole numbers from 1 on in proportion to the probabilities, `(n * positions, L)`, given the channels before."""
    with torch.no_grad():
        log_prob = _log_prob(likelihood, before)[: len(before)]
        log_prob = log_prob - log_prob.amax(-1, keepdim=True)
    found: Floats = np.rint(np.exp(round_to(log_prob, LOGIT_STEP)) * WEIGHT) + 1.0
    return found.reshape(-1, log_prob.shape[-1])


def _log_prob(likelihood: Any, before: Integers) -> Tensor:
    """Log-probability of every level given the channels before, levels `(n, positions, c)`: `(B, positions, L)`."""
    found: Tensor
    if _channels(likelihood) == 1:
        found = likelihood.log_prob_of_levels()
    else:
        batch = torch.zeros(*likelihood.batch_shape, *before.shape[1:], dtype=torch.float64)
        batch[: len(before)] = torch.from_numpy(before / (likelihood.levels - 1.0))
        found = likelihood.log_prob_of_channel(batch.to(likelihood.means))
    return found
