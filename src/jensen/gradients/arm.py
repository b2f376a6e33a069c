r"""ARM: the difference of f at two antithetic draws, times the noise that made them.

Expectation: $\mathbb{E}_{q}[f(b)]$ over independent bits with logits $\phi$. Assumed of f: nothing. Bias: none.
Evaluations of f: $2 K$, two for each of the $K$ pairs. No baseline is needed, as constants cancel in the difference.
`disarm` has the same cost and never a larger variance.

References:
    | ARM: Augment-REINFORCE-Merge Gradient for Stochastic Binary Networks (Yin & Zhou, 2019)
    | https://arxiv.org/abs/1807.11143v2
"""

from torch import Generator, Tensor
from torch.distributions import Distribution

from jensen.gradients._parts import Cost, check_samples, evaluate, worth
from jensen.gradients.binary import antithetic_pair, binary_logits, pulled, uniform_noise

__all__ = ["arm", "kernel"]


def kernel(costs: Tensor, logits: Tensor, noise: Tensor) -> Tensor:
    r"""The estimator on the costs of $K$ pairs.

    $$\nabla_{\phi_d} \mathbb{E}_q[f] = \mathbb{E}_u\big[(f(b) - f(\tilde b)) (u_d - \tfrac{1}{2})\big]$$

    Args:
        costs: $f(b)$ and $f(\tilde b)$ of `binary.antithetic_pair`, `(2, K, *batch)`.
        logits: $\phi$, `(*batch, *event)`.
        noise: $u$, `(K, *batch, *event)`.
    """
    difference = costs[0] - costs[1]  # (K, *batch)
    return worth(costs.mean((0, 1)), pulled(difference, noise - 0.5, logits))


def arm(f: Cost, q: Distribution, *, samples: int = 1, generator: Generator | None = None) -> Tensor:
    r"""Estimate $\mathbb{E}_q[f]$ over independent bits, its gradient from antithetic pairs of draws.

    $$\nabla_{\phi_d} \mathbb{E}_q[f] = \mathbb{E}_u\big[(f(1[u \ge \sigma(-\phi)]) - f(1[u < \sigma(\phi)]))
    (u_d - \tfrac{1}{2})\big]$$

    First order only.

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
        >>> arm(lambda b: (b - 0.45) ** 2, Bernoulli(logits=logits), samples=4).sum().backward()
        >>> logits.grad.shape
        torch.Size([5])

    References:
        | ARM: Augment-REINFORCE-Merge Gradient for Stochastic Binary Networks (Yin & Zhou, 2019)
        | https://arxiv.org/abs/1807.11143v2
    """
    check_samples(samples)
    logits = binary_logits(q)
    noise = uniform_noise(logits, samples, generator=generator)
    pairs = antithetic_pair(logits.detach(), noise)
    costs = evaluate(f, pairs.flatten(0, 1), q)  # (2 K, *batch)
    return kernel(costs.reshape(2, samples, *costs.shape[1:]), logits, noise)
