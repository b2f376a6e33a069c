r"""The curvature of a likelihood in the outputs of a network, $\Lambda_b = -\nabla_f^2 \log p(y_b \mid f_b)$, `(C, C)`.

It does not depend on the target, and both likelihoods give it in one form,

$$\Lambda_b = \sum_{c=1}^{C} d_{bc} (e_c - m_b)(e_c - m_b)^T,$$

classes with $d = m = p$, which is $\mathrm{diag}(p) - p p^T$, and Gaussian noise with $d = 1 / \sigma^2$ and $m = 0$.
No `(B, C, C)` tensor is built.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from jensen.layers.likelihoods import CategoricalLikelihood, GaussianLikelihood

__all__ = ["OutputCurvature", "output_curvature"]


class OutputCurvature(NamedTuple):
    r"""$\Lambda_b = \sum_c d_{bc} (e_c - m_b)(e_c - m_b)^T$ for each datum.

    Attributes:
        weight: $d$, `(B, C)`.
        centre: $m$, `(B, C)`.

    Example:
        >>> p = torch.tensor([[0.25, 0.75]])
        >>> OutputCurvature(p, p).total()
        tensor([[ 0.1875, -0.1875],
                [-0.1875,  0.1875]])
    """

    weight: Tensor
    centre: Tensor

    def directions(self) -> Iterator[Tensor]:
        r"""The columns $\sqrt{d_{bc}} (e_c - m_b)$ of a root of $\Lambda$, `(B, C)` for each $c$."""
        root = self.weight.sqrt()
        for c in range(root.shape[1]):
            direction = -root[:, c : c + 1] * self.centre
            direction[:, c] += root[:, c]
            yield direction

    def diagonal(self) -> Tensor:
        r"""The diagonals of $\Lambda_b$, `(B, C)`."""
        d, m = self
        return d - 2 * d * m + d.sum(1, keepdim=True) * m.square()

    def total(self) -> Tensor:
        r"""$\sum_b \Lambda_b$, `(C, C)`."""
        off = self.centre.mT @ self.off()
        return torch.diag(self.weight.sum(0)) + off + off.mT

    def off(self) -> Tensor:
        r"""$u$ with $\Lambda_b = \mathrm{diag}(d_b) + m_b u_b^T + u_b m_b^T$, `(B, C)`."""
        d, m = self
        return 0.5 * d.sum(1, keepdim=True) * m - d


def output_curvature(likelihood: nn.Module, outputs: Tensor) -> OutputCurvature:
    r"""$\Lambda$ at the outputs of a network.

    Args:
        likelihood: `CategoricalLikelihood`, or `GaussianLikelihood` with one noise for all inputs.
        outputs: `(B, C)`.

    Returns:
        $d$ and $m$.

    Raises:
        ValueError: for another likelihood, or noise that depends on the input.

    Example:
        >>> from jensen.layers.likelihoods import GaussianLikelihood
        >>> output_curvature(GaussianLikelihood(scale=0.5), torch.zeros(1, 1)).total()
        tensor([[4.]])
    """
    outputs = outputs.detach()
    if isinstance(likelihood, CategoricalLikelihood):
        p = outputs.softmax(1)
        return OutputCurvature(p, p)
    if not isinstance(likelihood, GaussianLikelihood):
        raise ValueError(f"no curvature of {type(likelihood).__name__}; give Categorical- or GaussianLikelihood")
    if likelihood.scale == "conditional":
        raise ValueError("the curvature of a conditional scale may be negative; give GaussianLikelihood one scale")
    if isinstance(likelihood.scale, str):
        variance = (2 * likelihood.log_scale.detach()).exp().to(outputs)
    else:
        variance = outputs.new_full((1,), likelihood.scale**2)
    if outputs.shape[1] % len(variance):
        raise ValueError(f"{len(variance)} scales do not fit {outputs.shape[1]} outputs; give one, or one for each")
    weight = variance.reciprocal().repeat(outputs.shape[1] // len(variance)).expand_as(outputs)
    return OutputCurvature(weight, torch.zeros_like(outputs))
