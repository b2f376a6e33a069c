r"""Objectives against posterior collapse: the evidence lower bound as their value, a gradient that spares divergences.

Early in training the divergence is cheaper to reduce than the likelihood is to raise, and units that have fallen to
their prior seldom come back. Both objectives here leave the value the bound itself and change its gradient, by
divergences unit by unit and layer by layer: they take `model.infer(x, samples).units`.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from jensen import bounds
from jensen._contracts import Inference, check_samples
from jensen.training.objectives import _worth

__all__ = ["BalancedKL", "FreeBits"]

Model = Any

FLOOR = 0.01
"""Nats that every layer has when divergences are weighed against each other, so that one at zero keeps a weight."""


@dataclass(frozen=True)
class FreeBits:
    r"""The evidence lower bound, with a gradient that lets each group of units have $\lambda$ nats at no cost.

    $$\tilde{\mathcal{L}}_\lambda = \mathbb{E}_{x \sim M} \mathbb{E}_q[\log p(x \mid z)]
    - \sum_j \max\left(\lambda, \mathbb{E}_{x \sim M} \mathrm{KL}_j(x)\right)$$

    The maximum is of the mean over the minibatch $M$. A group below $\lambda$ has no divergence in the gradient.

    Attributes:
        nats: $\lambda$, for each group.
        samples: draws for each datum.
        per: a group is a `unit`, or a stochastic `layer`.

    Raises:
        ValueError: if `samples` is below 1, `nats` is negative, or (when called) the model does not tell its
            divergence by unit.

    Example:
        >>> FreeBits(0.5)
        FreeBits(nats=0.5, samples=1, per='unit')

    References:
        | Improving Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016)
        | https://arxiv.org/abs/1606.04934
    """

    nats: float
    samples: int = 1
    per: Literal["unit", "layer"] = "unit"

    def __post_init__(self) -> None:
        """Refuse numbers that free nothing."""
        check_samples(self.samples)
        if not 0 <= self.nats < float("inf"):
            raise ValueError(f"nats is {self.nats}; a group is free to have a finite number of at least 0")
        if self.per not in ("unit", "layer"):
            raise ValueError(f"per is {self.per!r}; groups are 'unit' or 'layer'")

    def __call__(self, model: Model, x: Tensor, *, kl_weight: float | Tensor = 1.0) -> Tensor:
        """The bound on each datum, `(B,)`."""
        log_likelihood, units, bound = _terms(model, x, self.samples)
        groups = torch.cat(units, -1) if self.per == "unit" else torch.stack([kl.sum(-1) for kl in units], -1)
        costs = (groups.detach().mean(0) > self.nats).to(groups)  # of each group
        return _worth(bound, log_likelihood - kl_weight * (groups @ costs))


@dataclass(frozen=True)
class BalancedKL:
    r"""The evidence lower bound, with a gradient that presses most on the layers that say most, during warm-up.

    $$\log p(x \mid z) - \beta \sum_l \gamma_l \mathrm{KL}_l, \qquad
    \gamma_l = \frac{r_l}{\frac{1}{L} \sum_i r_i}, \qquad
    r_l = \frac{|\mathbb{E}_{x \sim M} \mathrm{KL}_l(x)| + 0.01}{D_l}$$

    for a layer of $D_l$ units, with no gradient through $\gamma$: its mean over layers is one, a layer with few nats
    for each unit is pressed less, and one with many more, so that none goes silent while $\beta$ rises. At
    $\beta \ge 1$ all $\gamma_l$ are 1, and the gradient is that of the bound. Give `fit` a warm-up,
    `kl_weight=Linear(0, 1, epochs)`; without one this is `Variational(analytic_kl=True)`.

    Differs from the paper's code, where the size of a layer is the area of its maps over the number of layers that have
    maps as large: here it is the number of its units.

    Attributes:
        samples: draws for each datum.

    Raises:
        ValueError: if `samples` is below 1, or (when called) the model does not tell its divergence by layer.

    Example:
        >>> BalancedKL()
        BalancedKL(samples=1)

    References:
        | NVAE: A Deep Hierarchical Variational Autoencoder (Vahdat & Kautz, 2020), appendix A
        | https://arxiv.org/abs/2007.03898
    """

    samples: int = 1

    def __post_init__(self) -> None:
        """Refuse to train without a draw."""
        check_samples(self.samples)

    def __call__(self, model: Model, x: Tensor, *, kl_weight: float | Tensor = 1.0) -> Tensor:
        """The bound on each datum, `(B,)`."""
        log_likelihood, units, bound = _terms(model, x, self.samples)
        layers = torch.stack([kl.sum(-1) for kl in units], -1)  # (B, L)
        sizes = torch.tensor([kl.shape[-1] for kl in units], dtype=layers.dtype, device=layers.device)
        rates = (layers.detach().mean(0).abs() + FLOOR) / sizes
        rising = torch.as_tensor(kl_weight, device=layers.device) < 1
        weights = torch.where(rising, rates / rates.mean(), 1.0)
        return _worth(bound, log_likelihood - kl_weight * (layers @ weights))


def _terms(model: Model, x: Tensor, samples: int) -> tuple[Tensor, list[Tensor], Tensor]:
    """Means over draws: log-likelihood `(B,)`, divergence of each unit `(B, D)` of each layer, the bound `(B,)`."""
    if not hasattr(model, "infer"):
        raise ValueError(f"{type(model).__name__} has no infer(x, samples), which tells the divergence of each unit")
    inference: Inference = model.infer(x, samples)
    if not inference.units:
        raise ValueError(f"{type(model).__name__}.infer does not tell the divergence of each unit; give it `units`")
    log_likelihood = inference.log_weights.log_likelihood
    bound = bounds.sgvb_b(log_likelihood, inference.kl.mean(0))
    return log_likelihood.mean(0), [kl.mean(0) for kl in inference.units], bound
