r"""Baselines that remember: what `score_function` subtracts from a cost to lower the variance of its gradient.

A baseline $b$ leaves the gradient unbiased as long as it does not depend on the draw it is subtracted for. The average
here is therefore read first and updated afterwards, by `score_function` itself.

A learned baseline (NVIL) needs no class: it is any network of the data, given as a tensor `baseline=net(x)`. The value
of the estimator is the mean cost, so that its regression is one line beside the loss, of the same sign whether the cost
is minimised or maximised:

    b = net(x)                                     # (*batch)
    value = score_function(f, q, baseline=b)
    loss = value.sum() + (value.detach() - b).square().sum()
"""

import torch
from torch import Tensor, nn

__all__ = ["MovingAverage"]


class MovingAverage(nn.Module):
    r"""Exponentially decaying average of past costs, corrected for its start.

    $$b_t = \frac{1 - \beta}{1 - \beta^t} \sum_{s=1}^{t} \beta^{t - s} \bar f_s$$

    An average that already holds the cost it is subtracted from shrinks the gradient by the factor $\beta$. Here
    `score_function` reads $b_t$, builds its gradient, and only then calls `update`.

    Args:
        decay: $\beta$, the weight of the past, at least 0 and below 1.
        batch_shape: `()` for one average over everything; the batch shape of `q` for one average for each batch
            element, where the same elements come back in each step.

    Raises:
        ValueError: if the decay is outside $[0, 1)$.

    Example:
        >>> baseline = MovingAverage(decay=0.5)
        >>> baseline()
        tensor(0.)
        >>> baseline.update(torch.tensor([[4.0]]))
        >>> baseline.update(torch.tensor([[1.0]]))
        >>> baseline()
        tensor(2.)

    References:
        | Neural Variational Inference and Learning in Belief Networks (Mnih & Gregor, 2014)
        | https://arxiv.org/abs/1402.0030v2
    """

    total: Tensor
    weight: Tensor

    def __init__(self, *, decay: float = 0.9, batch_shape: tuple[int, ...] = ()) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be at least 0 and below 1, got {decay}")
        self.decay = decay
        self.register_buffer("total", torch.zeros(tuple(batch_shape)))
        self.register_buffer("weight", torch.zeros(()))

    def forward(self) -> Tensor:
        """The average of the costs so far, of shape `batch_shape`; zero before the first."""
        return self.total / self.weight.clamp_min(torch.finfo(self.weight.dtype).tiny)

    @torch.no_grad()
    def update(self, cost: Tensor) -> None:
        """Take in the costs of one step, `(K, *batch)`; a step with an infinite or undefined cost is left out.

        Raises:
            ValueError: if `batch_shape` is not `()` and the costs are of another batch shape.
        """
        shape = tuple(self.total.shape)
        if shape and tuple(cost.shape[1:]) != shape:
            raise ValueError(f"the costs have shape {tuple(cost.shape)}; this average expects (K, *{shape})")
        now = (cost.mean(0) if shape else cost.mean()).to(self.total)
        if torch.isfinite(now).all():
            self.total.lerp_(now, 1 - self.decay)
            self.weight.lerp_(torch.ones_like(self.weight), 1 - self.decay)

    def extra_repr(self) -> str:
        """The arguments, for `print`."""
        return f"decay={self.decay}, batch_shape={tuple(self.total.shape)}"
