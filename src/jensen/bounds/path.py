r"""Bounds whose gradient reaches the posterior only through its draws: the value is the bound's, the noise is less.

The total derivative of a log-weight in the posterior's parameters has a part along the path $z(\phi, \epsilon)$ and the
score $-\nabla_\phi \log q_\phi(z \mid x)$ at fixed $z$. In the evidence lower bound the score's expectation is zero but
its variance is not.
Both functions need log-weights made by `model.log_weights(x, samples, path_derivative=True)`.
"""

from torch import Tensor

from jensen._contracts import LogWeights
from jensen.bounds.importance import iwae, normalized_weights

__all__ = ["dreg", "stl"]


def stl(log_weights: LogWeights) -> Tensor:
    r"""Sticking the landing: the single-sample bound, its gradient along the path alone, in nats.

    $$\nabla_\phi \approx \frac{\partial \log w}{\partial z} \frac{\partial z}{\partial \phi}$$

    Unbiased, and without noise at all where $q(z \mid x) = p(z \mid x)$. For $K > 1$ the dropped score carries the
    weights of `iwae` and no longer averages to zero: the gradient would be biased, so more than one sample is refused.
    `dreg` is the unbiased form for any $K$; for a *mean* of single-sample bounds, `elbo(log_weights.total)` is.

    Args:
        log_weights: log-weights of one sample, `(1, B)`, that carry their path.

    Returns:
        The bound, `(B,)`.

    Raises:
        ValueError: if there is more than one sample, or the path is missing.

    Example:
        >>> z = torch.zeros(1, 1, 2)
        >>> stl(LogWeights(torch.tensor([[-3.0]]), torch.tensor([[-1.0]]), torch.tensor([[-0.5]]), path=(z,)))
        tensor([-3.5000])

    References:
        | Sticking the Landing: Simple, Lower-Variance Gradient Estimators for Variational Inference (Roeder, Wu & Duvenaud, 2017), eq. 7
        | https://arxiv.org/abs/1703.09194v3
    """  # noqa: E501
    log_w = _with_path(log_weights)
    if log_w.shape[0] != 1:
        raise ValueError(
            f"stl is biased for more than one sample, got log-weights of shape {tuple(log_w.shape)}: "
            "use dreg, or elbo(log_weights.total) for a mean of single-sample bounds"
        )
    return iwae(log_w)


def dreg(log_weights: LogWeights) -> Tensor:
    r"""The importance-weighted bound with the doubly reparameterised gradient, in nats.

    $$\nabla_\phi \approx \sum_{k=1}^{K} \tilde w_k^2
    \frac{\partial \log w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi}, \qquad
    \nabla_\theta \approx \sum_{k=1}^{K} \tilde w_k \nabla_\theta \log w_k$$

    The value is `iwae`; the gradient has the same expectation and a signal-to-noise ratio in $\phi$ that does not fall
    with $K$. One backward pass: the bound itself brings one factor $\tilde w_k$, and the draws multiply what passes
    through them by the other. That multiplication is registered on the draws in `log_weights`, so use each `LogWeights`
    once.

    Args:
        log_weights: log-weights of $K$ samples, `(K, B)`, that carry their path.

    Returns:
        The bound, `(B,)`.

    Raises:
        ValueError: if the path is missing.

    Example:
        >>> z = torch.zeros(2, 1, 2, requires_grad=True)
        >>> log_w = (z.sum(-1) + torch.tensor([[0.0], [math.log(3.0)]]))
        >>> dreg(LogWeights(log_w, torch.zeros(2, 1), torch.zeros(2, 1), path=(z,))).sum().backward()
        >>> z.grad[:, 0, 0]
        tensor([0.0625, 0.5625])

    References:
        | Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives (Tucker, Lawson, Gu & Maddison, 2019), eq. 8
        | https://arxiv.org/abs/1810.04152v2
    """  # noqa: E501
    log_w = _with_path(log_weights)
    weight = normalized_weights(log_w.detach()).unsqueeze(-1)  # (K, B, 1)
    for z in log_weights.path:
        if z.requires_grad:
            z.register_hook(lambda gradient: gradient * weight)  # type: ignore[no-untyped-call]
    return iwae(log_w)


def _with_path(log_weights: LogWeights) -> Tensor:
    if not log_weights.path:
        raise ValueError("these log-weights carry no path; make them by model.log_weights(..., path_derivative=True)")
    return log_weights.total
