r"""Sparse variational dropout: a dropout rate for every weight, and weights that are nothing but noise.

$$q(w_{ij}) = \mathcal{N}(\theta_{ij}, \sigma_{ij}^2), \qquad p(w_{ij}) \propto 1 / |w_{ij}|, \qquad
\log \alpha_{ij} = \log \sigma_{ij}^2 - \log \theta_{ij}^2$$

The noise is additive: $\theta$ and $\log \sigma^2$ are the parameters, so that the variance of the gradient of
$\theta$ stays bounded as $\alpha$ grows. A weight with a large $\alpha$ is dropped.

| paper | code | shape |
|---|---|---|
| $\theta$ | `layer.weight` | that of the weight |
| $\log \sigma^2$ | `log_sigma2` | that of the weight |
| $\log \alpha$ | `log_alpha()` | that of the weight |

Differs from the papers and their code: the divergence takes $\log \alpha$ as it is, and only `log_alpha()` clips it. A
divergence of the clipped $\log \alpha$ is flat below the clip, where nothing then keeps the variance of a weight from
collapsing; unclipped, it and its gradient are finite everywhere, also at $\theta = 0$. The variance of a weight is
$\sigma^2$, never that of a clipped $\alpha$, and training sets no mean to zero (`train_clip` in the released code).

References:
    | Variational Dropout Sparsifies Deep Neural Networks (Molchanov, Ashukha & Vetrov, 2017)
    | https://arxiv.org/abs/1701.05369v3
    | Variational Dropout and the Local Reparameterization Trick (Kingma, Salimans & Welling, 2015)
    | https://arxiv.org/abs/1506.02557v2
"""

import copy
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from jensen._contracts import check_samples
from jensen._math import HALF_LOG_TWO_PI
from jensen.layers.affine import Affine
from jensen.layers.variational._affine import check_affine, check_input
from jensen.layers.variational._conversion import converted
from jensen.layers.variational._log_variances import clipped_log_alpha, summed_kl_log_uniform, variances
from jensen.layers.variational.closed_forms import local_reparameterization
from jensen.layers.variational.kernels import apply_linearly
from jensen.layers.variational.protocol import Draws

__all__ = ["SparseDropout", "sparsify"]


class SparseDropout(nn.Module):
    r"""A linear layer or a convolution under sparse variational dropout.

    The output is drawn rather than the weights: given the input it is Gaussian with

    $$\mathbb{E}[y] = \theta * x + b, \qquad \mathrm{Var}[y] = \sigma^2 * x^2,$$

    independently for each example (and, in a convolution, for each position). The bias $b$ is a plain parameter and has
    no variance.

    Args:
        layer: `nn.Linear`, `nn.Conv1d`, `nn.Conv2d` or `nn.Conv3d`; its weight is $\theta$. It is kept, not copied.
        threshold: `mask` drops the weights with $\log \alpha$ above it; 3 is a dropout rate of 0.95.
        initial_log_variance: where $\log \sigma^2$ starts.

    Attributes:
        layer: the plain layer, whose weight is the posterior mean.
        log_sigma2: the logarithm of the posterior variance, of the weight's shape.
        deterministic: whether `forward` is the layer at the posterior mean.

    Raises:
        ValueError: if the layer is of another kind, or a weight of it is not finite; if either number is not finite.

    Example:
        >>> layer = SparseDropout(nn.Linear(4, 3))
        >>> layer(torch.zeros(2, 4)).shape, layer.log_alpha().shape
        (torch.Size([2, 3]), torch.Size([3, 4]))

    References:
        | Variational Dropout Sparsifies Deep Neural Networks (Molchanov, Ashukha & Vetrov, 2017), eq. 14
        | https://arxiv.org/abs/1701.05369v3
    """

    layer: Affine

    def __init__(self, layer: nn.Module, *, threshold: float = 3.0, initial_log_variance: float = -10.0) -> None:
        super().__init__()
        plain = check_affine(layer)
        if not (math.isfinite(threshold) and math.isfinite(initial_log_variance)):
            raise ValueError(f"threshold {threshold} and initial_log_variance {initial_log_variance} must be finite")
        self.layer = plain
        self.log_sigma2 = nn.Parameter(torch.full_like(plain.weight, initial_log_variance))
        self.threshold, self.deterministic = threshold, False

    def extra_repr(self) -> str:
        """The threshold."""
        return f"threshold={self.threshold:g}"

    def forward(self, x: Tensor) -> Tensor:
        """The output for `x` with noise, or at the posterior mean where `deterministic`; of the layer's shape."""
        if self.deterministic:
            check_input(self.layer, x)
            output: Tensor = self.layer(x)
            return output
        mean, variance = self.output_moments(x)
        return local_reparameterization(mean, variance, torch.randn_like(mean))

    def output_moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of each entry of the output given `x`, each of the layer's output shape.

        Raises:
            ValueError: if `x` has another number of features or channels than the layer.
        """
        check_input(self.layer, x)
        mean = apply_linearly(self.layer, x, self.layer.weight, self.layer.bias)
        return mean, apply_linearly(self.layer, x.square(), variances(self.log_sigma2), None)

    def log_alpha(self) -> Tensor:
        r"""$\log \sigma^2 - \log \theta^2$, clipped to $[-8, 8]$, of the weight's shape."""
        return clipped_log_alpha(self.layer.weight, self.log_sigma2)

    def kl(self) -> Tensor:
        r"""Divergence from the log-uniform prior in nats, summed over the weights, `()`.

        It is `distributions.kl_log_uniform` of the unclipped $\log \alpha$, zero for a weight of infinite $\alpha$. Its
        gradient is in closed form and cannot be differentiated again.
        """
        return summed_kl_log_uniform(self.layer.weight, self.log_sigma2)

    def posterior_moments(self) -> tuple[Tensor, Tensor]:
        r"""Mean $\theta$ and variance $\sigma^2$ of every weight, each of the weight's shape."""
        return self.layer.weight, variances(self.log_sigma2)

    def mask(self, *, threshold: float | None = None) -> Tensor:
        r"""Which weights stay: those with $\log \alpha$ below the threshold, booleans of the weight's shape."""
        return self.log_alpha().detach() < (self.threshold if threshold is None else threshold)

    def masked(self, *, threshold: float | None = None) -> Affine:
        """A plain layer of the same size, its weights the posterior means that stay and zeros."""
        plain = copy.deepcopy(self.layer)
        with torch.no_grad():
            plain.weight.mul_(self.mask(threshold=threshold))
        return plain

    def draw(self, samples: int) -> Draws:
        """Weights from the posterior, `(samples, *shape)`.

        Raises:
            ValueError: if there is no sample.
        """
        check_samples(samples)
        noise = torch.randn_like(self.log_sigma2.expand(samples, *self.log_sigma2.shape))
        return {"weight": torch.addcmul(self.layer.weight, (0.5 * self.log_sigma2).exp(), noise)}

    def log_prior(self, draws: Mapping[str, Tensor]) -> Tensor:
        """Not there: the log-uniform prior has no density to evaluate.

        Raises:
            ValueError: always.
        """
        raise ValueError("the log-uniform prior is improper and has no log-density; use kl(), which is finite")

    def log_posterior(self, draws: Mapping[str, Tensor]) -> Tensor:
        """Log-density of the weights under the posterior in nats, summed over them, `(samples,)`."""
        noise = (draws["weight"] - self.layer.weight) * torch.exp(-0.5 * self.log_sigma2)
        return -(0.5 * (noise.square() + self.log_sigma2) + HALF_LOG_TWO_PI).flatten(1).sum(1)


def sparsify(
    module: nn.Module,
    *,
    include: str | Sequence[str] = "*",
    exclude: str | Sequence[str] = (),
    threshold: float = 3.0,
    initial_log_variance: float = -10.0,
) -> nn.Module:
    r"""A copy of a module whose linear layers and convolutions are under sparse variational dropout.

    Trained weights stay as means. What is not such a layer, what is a random layer already, and the parts of torch's
    attention and transformer layers stay as they are.

    Args:
        module: any module.
        include: patterns of weights to convert, such as `"features.*"`; they match the full name of the weight.
        exclude: patterns of weights to leave.
        threshold: as for `SparseDropout`.
        initial_log_variance: as for `SparseDropout`.

    Returns:
        The copy; a `SparseDropout` itself where `module` is one layer.

    Raises:
        ValueError: if no weight matches, one is not finite, or one that matches is shared by two layers.

    Example:
        >>> net = sparsify(nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2)), exclude="2.*")
        >>> [type(layer).__name__ for layer in net]
        ['SparseDropout', 'ReLU', 'Linear']

    References:
        | Variational Dropout Sparsifies Deep Neural Networks (Molchanov, Ashukha & Vetrov, 2017)
        | https://arxiv.org/abs/1701.05369v3
    """

    def sparse(layer: nn.Module, place: int) -> SparseDropout:
        return SparseDropout(layer, threshold=threshold, initial_log_variance=initial_log_variance)

    return converted(module, sparse, include=include, exclude=exclude)
