r"""The multi-sample bound for discrete latents, each draw rewarded for its own share (VIMCO).

Expectation: $\mathbb{E}[\mathcal{L}_K]$, $\mathcal{L}_K = \log \frac{1}{K} \sum_k w_k$, over $K \ge 2$ independent
draws from `q`, **larger is better**. As in `multi_sample`, the function given is a log-weight
$\log p(x, z) - \log q(z)$ in nats, and the value a bound. Assumed: `q.log_prob` is differentiable; nothing of the
log-weight. Bias: none as a gradient of $\mathbb{E}[\mathcal{L}_K]$. Evaluations of the log-weight: $K$. The variance
falls with $K$.

References:
    | Variational Inference for Monte Carlo Objectives (Mnih & Rezende, 2016)
    | https://arxiv.org/abs/1602.06725v2
"""

import math
from typing import Literal, get_args

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution

from jensen.gradients._parts import Cost, check_samples, draw, evaluate
from jensen.gradients.multi_sample import kernel as multi_sample_kernel

__all__ = ["Control", "bound_without", "kernel", "vimco"]

Control = Literal["geometric", "arithmetic"]
"""Which mean of the other weights stands in for a draw's own."""


def kernel(log_w: Tensor, log_q: Tensor, *, control: Control = "geometric") -> Tensor:
    r"""The bound on $K$ independent draws.

    $$\nabla \mathbb{E}[\mathcal{L}_K] = \mathbb{E}\Big[\sum_k
    (\mathcal{L}_K - \mathcal{L}_{-k}) \nabla \log q_k + \tilde w_k \nabla \log w_k\Big]$$

    Args:
        log_w: $\log w_k$, `(K, *batch)`.
        log_q: $\log q(z_k)$, `(K, *batch)`.
        control: the mean that replaces $w_k$ in $\mathcal{L}_{-k}$.
    """
    return multi_sample_kernel(log_w, log_q, control=bound_without(log_w, control=control))


@torch.no_grad()
def bound_without(log_w: Tensor, *, control: Control = "geometric") -> Tensor:
    r"""For each draw the bound with the mean of the other weights in place of its own.

    $$\mathcal{L}_{-k} = \log \frac{1}{K} \Big(\hat w_{-k} + \sum_{j \ne k} w_j\Big)$$

    Where the others have no weight at all it is 0 instead of `-inf`: any constant leaves the gradient unbiased.

    Args:
        log_w: $\log w_k$, `(K, *batch)`, $K \ge 2$, `-inf` allowed.
        control: `"geometric"`, $\log \hat w_{-k}$ is the mean of the other $\log w_j$; `"arithmetic"`,
            $\hat w_{-k}$ is the mean of the other $w_j$.

    Returns:
        A constant, `(K, *batch)`.

    Example:
        >>> bound_without(torch.tensor([0.0, 2.0]))
        tensor([2., 0.])
    """
    K = log_w.shape[0]
    others = _log_sum_of_others(log_w)  # (K, *batch)
    if control == "geometric":
        gone = log_w == -math.inf
        finite = log_w.masked_fill(gone, 0)
        mean = (finite.sum(0) - finite) / (K - 1)
        some_gone = (gone.sum(0) - gone.long()) > 0
        bound = torch.logaddexp(others, mean.masked_fill(some_gone, -math.inf)) - math.log(K)
    else:
        bound = others - math.log(K - 1)
    return bound.masked_fill(bound == -math.inf, 0)


def vimco(
    log_w: Cost,
    q: Distribution,
    *,
    samples: int = 2,
    control: Control = "geometric",
    generator: Generator | None = None,
) -> Tensor:
    r"""Estimate $\mathbb{E}[\log \frac{1}{K} \sum_k w_k]$, each draw compared with what the bound would be without it.

    $$\nabla \mathbb{E}[\mathcal{L}_K] = \mathbb{E}\Big[\sum_k
    (\mathcal{L}_K - \mathcal{L}_{-k}) \nabla \log q_k + \tilde w_k \nabla \log w_k\Big], \qquad
    \mathcal{L}_{-k} = \log \frac{1}{K} \Big(\hat w_{-k} + \sum_{j \ne k} w_j\Big)$$

    A bound on $\log p(x)$ in nats, **larger is better**, for latents that cannot be reparameterised. First order only.

    Args:
        log_w: maps samples `(K, *batch, *event)` to log-weights $\log p(x, z) - \log q(z)$, `(K, *batch)`; its own
            dependence on `q`'s parameters counts.
        q: any distribution with `sample` and `log_prob`.
        samples: $K \ge 2$.
        control: the mean of the others that stands in for a draw's own weight, `"geometric"` as in the paper's
            experiments, or `"arithmetic"`. The same at $K = 2$.
        generator: for the draws.

    Returns:
        The bound, `(*batch)`.

    Raises:
        ValueError: for fewer than two samples (with one, use `multi_sample_score_function`), an unknown control, or
            log-weights of another shape.

    Example:
        >>> from torch.distributions import Categorical
        >>> q = Categorical(logits=torch.zeros(3))
        >>> log_joint = torch.tensor([0.1, 0.1, 0.1]).log()
        >>> vimco(lambda z: log_joint[z] - q.log_prob(z), q, samples=5).exp()
        tensor(0.3000)

    References:
        | Variational Inference for Monte Carlo Objectives (Mnih & Rezende, 2016), section 2.5
        | https://arxiv.org/abs/1602.06725v2
    """
    check_samples(samples, 2, why="a draw is compared with the others; with one use multi_sample_score_function")
    if control not in get_args(Control):
        raise ValueError(f"control {control!r} is unknown; give 'geometric' or 'arithmetic'")
    z = draw(q, samples, generator)
    return kernel(evaluate(log_w, z, q), q.log_prob(z), control=control)


def _log_sum_of_others(log_w: Tensor) -> Tensor:
    r"""$\log \sum_{j \ne k} w_j$ by sums from both ends, which no large own weight can cancel, `(K, *batch)`."""
    nothing = torch.full_like(log_w[:1], -math.inf)
    before = torch.cat([nothing, log_w[:-1].logcumsumexp(0)])
    after = torch.cat([log_w[1:].flip(0).logcumsumexp(0).flip(0), nothing])
    return torch.logaddexp(before, after)
