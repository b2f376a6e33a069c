r"""The score-function estimator (REINFORCE), with any baseline and of any order of derivative.

Expectation: $\mathbb{E}_{q}[f(z)]$. Assumed: `q.log_prob` is differentiable in `q`'s parameters; nothing of $f$, which
may be a table or a simulator. Bias: none, in `q`'s parameters and in parameters inside $f$, with every baseline that
does not see the draw it is subtracted for. Evaluations of $f$: $K$.

References:
    | Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning (Williams, 1992)
    | https://doi.org/10.1007/BF00992696
"""

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Distribution

from jensen.gradients._parts import Cost, UnsupportedError, check_samples, draw, evaluate, worth

__all__ = ["higher_order_kernel", "kernel", "leave_one_out", "mean_of_others", "score_function"]


def kernel(cost: Tensor, log_q: Tensor, *, baseline: Tensor | float = 0.0) -> Tensor:
    r"""The estimator on the costs and log-probabilities of $K$ independent draws.

    $$\nabla \mathbb{E}_q[f] = \mathbb{E}\Big[\frac{1}{K} \sum_k (f_k - b_k) \nabla \log q_k + \nabla f_k\Big]$$

    Args:
        cost: $f_k$, `(K, *batch)`.
        log_q: $\log q(z_k)$, `(K, *batch)`.
        baseline: $b_k$, broadcast to `(K, *batch)`, held constant.
    """
    return worth(cost.mean(0), ((cost - baseline).detach() * log_q).mean(0))


def higher_order_kernel(cost: Tensor, log_q: Tensor, *, baseline: Tensor | float = 0.0) -> Tensor:
    r"""The estimator whose derivatives of every order are unbiased (DiCE).

    $$\frac{1}{K} \sum_k f_k + (\Box_k - 1)(f_k - b_k), \qquad \Box_k = \exp(\log q_k - \bot \log q_k)$$

    with $\bot$ for a constant: $\Box_k$ is worth 1 and its $n$-th derivative is that of $q_k$, divided by $q_k$.

    Args:
        cost: $f_k$, `(K, *batch)`.
        log_q: $\log q(z_k)$, `(K, *batch)`.
        baseline: $b_k$, broadcast to `(K, *batch)`, held constant by the caller.

    References:
        | DiCE: The Infinitely Differentiable Monte Carlo Estimator (Foerster et al., 2018)
        | https://arxiv.org/abs/1802.05098
        | A Baseline for Any Order Gradient Estimation in Stochastic Computation Graphs (Mao et al., 2019)
        | https://proceedings.mlr.press/v97/mao19a.html
    """
    box_minus_one = torch.expm1(log_q - log_q.detach())
    return worth(cost.mean(0), (box_minus_one * (cost - baseline)).mean(0))


def mean_of_others(cost: Tensor) -> Tensor:
    r"""For each draw the mean cost of the others, $\frac{1}{K - 1} \sum_{j \ne k} f_j$, a constant `(K, *batch)`.

    Args:
        cost: `(K, *batch)` with at least two draws.

    Raises:
        ValueError: if there is no other.

    Example:
        >>> mean_of_others(torch.tensor([1.0, 2.0, 6.0]))
        tensor([4.0000, 3.5000, 1.5000])
    """
    K = cost.shape[0]
    if K < 2:
        raise ValueError(f"costs of shape {tuple(cost.shape)} hold one draw; the mean of the others needs two")
    return (cost.sum(0) - cost).detach() / (K - 1)


def score_function(
    f: Cost,
    q: Distribution,
    *,
    samples: int = 1,
    baseline: Tensor | nn.Module | float | str | None = None,
    higher_order: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    r"""Estimate $\mathbb{E}_q[f]$, its gradient by the score function.

    $$\nabla \mathbb{E}_q[f] = \mathbb{E}\Big[\frac{1}{K} \sum_k (f_k - b_k) \nabla \log q_k\Big]$$

    Works for every `q` with a `log_prob` and every `f`. Without a baseline its variance grows with the level of the
    cost, which carries no information; `"leave_one_out"` removes it at the price of $K \ge 2$. First order only, unless
    `higher_order`.

    Args:
        f: maps samples `(K, *batch, *event)` to costs `(K, *batch)`.
        q: any distribution with `sample` and `log_prob`.
        samples: $K$.
        baseline: None; a number; `"leave_one_out"`, the mean cost of the other draws; a tensor that broadcasts to
            `(K, *batch)`, such as a network of the data, held constant here; or a module such as
            `baselines.MovingAverage`, which is called without arguments for such a tensor and afterwards, if it has a
            method `update`, given the costs.
        higher_order: make derivatives of every order unbiased.
        generator: for the draws.

    Returns:
        The mean cost, `(*batch)`.

    Raises:
        UnsupportedError: if `q` has no `log_prob`.
        ValueError: for fewer samples than needed, an unknown or ill-shaped baseline, costs of another shape, or (on a
            CPU) log-probabilities that are NaN, as those of a Bernoulli with infinite logits.

    Example:
        >>> from torch.distributions import Categorical
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> value = score_function(lambda z: (z == 2).float(), Categorical(logits=logits), samples=1000)
        >>> value.backward()
        >>> abs(float(logits.grad[2]) - 2 / 9) < 0.2
        True

    References:
        | Monte Carlo Gradient Estimation in Machine Learning (Mohamed, Rosca, Figurnov & Mnih, 2020), section 4
        | https://arxiv.org/abs/1906.10652v2
    """
    check_samples(samples)
    if isinstance(baseline, str):
        check_samples(samples, 2, why="a draw needs others to be compared with")
    z = draw(q, samples, generator)
    log_q = _log_prob(q, z)
    cost = evaluate(f, z, q)
    estimate = higher_order_kernel if higher_order else kernel
    value = estimate(cost, log_q, baseline=_resolve(baseline, cost))
    if isinstance(baseline, nn.Module) and callable(update := getattr(baseline, "update", None)):
        update(cost.detach())
    return value


def leave_one_out(f: Cost, q: Distribution, *, samples: int = 2, generator: Generator | None = None) -> Tensor:
    r"""`score_function` with the mean cost of the other draws as each draw's baseline.

    $$\nabla \mathbb{E}_q[f] = \mathbb{E}\Big[\frac{1}{K} \sum_k \Big(f_k - \frac{1}{K - 1} \sum_{j \ne k} f_j\Big)
    \nabla \log q_k\Big]$$

    The default for discrete `q` that cannot be enumerated: nothing to tune, and no level of the cost matters. First
    order only.

    Args:
        f: maps samples `(K, *batch, *event)` to costs `(K, *batch)`.
        q: any distribution with `sample` and `log_prob`.
        samples: $K \ge 2$.
        generator: for the draws.

    Returns:
        The mean cost, `(*batch)`.

    Raises:
        ValueError: for fewer than two samples, or costs of another shape.

    Example:
        >>> from torch.distributions import Bernoulli
        >>> logits = torch.zeros(5, requires_grad=True)
        >>> leave_one_out(lambda z: z + 1e6, Bernoulli(logits=logits), samples=4).shape
        torch.Size([5])

    References:
        | Buy 4 REINFORCE Samples, Get a Baseline for Free! (Kool, van Hoof & Welling, 2019)
        | https://openreview.net/forum?id=r1lgTGL5DE
    """
    return score_function(f, q, samples=samples, baseline="leave_one_out", generator=generator)


def _log_prob(q: Distribution, z: Tensor) -> Tensor:
    name = type(q).__name__
    try:
        log_q = q.log_prob(z)
    except NotImplementedError as error:
        raise UnsupportedError(f"{name} has no log_prob, which the score function needs; try pathwise") from error
    if log_q.device.type == "cpu" and not torch.compiler.is_compiling() and log_q.isnan().any():
        raise ValueError(f"{name} gives its own draws a log-probability of NaN; give it finite parameters")
    return log_q


def _resolve(baseline: Tensor | nn.Module | float | str | None, cost: Tensor) -> Tensor | float:
    """The baseline as a constant that broadcasts to the costs."""
    if isinstance(baseline, str):
        if baseline != "leave_one_out":
            raise ValueError(f"baseline {baseline!r} is unknown; give 'leave_one_out', a number, a tensor or a module")
        return mean_of_others(cost)
    if baseline is None or not isinstance(baseline, Tensor | nn.Module):
        return baseline or 0.0
    level = baseline() if isinstance(baseline, nn.Module) else baseline
    fits = level.ndim <= cost.ndim and all(
        size in (1, wanted) for size, wanted in zip(level.shape[::-1], cost.shape[::-1], strict=False)
    )
    if not fits:
        shapes = f"{tuple(level.shape)} for costs {tuple(cost.shape)}"
        raise ValueError(f"the baseline has shape {shapes}; give one that broadcasts to them, (K, *batch)")
    return level.detach().to(cost)
