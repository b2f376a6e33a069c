r"""Bayesian compression: scales that groups of weights share, and groups that can be cut out.

$$w_{ij} = z_i \tilde w_{ij}, \qquad q(\tilde w_{ij}) = \mathcal{N}(\mu_{ij}, \sigma_{ij}^2), \qquad
p(\tilde w_{ij}) = \mathcal{N}(0, 1)$$

so that $q(w_{ij} \mid z_i) = \mathcal{N}(z_i \mu_{ij}, z_i^2 \sigma_{ij}^2)$ and $p(w_{ij} \mid z_i) =
\mathcal{N}(0, z_i^2)$. A group is an input neuron of a linear layer, an output filter of a convolution. The divergence
has two terms, and the first does not depend on $z$, since both Gaussians scale with it:

$$\mathrm{KL} = \frac{1}{2} \sum_{ij} \left( \sigma_{ij}^2 + \mu_{ij}^2 - 1 - \log \sigma_{ij}^2 \right)
+ \mathrm{KL}(q(z) \,\|\, p(z))$$

The second is that of `NormalJeffreysScales` (BC-GNJ) or of `HorseshoeScales` (BC-GHS).

| paper | code | shape |
|---|---|---|
| $\mu_W$ | `layer.weight` | that of the weight |
| $\log \sigma_W^2$ | `log_sigma2` | that of the weight |
| $z$ | `scales` | one for each of the $G$ groups |
| $\log \alpha$ | `group_log_alpha()` | `(G,)` |

Differs from the authors' published code, which has the normal-Jeffreys prior alone. Its convolutions take the
divergence of weights whose standard deviation, not variance, is $\sigma^2$; here, as in the paper, theirs is that of
linear layers. Its bias is random with a standard normal prior; here it is a plain parameter without variance. It cuts
variances down to their limit after each step; here a variance above its limit enters as the limit, and a gradient can
only lower it. Its scales and log-variances start from noise around 1 and -9, here at these values. The global scale of
the horseshoe is one variable, so here one draw of it serves all groups of an example.

References:
    | Bayesian Compression for Deep Learning (Louizos, Ullrich & Welling, 2017)
    | https://arxiv.org/abs/1705.08665v4
"""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from jensen._contracts import check_samples
from jensen.layers.affine import Affine
from jensen.layers.variational._affine import check_affine, check_input, spatial_axes
from jensen.layers.variational._conversion import converted
from jensen.layers.variational._log_variances import variances
from jensen.layers.variational.closed_forms import kl_of_log_scale, local_reparameterization
from jensen.layers.variational.group_scales import HorseshoeScales, NormalJeffreysScales
from jensen.layers.variational.kernels import apply_linearly
from jensen.layers.variational.protocol import Draws

__all__ = ["GroupSparse", "compressible"]

NO_DENSITY = "the weights of a group are dependent through their scale and have no log-density in closed form; use kl()"


class GroupSparse(nn.Module):
    r"""A linear layer or a convolution whose weights share a random scale in each group.

    Hierarchical local reparameterisation: for each example the scales $z$ are drawn, then the outputs, which are
    Gaussian given $z$. In a linear layer, with its inputs as groups, and in a convolution, with its filters as groups,

    $$y \mid z \sim \mathcal{N}(\mu (x \circ z) + b, \; \sigma^2 (x \circ z)^2), \qquad
    y \mid z \sim \mathcal{N}(z \circ (\mu * x) + b, \; z^2 \circ (\sigma^2 * x^2))$$

    Unlike in other random layers, the plain layer's weight is not the posterior mean of $w$ but that of $\tilde w$; all
    scales begin at 1. `posterior_moments` has the marginal of $w$.

    Args:
        layer: `nn.Linear`, `nn.Conv1d`, `nn.Conv2d` or `nn.Conv3d`. It is kept, not copied.
        prior: of the scales, `"normal_jeffreys"` or `"horseshoe"`.
        threshold: `group_mask` drops the groups with $\log \alpha$ above it.
        initial_log_variance: where the logarithms of all variances start.
        global_scale: $\tau_0$, the median of the horseshoe's global scale; the other prior has none.
        maximum_variance: a limit of $\sigma_{ij}^2$, for first layers.

    Attributes:
        layer: the plain layer, whose weight is $\mu$.
        log_sigma2: the logarithm of $\sigma^2$, of the weight's shape.
        scales: the posterior of the scales.
        deterministic: whether `forward` is the layer at the posterior mean of $w$.

    Raises:
        ValueError: if the layer is of another kind, a weight of it is not finite, the prior is unknown, or a number is
            not what its name says.

    Example:
        >>> layer = GroupSparse(nn.Linear(4, 3), prior="horseshoe")
        >>> layer(torch.zeros(2, 4)).shape, layer.group_log_alpha().shape
        (torch.Size([2, 3]), torch.Size([4]))

    References:
        | Bayesian Compression for Deep Learning (Louizos, Ullrich & Welling, 2017), section 4
        | https://arxiv.org/abs/1705.08665v4
    """

    layer: Affine
    scales: NormalJeffreysScales | HorseshoeScales

    def __init__(
        self,
        layer: nn.Module,
        *,
        prior: str = "normal_jeffreys",
        threshold: float = -3.0,
        initial_log_variance: float = -9.0,
        global_scale: float = 1e-5,
        maximum_variance: float | None = None,
    ) -> None:
        super().__init__()
        plain = check_affine(layer)
        if not (math.isfinite(threshold) and math.isfinite(initial_log_variance)):
            raise ValueError(f"threshold {threshold} and initial_log_variance {initial_log_variance} must be finite")
        if maximum_variance is not None and not 0 < maximum_variance < math.inf:
            raise ValueError(f"maximum_variance is {maximum_variance}; give a positive number or None")
        self.layer = plain
        self.log_sigma2 = nn.Parameter(torch.full_like(plain.weight, initial_log_variance))
        groups = plain.weight.shape[self._group_axis]
        if prior == "normal_jeffreys":
            scales: nn.Module = NormalJeffreysScales(groups, initial_log_variance=initial_log_variance)
        elif prior == "horseshoe":
            scales = HorseshoeScales(groups, global_scale=global_scale, initial_log_variance=initial_log_variance)
        else:
            raise ValueError(f"prior is {prior!r}; give 'normal_jeffreys' or 'horseshoe'")
        self.scales = scales.to(plain.weight)  # type: ignore[assignment]
        self.prior, self.threshold, self.maximum_variance = prior, threshold, maximum_variance
        self.deterministic = False

    def extra_repr(self) -> str:
        """The prior and the threshold."""
        limit = "" if self.maximum_variance is None else f", maximum_variance={self.maximum_variance:g}"
        return f"prior={self.prior!r}, threshold={self.threshold:g}{limit}"

    @property
    def _group_axis(self) -> int:
        return 1 if isinstance(self.layer, nn.Linear) else 0

    def forward(self, x: Tensor) -> Tensor:
        """The output for `x` with noise, or at the posterior mean where `deterministic`; of the layer's shape."""
        if self.deterministic:
            mean, _ = self.scales.moments()
            return self._mean(x, mean)
        single = x.ndim == 1 + spatial_axes(self.layer)
        noise = torch.randn(
            (self.scales.noise_size,) if single else (x.shape[0], self.scales.noise_size),
            dtype=self.log_sigma2.dtype,
            device=self.log_sigma2.device,
        )
        mean, variance = self.output_moments(x, self.scales.from_noise(noise))
        return local_reparameterization(mean, variance, torch.randn_like(mean))

    def output_moments(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of each entry of the output given `x` and the scales, each of the layer's output shape.

        Args:
            x: the input.
            z: the scales of each example, `(B, G)`, or of all, `(G,)`.

        Raises:
            ValueError: if `x` or `z` has another number of features, channels or groups than the layer.
        """
        check_input(self.layer, x)
        sigma2 = variances(self._log_variances())
        z = self._beside(x, z)
        if isinstance(self.layer, nn.Linear):
            scaled = x * z
            mean = apply_linearly(self.layer, scaled, self.layer.weight, self.layer.bias)
            return mean, apply_linearly(self.layer, scaled.square(), sigma2, None)
        mean = apply_linearly(self.layer, x, self.layer.weight, None) * z
        variance = apply_linearly(self.layer, x.square(), sigma2, None) * z.square()
        return (mean if self.layer.bias is None else mean + self._by_filter(self.layer.bias)), variance

    def _mean(self, x: Tensor, z: Tensor) -> Tensor:
        check_input(self.layer, x)
        return apply_linearly(self.layer, x, self.layer.weight * self._by_group(z), self.layer.bias)

    def _log_variances(self) -> Tensor:
        if self.maximum_variance is None:
            return self.log_sigma2
        limited: Tensor = _AtMost.apply(self.log_sigma2, math.log(self.maximum_variance))  # type: ignore[no-untyped-call]
        return limited

    def _beside(self, x: Tensor, z: Tensor) -> Tensor:
        """The scales with axes to multiply the input of a linear layer, the output of a convolution."""
        groups = self.layer.weight.shape[self._group_axis]
        if z.ndim not in (1, 2) or z.shape[-1] != groups:
            raise ValueError(f"the scales have shape {tuple(z.shape)}; expected (B, {groups}) or ({groups},)")
        if isinstance(self.layer, nn.Linear):
            return z if z.ndim == 1 else z.view(len(z), *[1] * (x.ndim - 2), groups)
        return self._by_filter(z)

    def _by_filter(self, values: Tensor) -> Tensor:
        return values.view(*values.shape, *[1] * spatial_axes(self.layer))

    def _by_group(self, values: Tensor) -> Tensor:
        """`(*K, G)` with axes to multiply the weight."""
        after = self.layer.weight.ndim - 1 - self._group_axis
        return values.view(*values.shape[:-1], *[1] * self._group_axis, values.shape[-1], *[1] * after)

    def kl(self) -> Tensor:
        """Divergence from the prior in nats, summed over weights and scales, `()`."""
        return kl_of_log_scale(self.layer.weight, 0.5 * self._log_variances(), prior_scale=1.0) + self.scales.kl()

    def group_log_alpha(self) -> Tensor:
        r"""$\log \mathrm{Var}[z_i] - \log \mathbb{E}[z_i]^2$ of the marginal of every scale, `(G,)`."""
        return self.scales.log_alpha()

    def posterior_moments(self) -> tuple[Tensor, Tensor]:
        r"""Mean and variance of the marginal of every weight, each of the weight's shape.

        $$\mathbb{E}[w] = \mathbb{E}[z] \mu, \qquad
        \mathrm{Var}[w] = \mathrm{Var}[z] (\mu^2 + \sigma^2) + \mathbb{E}[z]^2 \sigma^2$$
        """
        mean, variance = (self._by_group(each) for each in self.scales.moments())
        mu, sigma2 = self.layer.weight, variances(self._log_variances())
        return mean * mu, variance * (mu.square() + sigma2) + mean.square() * sigma2

    def group_mask(self, *, threshold: float | None = None) -> Tensor:
        r"""Which groups stay: those with $\log \alpha$ below the threshold, booleans `(G,)`."""
        return self.group_log_alpha().detach() < (self.threshold if threshold is None else threshold)

    def mask(self, *, threshold: float | None = None) -> Tensor:
        """Which weights stay, those of groups that stay: booleans of the weight's shape."""
        return self._by_group(self.group_mask(threshold=threshold)).expand_as(self.layer.weight)

    def masked(self, *, threshold: float | None = None) -> Affine:
        """A plain layer of the same size, its weights the posterior means of groups that stay and zeros."""
        plain = copy.deepcopy(self.layer)
        with torch.no_grad():
            plain.weight.copy_(self.posterior_moments()[0] * self.mask(threshold=threshold))
        return plain

    def draw(self, samples: int) -> Draws:
        r"""Weights from the posterior, first the scales and then $w$, `(samples, *shape)`.

        Raises:
            ValueError: if there is no sample.
        """
        check_samples(samples)
        noise = torch.randn_like(self.log_sigma2.expand(samples, *self.log_sigma2.shape))
        groups = torch.randn((samples, self.scales.noise_size), dtype=noise.dtype, device=noise.device)
        sigma = (0.5 * self._log_variances()).exp()
        return {"weight": self._by_group(self.scales.from_noise(groups)) * (self.layer.weight + sigma * noise)}

    def log_prior(self, draws: Mapping[str, Tensor]) -> Tensor:
        """Not there: the weights of a group have no log-density in closed form.

        Raises:
            ValueError: always.
        """
        raise ValueError(NO_DENSITY)

    def log_posterior(self, draws: Mapping[str, Tensor]) -> Tensor:
        """Not there: the weights of a group have no log-density in closed form.

        Raises:
            ValueError: always.
        """
        raise ValueError(NO_DENSITY)


def compressible(
    module: nn.Module,
    *,
    prior: str = "normal_jeffreys",
    include: str | Sequence[str] = "*",
    exclude: str | Sequence[str] = (),
    threshold: float = -3.0,
    initial_log_variance: float = -9.0,
    global_scale: float = 1e-5,
    maximum_first_variance: float | None = None,
) -> nn.Module:
    r"""A copy of a module whose linear layers and convolutions have weights with a random scale for each group.

    Trained weights stay as means. What is not such a layer, what is a random layer already, and the parts of torch's
    attention and transformer layers stay as they are.

    Args:
        module: any module.
        prior: as for `GroupSparse`, as are the next numbers.
        include: patterns of weights to convert, such as `"features.*"`; they match the full name of the weight.
        exclude: patterns of weights to leave.
        threshold: of $\log \alpha$ of a group.
        initial_log_variance: where the logarithms of all variances start.
        global_scale: $\tau_0$ of the horseshoe.
        maximum_first_variance: a limit of the variances in the first converted layer; the authors take 0.04.

    Returns:
        The copy; a `GroupSparse` itself where `module` is one layer.

    Raises:
        ValueError: if no weight matches, one is not finite, or one that matches is shared by two layers.

    Example:
        >>> net = compressible(nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2)), maximum_first_variance=0.04)
        >>> [type(layer).__name__ for layer in net]
        ['GroupSparse', 'ReLU', 'GroupSparse']

    References:
        | Bayesian Compression for Deep Learning (Louizos, Ullrich & Welling, 2017)
        | https://arxiv.org/abs/1705.08665v4
    """

    def grouped(layer: nn.Module, place: int) -> GroupSparse:
        return GroupSparse(
            layer,
            prior=prior,
            threshold=threshold,
            initial_log_variance=initial_log_variance,
            global_scale=global_scale,
            maximum_variance=maximum_first_variance if place == 0 else None,
        )

    return converted(module, grouped, include=include, exclude=exclude)


class _AtMost(torch.autograd.Function):
    """The smaller of each entry and a limit; beyond the limit only a gradient that leads back passes."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, limit: float) -> Tensor:
        return x.clamp_max(limit)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.limit = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return gradient * ((x <= ctx.limit) | (gradient > 0)), None
