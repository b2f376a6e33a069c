r"""Gaussian posteriors over the matrices of layers, and what they say of the outputs of the linearised network.

$$\Theta \sim \mathcal{N}(\Theta^*, \Sigma), \quad \Sigma = (H + \mathrm{diag}(\delta))^{-1}, \qquad
f(x) \sim \mathcal{N}(f^*(x), J(x) \Sigma J(x)^T)$$
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from jensen.layers.curvature.tape import Tape

__all__ = ["Covariance", "FullCovariance", "LayerCovariance", "LayerwiseCovariance", "Marginals"]


class Marginals(NamedTuple):
    r"""Gaussian outputs for each input, $f_b \sim \mathcal{N}(\mu_b, V_b \mathrm{diag}(s_b) V_b^T)$.

    Attributes:
        mean: $\mu$, `(B, C)`.
        basis: $V$, `(B, C, R)`, or `(1, C, R)` where it is the same for every input.
        spread: $s$, `(B, R)`.

    Example:
        >>> marginals = Marginals(torch.zeros(1, 2), torch.eye(2).unsqueeze(0), torch.tensor([[4.0, 1.0]]))
        >>> marginals.variance
        tensor([[4., 1.]])
        >>> marginals.draw(100).shape
        torch.Size([100, 1, 2])
    """

    mean: Tensor
    basis: Tensor
    spread: Tensor

    @property
    def covariance(self) -> Tensor:
        """Of the outputs, `(B, C, C)`."""
        return (self.basis * self.spread.unsqueeze(1)) @ self.basis.mT

    @property
    def variance(self) -> Tensor:
        """Of each output, `(B, C)`."""
        return (self.basis.square() @ self.spread.unsqueeze(-1)).squeeze(-1)

    def draw(self, samples: int) -> Tensor:
        """Draws of the outputs, `(K, B, C)`."""
        root = self.spread.clamp_min(0).sqrt()
        noise = torch.randn(samples, *root.shape, dtype=root.dtype, device=root.device) * root
        if len(self.basis) == 1:
            return self.mean + noise @ self.basis[0].mT
        return self.mean + (self.basis @ noise.unsqueeze(-1)).squeeze(-1)


class Covariance(Protocol):
    r"""$\Sigma$ in the shape that the curvature has."""

    log_det_precision: float

    def effective(self) -> Tensor:
        r"""The number of parameters of each layer that the data determine, $\mathrm{tr}(H \Sigma)_l$, `(L,)`."""
        ...

    def quadratic(self, gradients: Sequence[Tensor]) -> float:
        r"""$g^T \Sigma g$."""
        ...

    def draw(self, samples: int) -> list[Tensor]:
        r"""Draws of $\Theta - \Theta^*$, `(K, G, O, I)` for each layer."""
        ...

    def variances(self) -> list[Tensor]:
        r"""The diagonal of $\Sigma$, `(G, O, I)` for each layer."""
        ...

    def marginals(self, tape: Tape) -> Marginals:
        """The outputs of the linearised network for the batch on a tape."""
        ...


class LayerCovariance(NamedTuple):
    r"""One layer's $\Sigma = (V \otimes U)\, \mathrm{diag}(s)\, (V \otimes U)^T$, $U$ over outputs and $V$ over inputs.

    Attributes:
        spread: $s = 1 / (\lambda + \delta)$, `(G, O, I)`.
        share: $\lambda s$, `(G, O, I)`.
        left: $U$, `(G, O, O)`; None for the identity.
        right: $V$, `(G, I, I)`; None for the identity.
    """

    spread: Tensor
    share: Tensor
    left: Tensor | None
    right: Tensor | None

    def rotate(self, matrices: Tensor) -> Tensor:
        r"""$U^T X V$ for matrices `(*, G, O, I)`."""
        rotated = matrices if self.left is None else self.left.mT @ matrices
        return rotated if self.right is None else rotated @ self.right

    def draw(self, samples: int) -> Tensor:
        r"""$U (\epsilon \sqrt{s}) V^T$, `(K, G, O, I)`."""
        s = self.spread
        draws = torch.randn(samples, *s.shape, dtype=s.dtype, device=s.device) * s.sqrt()
        draws = draws if self.left is None else self.left @ draws
        return draws if self.right is None else draws @ self.right.mT

    def variance(self) -> Tensor:
        r"""The diagonal of $\Sigma$, `(G, O, I)`."""
        variance = self.spread if self.left is None else self.left.square() @ self.spread
        return variance if self.right is None else variance @ self.right.square().mT

    def strength(self, rows: Tensor) -> Tensor:
        r"""$\sum_i (V^T a)_i^2 s_{oi}$ for rows `(B, G, I)`, the variance of each rotated output, `(B, G, O)`."""
        rows = rows if self.right is None else torch.einsum("bgi,gij->bgj", rows, self.right)
        return torch.einsum("bgi,goi->bgo", rows.square(), self.spread)

    def outputs(self, rows: Tensor, ends: Tensor) -> Tensor:
        r"""$J \Sigma J^T$, `(B, C, C)`, from $a$ `(B, T, G, I)` and $g$ `(C, B, T, G, O)`."""
        if rows.shape[1] > 1:
            J = self.rotate(torch.einsum("cbtgo,btgi->bcgoi", ends, rows)).flatten(2)
            return (J * self.spread.flatten()) @ J.mT
        g = ends[:, :, 0] if self.left is None else torch.einsum("cbgo,gop->cbgp", ends[:, :, 0], self.left)
        return torch.einsum("cbgo,bgo,ebgo->bce", g, self.strength(rows[:, 0]), g)


class LayerwiseCovariance:
    """Layers that are independent of each other."""

    def __init__(self, layers: Sequence[LayerCovariance]) -> None:
        self.layers = list(layers)
        self.log_det_precision = -float(sum(layer.spread.double().log().sum() for layer in self.layers))

    def effective(self) -> Tensor:
        r"""$\sum \lambda / (\lambda + \delta)$ of each layer, `(L,)`."""
        return torch.stack([layer.share.double().sum() for layer in self.layers])

    def quadratic(self, gradients: Sequence[Tensor]) -> float:
        r"""$g^T \Sigma g$."""
        pairs = zip(self.layers, gradients, strict=True)
        return sum(float((layer.rotate(gradient).square() * layer.spread).sum()) for layer, gradient in pairs)

    def draw(self, samples: int) -> list[Tensor]:
        r"""Draws of $\Theta - \Theta^*$, `(K, G, O, I)` for each layer."""
        return [layer.draw(samples) for layer in self.layers]

    def variances(self) -> list[Tensor]:
        r"""The diagonal of $\Sigma$, `(G, O, I)` for each layer."""
        return [layer.variance() for layer in self.layers]

    def marginals(self, tape: Tape) -> Marginals:
        r"""The outputs of the linearised network; for a last layer, $V_b = U$ and $s_b$ from $a_b$ alone."""
        mean = tape.outputs.detach()
        if tape.direct:
            (layer,), (rows,) = self.layers, tape.rows
            left = (
                torch.eye(mean.shape[1], dtype=mean.dtype, device=mean.device) if layer.left is None else layer.left[0]
            )
            return Marginals(mean, left.unsqueeze(0), layer.strength(rows[:, 0])[:, 0])
        parts = zip(self.layers, tape.rows, tape.jacobian(), strict=True)
        covariance = torch.stack([layer.outputs(rows, ends) for layer, rows, ends in parts]).sum(0)
        return _marginals(mean, covariance)


class FullCovariance:
    r"""One $\Sigma$ over all layers, from the precision $H + \mathrm{diag}(\delta)$ `(P, P)`.

    Args:
        precision: $H + \mathrm{diag}(\delta)$.
        shapes: `(G, O, I)` of each layer.
        prior: $\delta$, `(L,)`.
        dtype: what to compute predictions in.

    Raises:
        ValueError: if the precision is not positive definite.
    """

    def __init__(
        self, precision: Tensor, *, shapes: Sequence[tuple[int, int, int]], prior: Tensor, dtype: torch.dtype
    ) -> None:
        factor, failed = torch.linalg.cholesky_ex(precision)
        if int(failed) or not bool(factor.isfinite().all()):
            raise ValueError(
                f"the posterior precision {tuple(precision.shape)} is not positive definite in {precision.dtype} (row "
                f"{int(failed)}); are the weights and data finite? Otherwise raise prior_precision"
            )
        self.shapes, self.prior, self.dtype = list(shapes), prior, dtype
        self.sizes = [G * O * I for G, O, I in self.shapes]
        self.log_det_precision = 2 * float(factor.diagonal().log().sum())
        self.factor = factor.to(dtype)
        self.matrix = torch.cholesky_inverse(factor).to(dtype)

    def _split(self, vectors: Tensor) -> list[Tensor]:
        pieces = vectors.split_with_sizes(self.sizes, -1)
        return [piece.reshape(*piece.shape[:-1], *shape) for piece, shape in zip(pieces, self.shapes, strict=True)]

    def effective(self) -> Tensor:
        r"""$P_l - \delta_l \mathrm{tr}(\Sigma)_l$, `(L,)`."""
        traces = torch.stack([each.double().sum() for each in self.variances()])
        return torch.tensor(self.sizes, device=traces.device) - self.prior * traces

    def quadratic(self, gradients: Sequence[Tensor]) -> float:
        r"""$g^T \Sigma g$."""
        g = torch.cat([gradient.flatten() for gradient in gradients])
        return float(g @ self.matrix @ g)

    def draw(self, samples: int) -> list[Tensor]:
        r"""Draws of $\Theta - \Theta^*$, `(K, G, O, I)` for each layer."""
        noise = torch.randn(len(self.factor), samples, dtype=self.dtype, device=self.factor.device)
        return self._split(torch.linalg.solve_triangular(self.factor.mT, noise, upper=True).mT)

    def variances(self) -> list[Tensor]:
        r"""The diagonal of $\Sigma$, `(G, O, I)` for each layer."""
        return self._split(self.matrix.diagonal())

    def marginals(self, tape: Tape) -> Marginals:
        r"""The outputs of the linearised network; for a last layer without ever building $\phi(x) \otimes I$."""
        mean = tape.outputs.detach()
        if tape.direct:
            _, C, I = self.shapes[0]
            a = tape.rows[0][:, 0, 0]
            blocks = self.matrix.view(C, I, C, I).permute(1, 3, 0, 2).reshape(I * I, C * C)
            return _marginals(mean, ((a.unsqueeze(2) * a.unsqueeze(1)).flatten(1) @ blocks).view(-1, C, C))
        parts = zip(tape.jacobian(), tape.rows, strict=True)
        J = torch.cat([torch.einsum("cbtgo,btgi->bcgoi", g, a).flatten(2) for g, a in parts], 2)
        return _marginals(mean, J @ self.matrix @ J.mT)


def _marginals(mean: Tensor, covariance: Tensor) -> Marginals:
    if covariance.shape[-1] == 1:
        return Marginals(mean, torch.ones_like(covariance[:1]), covariance[..., 0])
    spread, basis = torch.linalg.eigh(0.5 * (covariance + covariance.mT))
    return Marginals(mean, basis, spread.clamp_min(0))
