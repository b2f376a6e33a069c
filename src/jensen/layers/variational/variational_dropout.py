r"""Variational dropout: Gaussian dropout whose rates are learned, as a posterior over weights.

$$w_{ij} = \theta_{ij} \xi_{ij}, \qquad \xi_{ij} \sim \mathcal{N}(1, \alpha), \qquad
q(w_{ij}) = \mathcal{N}(\theta_{ij}, \alpha \theta_{ij}^2)$$

What is random decides what the divergence counts, and how fine the rates can be:

| noise | random, under the log-uniform prior | divergence | rates |
|---|---|---|---|
| `"independent"`, type B | each weight $w_{ij}$ | $\sum_{ij} \mathrm{KL}(\alpha_{ij})$ | layer, neuron, weight |
| `"correlated"`, type A | a scale $s_i$, $w_{ij} = s_i \theta_{ij}$ | $\sum_i \mathrm{KL}(\alpha_i)$ | layer, neuron |

Of the second the weights of an input lie on a line through $\theta_i$, whose direction is a parameter without a prior.
Their joint posterior has no density, and a sum over weights would count each scale once for every output that it has.
The marginal posterior of one weight is the same in both.

| paper | code | shape |
|---|---|---|
| $\theta$ | `layer.weight` | that of the weight |
| $\log \alpha$ | `log_alpha()` | `()`, `(inputs,)` or that of the weight |

Differs from the paper: $\alpha$ stays below its limit by a sigmoid, where the paper cuts it off; the divergence is
Molchanov's approximation unless the paper's cubic is asked for; and it has its whole weight unless `fit` is told
otherwise, where the paper's best results scale it down.

References:
    | Variational Dropout and the Local Reparameterization Trick (Kingma, Salimans & Welling, 2015), section 3
    | https://arxiv.org/abs/1506.02557v2
"""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from jensen._contracts import check_samples
from jensen._math import HALF_LOG_TWO_PI
from jensen._names import check_choice
from jensen.distributions import kl_log_uniform, kl_log_uniform_cubic, kl_log_uniform_exact
from jensen.layers.affine import Affine
from jensen.layers.variational._affine import check_affine, check_input, spatial_axes
from jensen.layers.variational._conversion import converted
from jensen.layers.variational.closed_forms import local_reparameterization
from jensen.layers.variational.kernels import apply_linearly, sign_shapes
from jensen.layers.variational.protocol import Draws

__all__ = ["VariationalDropout", "variational_dropout"]

DIVERGENCES: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": kl_log_uniform,
    "cubic": kl_log_uniform_cubic,
    "exact": kl_log_uniform_exact,
}
RATES, NOISES = ("layer", "neuron", "weight"), ("independent", "correlated")


class VariationalDropout(nn.Module):
    r"""A linear layer or a convolution under variational dropout, with learned dropout rates.

    Independent noise is drawn in the outputs (local reparameterisation), which given the input are Gaussian with

    $$\mathbb{E}[y] = \theta * x + b, \qquad \mathrm{Var}[y] = (\alpha \theta^2) * x^2 .$$

    Correlated noise multiplies the inputs, $y = \theta * (x \circ s) + b$, with one $s_i \sim \mathcal{N}(1, \alpha_i)$
    for each input neuron, or input channel of a convolution, and each example; the outputs of an example are together
    those of one draw of the weights. The bias $b$ is a plain parameter. Dropout with probability $p$ has
    $\alpha = p / (1 - p)$.

    Args:
        layer: `nn.Linear`, `nn.Conv1d`, `nn.Conv2d` or `nn.Conv3d`; its weight is $\theta$. It is kept, not copied.
        rate: one $\alpha$ for the `"layer"`, for each input `"neuron"` (or channel), or, of independent noise, for each
            `"weight"`; there, without a limit, `SparseDropout` has the quieter gradient.
        noise: `"independent"` for each weight, the paper's type B, or `"correlated"`: one for each input, type A.
        initial_alpha: where $\alpha$ starts.
        maximum_alpha: $\alpha = \bar\alpha \, \mathrm{sigmoid}(\rho)$ stays below it. 1, a dropout probability of 1/2,
            is the paper's; more, or None for no limit, lets a layer, a neuron or a weight become nothing but noise.
        divergence: `"sigmoid"`, `distributions.kl_log_uniform`; the paper's `"cubic"`, for a limit of 1 or less; or
            `"exact"`, which holds 192 numbers for each rate.

    Attributes:
        layer: the plain layer, whose weight is the posterior mean.
        free: $\rho$, or $\log \alpha$ without a limit, in the shape of the rates.
        deterministic: whether `forward` is the layer at the posterior mean.

    Raises:
        ValueError: if the layer is of another kind, or a weight of it is not finite; if a word is unknown, or rates of
            weights are asked of correlated noise; if a number is not positive and finite, the start is not below the
            limit, or the limit too high for the cubic.

    Example:
        >>> layer = VariationalDropout(nn.Linear(4, 3), rate="neuron", noise="correlated", initial_alpha=0.25)
        >>> layer(torch.zeros(2, 4)).shape, layer.log_alpha().exp()
        (torch.Size([2, 3]), tensor([0.2500, 0.2500, 0.2500, 0.2500], grad_fn=<ExpBackward0>))

    References:
        | Variational Dropout and the Local Reparameterization Trick (Kingma, Salimans & Welling, 2015), section 3
        | https://arxiv.org/abs/1506.02557v2
    """

    layer: Affine

    def __init__(
        self,
        layer: nn.Module,
        *,
        rate: str = "layer",
        noise: str = "independent",
        initial_alpha: float = 0.25,
        maximum_alpha: float | None = 1.0,
        divergence: str = "sigmoid",
    ) -> None:
        super().__init__()
        plain = check_affine(layer)
        check_choice("rate", rate, RATES)
        check_choice("noise", noise, NOISES)
        check_choice("divergence", divergence, DIVERGENCES)
        if (rate, noise) == ("weight", "correlated"):
            raise ValueError("correlated noise is the same for all weights of an input; take rate 'neuron' or 'layer'")
        _check_numbers(initial_alpha, maximum_alpha, divergence)
        self.layer, self.rate, self.noise = plain, rate, noise
        self.maximum_alpha, self.divergence = maximum_alpha, divergence
        shapes = {"layer": (), "neuron": (_inputs(plain),), "weight": tuple(plain.weight.shape)}
        self.free = nn.Parameter(plain.weight.new_full(shapes[rate], _free(initial_alpha, maximum_alpha)))
        self.deterministic = False

    def extra_repr(self) -> str:
        """The rates, the noise, their limit and the divergence."""
        limit = None if self.maximum_alpha is None else f"{self.maximum_alpha:g}"
        return f"rate={self.rate!r}, noise={self.noise!r}, maximum_alpha={limit}, divergence={self.divergence!r}"

    def forward(self, x: Tensor) -> Tensor:
        """The output for `x` with noise, or at the posterior mean where `deterministic`; of the layer's shape."""
        check_input(self.layer, x)
        if self.deterministic:
            output: Tensor = self.layer(x)
            return output
        weight, bias = self.layer.weight, self.layer.bias
        if self.noise == "correlated":
            noise = torch.randn(sign_shapes(self.layer, x)[0], dtype=weight.dtype, device=weight.device)
            return apply_linearly(self.layer, x * self._scales(noise, axes=spatial_axes(self.layer)), weight, bias)
        mean = apply_linearly(self.layer, x, weight, bias)
        variance = apply_linearly(self.layer, x.square(), self.posterior_moments()[1], None)
        return local_reparameterization(mean, variance, torch.randn_like(mean))

    def log_alpha(self) -> Tensor:
        r"""$\log \alpha$ of the layer, `()`, of each input, `(inputs,)`, or of each weight, in the weight's shape."""
        return self.free if self.maximum_alpha is None else math.log(self.maximum_alpha) + logsigmoid(self.free)

    def kl(self) -> Tensor:
        """Divergence from the log-uniform prior in nats, summed over the weights, or the scales of the inputs, `()`."""
        random = self.layer.weight.numel() if self.noise == "independent" else _inputs(self.layer)
        return DIVERGENCES[self.divergence](self.log_alpha()).sum() * (random / self.free.numel())

    def posterior_moments(self) -> tuple[Tensor, Tensor]:
        r"""Mean $\theta$ and variance $\alpha \theta^2$ of the marginal of every weight, each of the weight's shape."""
        theta = self.layer.weight
        return theta, self._by_weight(self.log_alpha().exp()) * theta.square()

    def draw(self, samples: int) -> Draws:
        """Weights from the posterior, `(samples, *shape)`.

        Raises:
            ValueError: if there is no sample.
        """
        check_samples(samples)
        theta = self.layer.weight
        shape = theta.shape if self.noise == "independent" else (_inputs(self.layer),)
        noise = torch.randn((samples, *shape), dtype=theta.dtype, device=theta.device)
        if self.noise == "independent":
            return {"weight": theta * (1 + self._by_weight((0.5 * self.log_alpha()).exp()) * noise)}
        return {"weight": theta * self._of_inputs(self._scales(noise, axes=0))}

    def log_prior(self, draws: Mapping[str, Tensor]) -> Tensor:
        """Not there: the log-uniform prior has no density to evaluate.

        Raises:
            ValueError: always.
        """
        raise ValueError("the log-uniform prior is improper and has no log-density; use kl(), which is finite")

    def log_posterior(self, draws: Mapping[str, Tensor]) -> Tensor:
        """Log-density of the weights under independent noise in nats, summed over them, `(samples,)`.

        Raises:
            ValueError: if the noise is correlated, or a mean is zero: then the weights have no density.
        """
        if self.noise == "correlated":
            raise ValueError("weights with a scale in common lie on a line and have no density; use kl()")
        theta, log_alpha = self.layer.weight, self.log_alpha()
        if not bool(theta.all()):
            raise ValueError("a weight whose mean is 0 has no variance and no density; use kl()")
        noise = (draws["weight"] / theta - 1) * self._by_weight((-0.5 * log_alpha).exp())
        log_variance = self._by_weight(log_alpha) + theta.square().log()
        return -(0.5 * (noise.square() + log_variance) + HALF_LOG_TWO_PI).flatten(1).sum(1)

    def _scales(self, noise: Tensor, *, axes: int) -> Tensor:
        """$s$ of standard normal noise `(*batch, inputs, ...)`, with so many axes after the inputs."""
        deviations = (0.5 * self.log_alpha()).exp().reshape(-1, *[1] * axes)
        return 1 + deviations * noise

    def _by_weight(self, rates: Tensor) -> Tensor:
        """What each rate has, so that it broadcasts with the weight."""
        return self._of_inputs(rates) if self.rate == "neuron" else rates

    def _of_inputs(self, values: Tensor) -> Tensor:
        """One value for each input, `(*K, inputs)`, so that it broadcasts with the weight `(*K, *shape)`."""
        weight, groups = self.layer.weight, getattr(self.layer, "groups", 1)
        outputs, inputs = weight.shape[:2]
        each = values.reshape(*values.shape[:-1], groups, 1, inputs)
        rows = each.expand(*values.shape[:-1], groups, outputs // groups, inputs)
        return rows.reshape(*values.shape[:-1], outputs, inputs, *[1] * spatial_axes(self.layer))


def variational_dropout(
    module: nn.Module,
    *,
    include: str | Sequence[str] = "*",
    exclude: str | Sequence[str] = (),
    rate: str = "layer",
    noise: str = "independent",
    initial_alpha: float = 0.25,
    maximum_alpha: float | None = 1.0,
    divergence: str = "sigmoid",
) -> nn.Module:
    r"""A copy of a module whose linear layers and convolutions are under variational dropout with learned rates.

    Trained weights stay as means. What is not such a layer, what is a random layer already, and the parts of torch's
    attention and transformer layers stay as they are; so does a `nn.Dropout`, whose noise would come on top.

    Args:
        module: any module.
        include: patterns of weights to convert, such as `"features.*"`; they match the full name of the weight.
        exclude: patterns of weights to leave.
        rate: as for `VariationalDropout`, as are the next words and numbers.
        noise: of each weight, or of each input.
        initial_alpha: where the rates start.
        maximum_alpha: their limit.
        divergence: which approximation.

    Returns:
        The copy; a `VariationalDropout` itself where `module` is one layer.

    Raises:
        ValueError: if no weight matches, one is not finite, or one that matches is shared by two layers.

    Example:
        >>> net = variational_dropout(nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2)), exclude="2.*")
        >>> [type(layer).__name__ for layer in net]
        ['VariationalDropout', 'ReLU', 'Linear']

    References:
        | Variational Dropout and the Local Reparameterization Trick (Kingma, Salimans & Welling, 2015)
        | https://arxiv.org/abs/1506.02557v2
    """

    def noisy(layer: nn.Module, place: int) -> VariationalDropout:
        return VariationalDropout(
            layer,
            rate=rate,
            noise=noise,
            initial_alpha=initial_alpha,
            maximum_alpha=maximum_alpha,
            divergence=divergence,
        )

    return converted(module, noisy, include=include, exclude=exclude)


def _inputs(layer: Affine) -> int:
    return layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels


def _free(alpha: float, maximum: float | None) -> float:
    return math.log(alpha) if maximum is None else math.log(alpha) - math.log(maximum - alpha)


def _check_numbers(initial: float, maximum: float | None, divergence: str) -> None:
    limit = math.inf if maximum is None else maximum
    if not 0 < initial < limit or maximum == math.inf:
        numbers = f"initial_alpha is {initial} and maximum_alpha {maximum}"
        raise ValueError(f"{numbers}; the first lies between 0 and the second, which is finite, or None for no limit")
    if divergence == "cubic" and limit > 1:
        raise ValueError(
            f"the cubic holds for alpha up to 1, maximum_alpha is {maximum}; take 'sigmoid' or a limit of 1"
        )
