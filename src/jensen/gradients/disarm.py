r"""DisARM: ARM with the noise integrated out, given the two draws that it made.

Expectation: $\mathbb{E}_{q}[f(b)]$ over independent bits with logits $\phi$. Assumed of f: nothing. Bias: none.
Evaluations of f: $2 K$, two for each of the $K$ pairs. As a conditional expectation of `arm` its variance is never
larger; a bit gets a gradient only from pairs in which it differs.

References:
    | DisARM: An Antithetic Gradient Estimator for Binary Latent Variables (Dong, Mnih & Tucker, 2020)
    | https://arxiv.org/abs/2006.10680v1
"""

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution

from jensen.gradients._parts import Cost, check_samples, evaluate, worth
from jensen.gradients.binary import antithetic_pair, binary_logits, pulled, uniform_noise

__all__ = ["disarm", "kernel"]


def kernel(costs: Tensor, logits: Tensor, pairs: Tensor) -> Tensor:
    r"""The estimator on the costs of $K$ pairs.

    $$\nabla_{\phi_d} \mathbb{E}_q[f] = \mathbb{E}\big[\tfrac{1}{2} (f(b) - f(\tilde b)) (b_d - \tilde b_d)
    \sigma(|\phi_d|)\big]$$

    Args:
        costs: $f(b)$ and $f(\tilde b)$, `(2, K, *batch)`.
        logits: $\phi$, `(*batch, *event)`.
        pairs: $b$ and $\tilde b$ of `binary.antithetic_pair`, `(2, K, *batch, *event)`.
    """
    difference = costs[0] - costs[1]  # (K, *batch)
    weight = 0.5 * (pairs[0] - pairs[1]) * torch.sigmoid(logits.abs())  # (K, *batch, *event)
    return worth(costs.mean((0, 1)), pulled(difference, weight, logits))


def disarm(f: Cost, q: Distribution, *, samples: int = 1, generator: Generator | None = None) -> Tensor:
    r"""Estimate $\mathbb{E}_q[f]$ over independent bits, its gradient from antithetic pairs of bits.

    $$\nabla_{\phi_d} \mathbb{E}_q[f] = \mathbb{E}\big[\tfrac{1}{2} (f(b) - f(\tilde b)) (b_d - \tilde b_d)
    \sigma(|\phi_d|)\big]$$

    where $b$ and $\tilde b$ are both drawn from q, as different as they can be. First order only.

    Args:
        f: maps samples `(2 K, *batch, *event)` to costs `(2 K, *batch)`; called once.
        q: independent bits: Bernoulli, `Independent` of it, or `distributions.IndependentBernoulli`.
        samples: $K$, the number of pairs; f is evaluated $2 K$ times.
        generator: for the draws.

    Returns:
        The mean of all $2 K$ costs, `(*batch)`.

    Raises:
        UnsupportedError: if `q` is no distribution over independent bits.
        ValueError: for fewer than one pair, or costs of another shape.

    Example:
        >>> from torch.distributions import Bernoulli
        >>> logits = torch.zeros(5, requires_grad=True)
        >>> disarm(lambda b: (b - 0.45) ** 2, Bernoulli(logits=logits)).sum().backward()
        >>> logits.grad
        tensor([0.0250, 0.0250, 0.0250, 0.0250, 0.0250])

    References:
        | DisARM: An Antithetic Gradient Estimator for Binary Latent Variables (Dong, Mnih & Tucker, 2020)
        | https://arxiv.org/abs/2006.10680v1
    """
    check_samples(samples)
    logits = binary_logits(q)
    pairs = antithetic_pair(logits.detach(), uniform_noise(logits, samples, generator=generator))
    costs = evaluate(f, pairs.flatten(0, 1).clone(), q)  # (2 K, *batch)
    return kernel(costs.reshape(2, samples, *costs.shape[1:]), logits, pairs)
