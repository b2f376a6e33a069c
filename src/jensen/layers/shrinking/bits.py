r"""How many bits a weight deserves: digits below the posterior's standard deviation say nothing.

A number with a sign bit, $e$ exponent bits and $m$ mantissa bits, whose largest exponent is $t$, is

$$\pm 2^{E} (1 + f 2^{-m}), \quad t - 2^e + 2 \le E \le t, \qquad \text{or} \qquad \pm 2^{t - 2^e + 2} f 2^{-m},
\quad 0 \le f < 2^m,$$

the second where the exponent's code is zero. Rounding $w$ to the nearest of them errs by at most
$2^{E(w) - m - 1}$, so by no more than $2^{t - m - 1}$ anywhere in the layer. Let $\bar\sigma^2$ be the mean of the
marginal posterior variances over the weights that stay. We want the coarsest format that moves no weight by more than
$\tau \bar\sigma$:

$$t = \lfloor \log_2 \max_i |w_i| \rfloor, \qquad m = \max(0, \lceil t - 1 - \log_2 \tau \bar\sigma \rceil), \qquad
\text{bits} = 1 + e + m.$$

Moving a mean by $\delta$ costs $\delta^2 / 2 \sigma^2$ nats of divergence between the posteriors, so $\tau^2 / 2$ a
weight at most where all variances are alike. The tolerance $\tau$ is 1/2 unless said otherwise, one bit more than a
whole standard deviation: predictions average over the posterior's noise, but there is one rounding only.

The demand is an absolute one, so a single exponent bit is enough: then the spacing $2^{t - m}$ is the same everywhere,
which is fixed point with a sign and $m + 1$ bits. More exponent bits keep small weights more precise than their
uncertainty asks for. Where the format's largest number is further than $\tau \bar\sigma$ from the largest weight, $t$
is one larger, and so is $m$ in fixed point.

References:
    | Bayesian Compression for Deep Learning (Louizos, Ullrich & Welling, 2017), section 2
    | https://arxiv.org/abs/1705.08665v4
"""

import copy
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from jensen.layers.shrinking.masks import masked, posterior_deviations
from jensen.layers.variational import random_layers

__all__ = ["BitFormat", "bit_formats", "bit_precision", "cluster", "round_to_bits"]

MANTISSA = 23


@dataclass(frozen=True)
class BitFormat:
    """A number format with a sign bit.

    Attributes:
        exponent: exponent bits, 1 to 8.
        mantissa: mantissa bits, 0 to 52.
        top: the largest binary exponent.

    Raises:
        ValueError: if a number of bits is out of range.

    Example:
        >>> BitFormat(1, 2, 0).bits, BitFormat(1, 2, 0).round(torch.tensor([0.3, -1.1, 9.0]))
        (4, tensor([ 0.2500, -1.0000,  1.7500]))
    """

    exponent: int
    mantissa: int
    top: int

    def __post_init__(self) -> None:
        if not (1 <= self.exponent <= 8 and 0 <= self.mantissa <= 52):
            raise ValueError(f"{self} is out of range: 1 to 8 exponent bits, 0 to 52 mantissa bits")

    @property
    def bits(self) -> int:
        """All of them, the sign's too."""
        return 1 + self.exponent + self.mantissa

    @property
    def bottom(self) -> int:
        """The smallest exponent of a number with a leading one; below it the spacing stays."""
        return self.top + 2 - (1 << self.exponent)

    def round(self, weights: Tensor) -> Tensor:
        """The nearest numbers of the format, ties to even; what is too large becomes the largest."""
        values = weights.detach().double()
        spacing = torch.ldexp(torch.ones_like(values), self.exponents(values) - self.mantissa)
        largest = math.ldexp(2 - math.ldexp(1.0, -self.mantissa), self.top)
        return (torch.round(values / spacing) * spacing + 0.0).clamp(-largest, largest).to(weights)

    def exponents(self, values: Tensor) -> Tensor:
        """The exponent that each number is written with, integers of its shape."""
        return (torch.frexp(values)[1] - 1).masked_fill(values == 0, self.bottom).clamp(self.bottom, self.top)


def bit_precision(weights: Tensor, deviations: Tensor, *, exponent: int = 1, tolerance: float = 0.5) -> BitFormat:
    r"""The coarsest format whose rounding moves no weight by more than a share of the posterior standard deviation.

    Args:
        weights: of one layer; zeros are taken as pruned.
        deviations: their marginal posterior standard deviations, of the same shape; $\bar\sigma$ is their root mean
            square over the weights that are not zero.
        exponent: exponent bits, 1 for fixed point.
        tolerance: $\tau$, the share of $\bar\sigma$ that a weight may move.

    Returns:
        The format; no more than 23 mantissa bits, those of float32, whatever the deviations.

    Raises:
        ValueError: if the shapes differ, a number is not finite, a deviation is negative, or the tolerance is not
            positive.

    Example:
        >>> bit_precision(torch.tensor([1.5, -0.2, 0.0]), torch.full((3,), 0.1)).bits
        6

    References:
        | Bayesian Compression for Deep Learning (Louizos, Ullrich & Welling, 2017), section 2
        | https://arxiv.org/abs/1705.08665v4
    """
    if weights.shape != deviations.shape:
        raise ValueError(f"weights and deviations have shapes {tuple(weights.shape)} and {tuple(deviations.shape)}")
    if not (weights.isfinite().all() and deviations.isfinite().all() and (deviations >= 0).all()) or tolerance <= 0:
        raise ValueError("weights and deviations must be finite, deviations not negative, and the tolerance positive")
    kept = weights != 0
    if not kept.any():
        return BitFormat(exponent, 0, 0)
    largest = weights.detach().abs().max().item()
    deviation = tolerance * deviations.detach()[kept].double().square().mean().sqrt().item()
    top = math.frexp(largest)[1] - 1
    mantissa = MANTISSA if deviation == 0 else max(0, math.ceil(top - 1 - math.log2(deviation)))
    if mantissa < MANTISSA and largest - math.ldexp(2 - math.ldexp(1.0, -mantissa), top) > deviation:
        top, mantissa = top + 1, mantissa + (exponent == 1)
    return BitFormat(exponent, min(mantissa, MANTISSA), top)


def bit_formats(
    net: nn.Module, plain: nn.Module | None = None, *, exponent: int = 1, tolerance: float = 0.5
) -> dict[str, BitFormat]:
    """The format of each random layer's weight, by the layer's name, from the posterior over the weights that stay.

    Args:
        net: a network with random layers.
        plain: its masked network, if not `masked(net)`.
        exponent: as for `bit_precision`.
        tolerance: as for `bit_precision`.

    Raises:
        ValueError: if `net` has no random layer, one within another, or one that does not know its posterior's standard
            deviations.
    """
    _check_apart(list(random_layers(net)))
    plain = masked(net) if plain is None else plain
    return {
        name: bit_precision(
            plain.get_submodule(name).get_parameter("weight"),
            posterior_deviations(layer)["weight"],
            exponent=exponent,
            tolerance=tolerance,
        )
        for name, layer in random_layers(net).items()
        if "weight" in posterior_deviations(layer)
    }


def round_to_bits(net: nn.Module, formats: Mapping[str, BitFormat]) -> nn.Module:
    """A copy of a plain network with the weights of the named layers rounded; biases stay.

    Args:
        net: a plain network, such as `masked` returns.
        formats: for names of layers the format of their weights.

    Raises:
        ValueError: if a name is of no layer with a weight.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Linear(2, 8))
        >>> round_to_bits(net, {"0": BitFormat(1, 0, -1)})[0].weight.unique()
        tensor([-0.5000,  0.0000,  0.5000], grad_fn=<Unique2Backward0>)

    References:
        | Bayesian Compression for Deep Learning (Louizos, Ullrich & Welling, 2017), section 2
        | https://arxiv.org/abs/1705.08665v4
    """
    new = copy.deepcopy(net)
    with torch.no_grad():
        for name, weight in _weights(new, formats).items():
            weight.copy_(formats[name].round(weight))
    return new


def cluster(net: nn.Module, *, clusters: int = 32) -> nn.Module:
    r"""A copy of a plain network whose weights take few values: k-means in each layer, zeros apart.

    Lloyd's iteration in one dimension from evenly spaced centres, until no weight changes its centre.

    Args:
        net: a plain network.
        clusters: how many values a layer's weights may take beside zero.

    Raises:
        ValueError: if there are fewer than one.

    References:
        | Bayesian Compression for Deep Learning (Louizos, Ullrich & Welling, 2017), section 5
        | https://arxiv.org/abs/1705.08665v4
        | Deep Compression (Han, Mao & Dally, 2016), section 3
        | https://arxiv.org/abs/1510.00149v5
    """
    if clusters < 1:
        raise ValueError(f"clusters is {clusters}; a layer needs at least one value")
    new = copy.deepcopy(net)
    with torch.no_grad():
        for module in new.modules():
            weight = getattr(module, "weight", None)
            if isinstance(weight, nn.Parameter) and weight.ndim > 1 and weight.any():
                kept = weight != 0
                weight[kept] = _k_means(weight[kept].double(), clusters).to(weight)
    return new


def _k_means(values: Tensor, clusters: int) -> Tensor:
    """Each value's centre. In order, the values of a centre are neighbours, so sums over them are differences."""
    ordered = values.sort().values
    sums = torch.cat([ordered.new_zeros(1), ordered.cumsum(0)])
    centres = torch.linspace(0, 1, clusters, dtype=values.dtype, device=values.device)
    centres = ordered[0] + centres * (ordered[-1] - ordered[0])
    before = None
    while True:
        middles = (centres[1:] + centres[:-1]) / 2
        inner = torch.searchsorted(ordered, middles)
        ends = torch.cat([inner.new_zeros(1), inner, inner.new_full((1,), len(values))])
        if before is not None and torch.equal(ends, before):
            return centres[torch.bucketize(values, middles)]
        counts = ends.diff()
        centres = torch.where(counts > 0, (sums[ends[1:]] - sums[ends[:-1]]) / counts.clamp_min(1), centres)
        before = ends


def _check_apart(names: list[str]) -> None:
    """Refuse a random layer within another: its weight has two posteriors, and no place of its own afterwards."""
    for inner, outer in itertools.permutations(names, 2):
        if not outer or inner.startswith(f"{outer}."):
            raise ValueError(f"random layer {inner!r} is within random layer {outer!r}; make only one of them random")


def _weights(net: nn.Module, formats: Mapping[str, BitFormat]) -> dict[str, nn.Parameter]:
    found = {}
    modules = dict(net.named_modules())
    for name in formats:
        weight = getattr(modules.get(name), "weight", None)
        if not isinstance(weight, nn.Parameter):
            raise ValueError(f"no layer {name!r} with a weight to round")
        found[name] = weight
    return found
