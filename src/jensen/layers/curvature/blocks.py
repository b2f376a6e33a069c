r"""The curvature $H = \sum_b J_b^T \Lambda_b J_b$ of a log-likelihood in the weights, added up batch by batch.

This is the generalised Gauss-Newton matrix: the Hessian of $-\log p(y \mid f(x))$ without the curvature of $f$, and
equal to it where $f$ is linear in the weights or fits every target. Three shapes of it:

- `FullCurvature`: all of it, `(P, P)`.
- `KroneckerCurvature`: for each layer $A \otimes B / M$ with $A = \sum a a^T$ over the $M$ rows that enter it and
  $B = \sum g g^T$ behind it. Exact where each datum is one row and either there is one datum or $g$ is the same for
  all, as for a linear model with Gaussian noise. Else it takes rows and gradients as uncorrelated, and for a
  convolution or a sequence also the positions of one datum.
- `DiagonalCurvature`: the diagonal, exact.

References:
    | Optimizing Neural Networks with Kronecker-factored Approximate Curvature (Martens & Grosse, 2015)
    | https://arxiv.org/abs/1503.05671
    | A Kronecker-factored Approximate Fisher Matrix for Convolution Layers (Grosse & Martens, 2016)
    | https://arxiv.org/abs/1602.01407
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from jensen.layers.curvature.covariances import Covariance, FullCovariance, LayerCovariance, LayerwiseCovariance
from jensen.layers.curvature.outputs import OutputCurvature
from jensen.layers.curvature.sites import Site
from jensen.layers.curvature.tape import Tape

__all__ = ["Curvature", "DiagonalCurvature", "FullCurvature", "KroneckerCurvature"]


class Curvature(Protocol):
    """One shape of the generalised Gauss-Newton matrix."""

    def add(self, tape: Tape, curvature: OutputCurvature) -> None:
        """Add what one batch knows."""
        ...

    def rescale(self, factor: float) -> None:
        """Multiply by a number, as another noise does."""
        ...

    def eigenvalues(self) -> list[Tensor]:
        """Of each layer where they are independent, of all together otherwise, in float64."""
        ...

    def covariance(self, prior: Tensor) -> Covariance:
        r"""$(H + \mathrm{diag}(\delta))^{-1}$ for precisions $\delta$ of the layers, `(L,)`."""
        ...


class KroneckerCurvature(nn.Module):
    r"""$A \otimes B / M$ for each layer.

    Args:
        sites: the layers.

    Example:
        >>> from jensen.layers.curvature.sites import find_sites
        >>> curvature = KroneckerCurvature(find_sites(torch.nn.Linear(2, 3), "all"))
        >>> curvature.covariance(torch.ones(1)).effective()
        tensor([0.], dtype=torch.float64)
    """

    rows: Tensor

    def __init__(self, sites: Sequence[Site]) -> None:
        super().__init__()
        self.inputs = _Buffers([(site, (site.shape[0], site.shape[2], site.shape[2])) for site in sites])
        self.outputs = _Buffers([(site, (site.shape[0], site.shape[1], site.shape[1])) for site in sites])
        self.register_buffer("rows", torch.zeros(len(sites), dtype=torch.long))

    def add(self, tape: Tape, curvature: OutputCurvature) -> None:
        """Add what one batch knows."""
        for l, a in enumerate(tape.rows):
            self.inputs[l].add_(_gram(a))
            self.rows[l] += a.shape[0] * a.shape[1]
        if tape.direct:
            self.outputs[0].add_(curvature.total())
            return
        for direction in curvature.directions():
            for l, g in enumerate(tape.gradients(direction)):
                self.outputs[l].add_(_gram(g))

    def rescale(self, factor: float) -> None:
        """Multiply by a number, as another noise does."""
        for l in range(len(self.rows)):
            self.outputs[l].mul_(factor)

    def _factors(self, l: int) -> tuple[Tensor, Tensor, Tensor]:
        r"""$\lambda$ `(G, O, I)`, $U$ and $V$ in float64."""
        _check_finite(A := self.inputs[l].double(), B := self.outputs[l].double())
        inner, right = torch.linalg.eigh(A)
        outer, left = torch.linalg.eigh(B)
        eigenvalues = outer.clamp_min(0).unsqueeze(-1) * inner.clamp_min(0).unsqueeze(-2)
        return eigenvalues / self.rows[l].clamp_min(1), left, right

    def eigenvalues(self) -> list[Tensor]:
        r"""All products of an eigenvalue of $A$ and one of $B$, over $M$, for each layer."""
        return [self._factors(l)[0].flatten() for l in range(len(self.rows))]

    def covariance(self, prior: Tensor) -> LayerwiseCovariance:
        r"""$(H + \mathrm{diag}(\delta))^{-1}$ for precisions $\delta$ of the layers, `(L,)`."""
        layers = []
        for l in range(len(self.rows)):
            eigenvalues, left, right = self._factors(l)
            layers.append(_layer(eigenvalues, prior[l], like=self.inputs[l], left=left, right=right))
        return LayerwiseCovariance(layers)


class DiagonalCurvature(nn.Module):
    """The diagonal of each layer.

    Args:
        sites: the layers.

    Example:
        >>> from jensen.layers.curvature.sites import find_sites
        >>> curvature = DiagonalCurvature(find_sites(torch.nn.Linear(2, 3), "all"))
        >>> round(curvature.covariance(torch.full((1,), 2.0)).log_det_precision / math.log(2.0), 6)
        9.0
    """

    def __init__(self, sites: Sequence[Site]) -> None:
        super().__init__()
        self.diagonals = _Buffers([(site, site.shape) for site in sites])

    def add(self, tape: Tape, curvature: OutputCurvature) -> None:
        """Add what one batch knows."""
        if tape.direct:
            self.diagonals[0].add_(curvature.diagonal().mT @ tape.rows[0][:, 0, 0].square())
            return
        for direction in curvature.directions():
            for l, (a, g) in enumerate(zip(tape.rows, tape.gradients(direction), strict=True)):
                self.diagonals[l].add_(_squares(a, g))

    def rescale(self, factor: float) -> None:
        """Multiply by a number, as another noise does."""
        for l in range(len(self.diagonals)):
            self.diagonals[l].mul_(factor)

    def eigenvalues(self) -> list[Tensor]:
        """The diagonals."""
        return [self.diagonals[l].double().flatten() for l in range(len(self.diagonals))]

    def covariance(self, prior: Tensor) -> LayerwiseCovariance:
        r"""$(H + \mathrm{diag}(\delta))^{-1}$ for precisions $\delta$ of the layers, `(L,)`."""
        diagonals = (self.diagonals[l] for l in range(len(self.diagonals)))
        return LayerwiseCovariance([_layer(d.double(), prior[l], like=d) for l, d in enumerate(diagonals)])


class FullCurvature(nn.Module):
    """The whole matrix over all layers, `(P, P)`.

    Args:
        sites: the layers.

    Raises:
        ValueError: if the matrix would have more than 2 ** 32 entries.

    Example:
        >>> from jensen.layers.curvature.sites import find_sites
        >>> FullCurvature(find_sites(torch.nn.Linear(2, 3), "all")).matrix.shape
        torch.Size([9, 9])
    """

    matrix: Tensor

    def __init__(self, sites: Sequence[Site]) -> None:
        super().__init__()
        self.shapes, P = [site.shape for site in sites], sum(site.count for site in sites)
        if P**2 > MOST:
            raise ValueError(f"a full curvature of {P} parameters has {P**2:.3g} entries; use curvature='kron'")
        self.register_buffer("matrix", sites[0].matrix.new_zeros(P, P))

    def add(self, tape: Tape, curvature: OutputCurvature) -> None:
        r"""Add what one batch knows; a last layer's $\Lambda_b \otimes a_b a_b^T$ from two products of matrices."""
        if tape.direct:
            self._add_last(tape.rows[0][:, 0, 0], curvature)
            return
        for direction in curvature.directions():
            pairs = zip(tape.rows, tape.gradients(direction), strict=True)
            J = torch.cat([torch.einsum("btgo,btgi->bgoi", g, a).flatten(1) for a, g in pairs], 1)
            self.matrix.addmm_(J.mT, J)

    def _add_last(self, a: Tensor, curvature: OutputCurvature) -> None:
        B, C = curvature.weight.shape
        blocks = self.matrix.view(C, -1, C, a.shape[1])
        for c in range(C):
            blocks[c, :, c].addmm_(a.mT * curvature.weight[:, c], a)
        if not bool(curvature.centre.any()):
            return
        m, u = ((v.unsqueeze(2) * a.unsqueeze(1)).reshape(B, -1) for v in (curvature.centre, curvature.off()))
        self.matrix.addmm_(m.mT, u).addmm_(u.mT, m)

    def rescale(self, factor: float) -> None:
        """Multiply by a number, as another noise does."""
        self.matrix.mul_(factor)

    def eigenvalues(self) -> list[Tensor]:
        """Of the whole matrix."""
        return [torch.linalg.eigvalsh(self.matrix.double()).clamp_min(0)]

    def covariance(self, prior: Tensor) -> FullCovariance:
        r"""$(H + \mathrm{diag}(\delta))^{-1}$ for precisions $\delta$ of the layers, `(L,)`."""
        prior = prior.to(self.matrix.device, torch.float64)
        sizes = torch.tensor([G * O * I for G, O, I in self.shapes], device=prior.device)
        matrix, diagonal = self.matrix.double(), torch.diag(prior.repeat_interleave(sizes))
        if int(torch.linalg.cholesky_ex(matrix + diagonal).info):
            matrix = _without_rounding(matrix, torch.finfo(self.matrix.dtype).eps)
        precision = matrix + diagonal
        return FullCovariance(precision, shapes=self.shapes, prior=prior, dtype=self.matrix.dtype)


MOST = 2**32
"""Entries of a matrix that is held as a whole."""


class _Buffers(nn.Module):
    """One tensor of zeros for each site."""

    def __init__(self, shapes: Sequence[tuple[Site, tuple[int, ...]]]) -> None:
        super().__init__()
        for l, (site, shape) in enumerate(shapes):
            self.register_buffer(str(l), site.matrix.new_zeros(shape))

    def __len__(self) -> int:
        return len(self._buffers)

    def __getitem__(self, l: int) -> Tensor:
        return self.get_buffer(str(l))


def _gram(rows: Tensor) -> Tensor:
    """The sum of outer products over data and uses, `(G, I, I)`, of rows `(B, T, G, I)`."""
    stacked = rows.flatten(0, 1).transpose(0, 1)
    return stacked.mT @ stacked


def _squares(a: Tensor, g: Tensor) -> Tensor:
    """The sum over data of the squares of each Jacobian's entries, `(G, O, I)`."""
    if a.shape[1] == 1:
        return torch.einsum("bgo,bgi->goi", g[:, 0].square(), a[:, 0].square())
    return torch.einsum("btgo,btgi->bgoi", g, a).square().sum(0)


def _without_rounding(matrix: Tensor, eps: float) -> Tensor:
    """The nearest positive matrix, if no eigenvalue is further below zero than sums of many roundings are."""
    _check_finite(matrix)
    eigenvalues, vectors = torch.linalg.eigh(matrix)
    if not float(eigenvalues[0]) > -100 * eps * float(eigenvalues[-1].abs()):
        return matrix
    positive: Tensor = (vectors * eigenvalues.clamp_min(0)) @ vectors.mT
    return positive


def _check_finite(*curvature: Tensor) -> None:
    if not all(bool(each.isfinite().all()) for each in curvature):
        raise ValueError("the curvature is not positive and finite; are the weights and the data?")


def _layer(
    eigenvalues: Tensor, prior: Tensor, *, like: Tensor, left: Tensor | None = None, right: Tensor | None = None
) -> LayerCovariance:
    spread = (eigenvalues + prior.to(like.device, torch.float64)).reciprocal()
    _check_finite(spread)
    if not bool((spread > 0).all()):
        raise ValueError("the posterior precision of a layer is not positive and finite; raise prior_precision")
    bases = (None if basis is None else basis.to(like.dtype) for basis in (left, right))
    return LayerCovariance(spread.to(like.dtype), (eigenvalues * spread).to(like.dtype), *bases)
