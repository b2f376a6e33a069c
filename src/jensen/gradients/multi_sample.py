r"""The multi-sample bound for discrete latents, its gradient by the plain score function.

Expectation: $\mathbb{E}[\mathcal{L}_K]$, $\mathcal{L}_K = \log \frac{1}{K} \sum_k w_k$, over $K$ independent draws from
`q`, **larger is better**. Here and in `vimco` alone the function given is a log-weight $\log p(x, z) - \log q(z)$ in
nats, and the value is no plain mean but a bound. Assumed: `q.log_prob` is differentiable; nothing of the log-weight.
Bias: none as a gradient of $\mathbb{E}[\mathcal{L}_K]$. Evaluations of the log-weight: $K$. The variance **grows** with
$K$, since each draw is rewarded for what all did: use `vimco`.

References:
    | Variational Inference for Monte Carlo Objectives (Mnih & Rezende, 2016), section 2.3
    | https://arxiv.org/abs/1602.06725v2
"""

import math

from torch import Generator, Tensor
from torch.distributions import Distribution

from jensen._math import log_mean_exp
from jensen.gradients._parts import Cost, check_samples, draw, evaluate, worth

__all__ = ["kernel", "multi_sample_score_function"]


def kernel(log_w: Tensor, log_q: Tensor, *, control: Tensor | float = 0.0) -> Tensor:
    r"""The bound on $K$ independent draws.

    $$\nabla \mathbb{E}[\mathcal{L}_K] =
    \mathbb{E}\Big[\sum_k (\mathcal{L}_K - c_k) \nabla \log q_k + \tilde w_k \nabla \log w_k\Big]$$

    Where all weights are zero the bound is `-inf` and has no gradient.

    Args:
        log_w: $\log w_k$, `(K, *batch)`.
        log_q: $\log q(z_k)$, `(K, *batch)`.
        control: $c_k$, broadcast to `(K, *batch)`, held constant.
    """
    weightless = (log_w == -math.inf).all(0)  # (*batch)
    bound = log_mean_exp(log_w.masked_fill(weightless, 0)).masked_fill(weightless, -math.inf)
    signal = (bound - control).detach().masked_fill(weightless, 0)  # (K, *batch)
    return worth(bound, (signal * log_q).sum(0))


def multi_sample_score_function(
    log_w: Cost, q: Distribution, *, samples: int = 1, generator: Generator | None = None
) -> Tensor:
    r"""Estimate $\mathbb{E}[\log \frac{1}{K} \sum_k w_k]$, its gradient by the plain score function.

    $$\nabla \mathbb{E}[\mathcal{L}_K] =
    \mathbb{E}\Big[\mathcal{L}_K \sum_k \nabla \log q_k + \sum_k \tilde w_k \nabla \log w_k\Big]$$

    A bound on $\log p(x)$ in nats, **larger is better**: the ELBO at $K = 1$. The reference that `vimco` is measured
    against. First order only.

    Args:
        log_w: maps samples `(K, *batch, *event)` to log-weights $\log p(x, z) - \log q(z)$, `(K, *batch)`; its own
            dependence on `q`'s parameters counts.
        q: any distribution with `sample` and `log_prob`.
        samples: $K$.
        generator: for the draws.

    Returns:
        The bound, `(*batch)`.

    Raises:
        ValueError: for no sample, or log-weights of another shape.

    Example:
        >>> from torch.distributions import Categorical
        >>> q = Categorical(logits=torch.zeros(3))
        >>> log_joint = torch.tensor([0.1, 0.1, 0.1]).log()
        >>> multi_sample_score_function(lambda z: log_joint[z] - q.log_prob(z), q, samples=5).exp()
        tensor(0.3000)

    References:
        | Variational Inference for Monte Carlo Objectives (Mnih & Rezende, 2016), eq. 5
        | https://arxiv.org/abs/1602.06725v2
    """
    check_samples(samples)
    z = draw(q, samples, generator)
    return kernel(evaluate(log_w, z, q), q.log_prob(z))
