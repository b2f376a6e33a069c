r"""Precisions of a Gaussian prior, and a noise, that make Laplace's log-evidence largest at given weights.

$$\log p(D) \approx \log p(D \mid \theta^*) - \frac12 \sum_l \delta_l \lVert \theta^*_l \rVert^2 +
\frac12 \sum_l P_l \log \delta_l - \frac12 \log \lvert H + \mathrm{diag}(\delta) \rvert$$

At the largest value $\delta_l \lVert \theta^*_l \rVert^2 = \gamma_l$, the number of parameters of layer $l$ that the
data determine. With one $\delta$ for all layers both sides are monotone, and it is the only such point. Where the
noise $\sigma^2 = s \sigma_0^2$ is sought as well, the best $s$ given $\alpha = s \delta$ is

$$s = \Big(S + \sum_l \alpha_l \lVert \theta^*_l \rVert^2\Big) / N, \qquad
S = \sum_n (y_n - f(x_n))^2 / \sigma_0^2,$$

and with it one number for each $\alpha_l$ is left, with the same property.

References:
    | Bayesian Interpolation (MacKay, 1992)
    | https://doi.org/10.1162/neco.1992.4.3.415
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize
from torch import Tensor

from jensen.layers.curvature.blocks import Curvature

__all__ = ["Precisions", "best_precisions"]

REACH, SPAN = 60.0, 15.0
"""How far from one, in natural logarithms, one precision is looked for, and how far from that those of the layers."""

Vector = NDArray[np.float64]


class Precisions(NamedTuple):
    r"""What makes the evidence largest.

    Attributes:
        prior: $\delta$, `(L,)`, float64.
        noise: $s$, the factor of the variance of the noise; 1 where it is not sought.
    """

    prior: Tensor
    noise: float


def best_precisions(
    curvature: Curvature, weights: list[Tensor], *, per_layer: bool = False, squares: tuple[float, int] | None = None
) -> Precisions:
    r"""Maximise Laplace's log-evidence in the precisions of the prior.

    Args:
        curvature: $H$ at the noise $\sigma_0$.
        weights: $\theta^*_l$, a tensor for each layer.
        per_layer: seek one precision for each layer; otherwise one for all.
        squares: $S$ and $N$, to seek the noise as well.

    Returns:
        The precisions, and the factor of the noise.

    Raises:
        ValueError: if there is no largest value: all weights of a layer are zero, the data determine none, or the
            residuals are zero.

    Example:
        >>> from jensen.layers.curvature import FullCurvature, find_sites
        >>> layer = torch.nn.Linear(1, 1, bias=False)
        >>> curvature = FullCurvature(find_sites(layer, "all"))
        >>> _ = curvature.matrix.fill_(3.0)
        >>> best = best_precisions(curvature, [torch.ones(1)])  # 3 / (3 + delta) = delta
        >>> round(float(best.prior), 4)
        0.7913
    """
    norms = np.array([float(each.double().square().sum()) for each in weights])
    counts = np.array([each.numel() for each in weights], dtype=np.float64)
    if not np.all(np.isfinite(norms)) or not (norms > 0 if per_layer else norms.sum(keepdims=True) > 0).all():
        raise ValueError(f"the squared norms of the layers' weights are {norms}: no precision fits weights of zero")
    S, N = (0.0, 0) if squares is None else squares
    if N and not S > 0:
        raise ValueError(f"the squared residuals sum to {S}: no noise fits a network that meets every target")
    search = _Separate if per_layer else _Tied
    alpha = search(curvature, norms, counts, S, N).best()
    noise = (S + float(alpha @ norms)) / N if N else 1.0
    return Precisions(torch.from_numpy(alpha / noise), noise)


class _Tied:
    """One precision: the root of a decreasing function of its logarithm."""

    def __init__(self, curvature: Curvature, norms: Vector, counts: Vector, S: float, N: int) -> None:
        self.layers, self.norm, self.S, self.N = len(norms), float(norms.sum()), S, N
        self.eigenvalues = torch.cat(curvature.eigenvalues()).cpu().numpy()

    def _slope(self, log_alpha: float) -> float:
        alpha = math.exp(log_alpha)
        effective = float((self.eigenvalues / (self.eigenvalues + alpha)).sum())
        pull = alpha * self.norm
        return effective - (self.N * pull / (self.S + pull) if self.N else pull)

    def best(self) -> Vector:
        if not self._slope(-REACH) > 0 > self._slope(REACH):
            raise ValueError("the data determine none of the weights: no precision is best; was the network fitted?")
        return np.full(self.layers, math.exp(brentq(self._slope, -REACH, REACH, xtol=1e-13)))


class _Separate:
    """One precision for each layer: ascent in their logarithms."""

    def __init__(self, curvature: Curvature, norms: Vector, counts: Vector, S: float, N: int) -> None:
        self.curvature, self.norms, self.counts, self.S, self.N = curvature, norms, counts, S, N
        self.start = np.log(_Tied(curvature, norms, counts, S, N).best())
        eigenvalues = curvature.eigenvalues()
        self.blocks = [each.cpu().numpy() for each in eigenvalues] if len(eigenvalues) == len(norms) else None

    def _determinant(self, alpha: Vector) -> tuple[float, Vector]:
        r"""$\log \lvert H + \mathrm{diag}(\alpha) \rvert$ and $\gamma_l$."""
        if self.blocks is None:
            covariance = self.curvature.covariance(torch.from_numpy(alpha))
            return covariance.log_det_precision, covariance.effective().cpu().numpy()
        pairs = list(zip(self.blocks, alpha, strict=True))
        effective = [(block / (block + a)).sum() for block, a in pairs]
        return float(sum(np.log(block + a).sum() for block, a in pairs)), np.array(effective)

    def _loss(self, log_alpha: Vector) -> tuple[float, Vector]:
        alpha = np.exp(log_alpha)
        log_det, effective = self._determinant(alpha)
        pull, weight = alpha * self.norms, 1.0
        misfit = pull.sum()
        if self.N:
            total = self.S + pull.sum()
            misfit, weight = self.N * math.log(total), self.N / total
        return 0.5 * (misfit + log_det - float(self.counts @ log_alpha)), 0.5 * (weight * pull - effective)

    def best(self) -> Vector:
        options = {"ftol": 0.0, "gtol": 1e-9, "maxiter": 500}
        bounds = [(start - SPAN, start + SPAN) for start in self.start]
        found = minimize(self._loss, self.start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        if not np.all(np.abs(found.x - self.start) < SPAN - 1e-3):
            raise ValueError(f"no precision of each layer is best: they run to exp({np.round(found.x, 1)}); use one")
        return np.asarray(np.exp(found.x), dtype=np.float64)
