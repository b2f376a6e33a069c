r"""Structured prediction: the lower half of an image from the upper half, through layers of random discrete units.

Expectation: $\log p(y \mid x) = \log \mathbb{E}_{p(h \mid x)}[p(y \mid h^L)]$, bounded by `bounds.iwae` at every number
of draws of the units.

$$p(y \mid x) = \sum_{h^1, \ldots, h^L} p(h^1 \mid x) \, p(h^2 \mid h^1) \cdots p(h^L \mid h^{L-1}) \, p(y \mid h^L)$$

One draw gives $\mathbb{E}[\log p(y \mid h^L)]$, the objective of the papers. It is a nest of expectations, one for each
layer, and an estimator is put into each:

$$f_L(h^L) = -\log p(y \mid h^L), \qquad f_l(h^l) = \mathbb{E}_{p(h^{l+1} \mid h^l)}[f_{l+1}(h^{l+1})], \qquad
-\mathcal{L} = \mathbb{E}_{p(h^1 \mid x)}[f_1(h^1)]$$

| paper | code | shape |
|---|---|---|
| $x$, the upper half | `split(image)[0]` | `(B, upper)` |
| $y$, the lower half | `split(image)[1]` | `(B, pixels - upper)` |
| $h^1, \ldots, h^L$ | `h` | `(K, B, N)` or `(K, B, N, C)` |
| $p(h^l \mid h^{l-1})$ | `layers[l - 1]` | event `(N,)` or `(N, C)` |
| $p(y \mid h^L)$ | `likelihood(h)` | batch `(K, B)`, event `(pixels - upper,)` |

Differs from the papers: every method takes whole images, so that data, training and evaluation are those of the other
models; the estimators draw K times in each layer, $K^L$ times in all.

References:
    | Techniques for Learning Binary Stochastic Feedforward Neural Networks (Raiko et al., 2015)
    | https://arxiv.org/abs/1406.2989
    | Categorical Reparameterization with Gumbel-Softmax (Jang, Gu & Poole, 2017), section 4.1
    | https://arxiv.org/abs/1611.01144v5
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from jensen._contracts import LogWeights
from jensen.gradients.score_function import score_function
from jensen.layers import DiscreteMLP, check_observations

__all__ = ["StructuredPredictor"]

Cost = Callable[[Tensor], Tensor]
Estimator = Callable[[Cost, Distribution], Tensor]


class StructuredPredictor(nn.Module):
    r"""A stochastic feedforward network from the first pixels of an image to the others.

    Its posterior is its prior: what is drawn is drawn from $p(h \mid x)$, and `kl` is zero.

    Args:
        layers: $p(h^1 \mid x), p(h^2 \mid h^1), \ldots$, each a `layers.DiscreteMLP`.
        decoder: $p(y \mid h^L)$, a module from flat units to a distribution over the other pixels, such as
            `layers.BernoulliMLP`.
        control: what `relax` and `rebar` learn, a `layers.ControlVariate`, for a single layer; no part of the bound.

    Raises:
        ValueError: if there is no layer, one does not fit the next, or there is a control for several.

    Example:
        >>> net = StructuredPredictor(
        ...     layers=[DiscreteMLP(392, (), (200,)), DiscreteMLP(200, (), (200,))], decoder=BernoulliMLP(200, (), 392)
        ... )
        >>> image = torch.bernoulli(torch.full((3, 784), 0.1))
        >>> bounds.iwae(net.log_weights(image, samples=5).total).shape
        torch.Size([3])

    References:
        | Techniques for Learning Binary Stochastic Feedforward Neural Networks (Raiko et al., 2015)
        | https://arxiv.org/abs/1406.2989
    """

    def __init__(self, *, layers: Sequence[DiscreteMLP], decoder: nn.Module, control: nn.Module | None = None) -> None:
        super().__init__()
        if not layers:
            raise ValueError("a stochastic network needs at least one layer, got none")
        for below, above in pairwise(layers):
            if (width := torch.Size(below.units).numel()) != above.inputs:
                raise ValueError(f"a layer of {width} values does not fit the next, which expects {above.inputs}")
        if control is not None and len(layers) > 1:
            raise ValueError(
                f"a control learns from second derivatives of the cost, and that of {len(layers)} nested layers has"
                " first ones only; take one layer, or an estimator that learns no control"
            )
        self.layers, self.decoder, self.control = nn.ModuleList(layers), decoder, control
        self.upper = layers[0].inputs

    def split(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The upper and the lower half, `(B, upper)` and `(B, pixels - upper)`.

        Raises:
            ValueError: if the image has no pixel left for the lower half.
        """
        if image.shape[-1] <= self.upper:
            raise ValueError(
                f"images have shape {tuple(image.shape)}; expected (B, pixels) with more than {self.upper} pixels"
            )
        return image[..., : self.upper], image[..., self.upper :]

    def posterior(self, image: Tensor) -> Distribution:
        r"""$p(h^1 \mid x)$, the only layer that the image reaches directly."""
        q: Distribution = self.layers[0](self.split(image)[0])
        return q

    def likelihood(self, h: Tensor) -> Distribution:
        r"""$p(y \mid h^L)$, also for relaxed units."""
        p: Distribution = self.decoder(_flat(h, self._layer(-1)))
        return p

    def cost(self, image: Tensor, estimator: Estimator = score_function) -> Cost:
        r"""$f_1(h^1)$, from draws `(K, B, *units)` to nats `(K, B)`; `estimator` takes the expectations inside it."""
        return self._cost(1, self.split(image)[1], estimator)

    def _cost(self, l: int, lower: Tensor, estimator: Estimator) -> Cost:
        r"""$f_l$: the cost itself at the last layer, an expectation over the next layer below it."""
        if l == len(self.layers):
            return lambda h: -self.likelihood(h).log_prob(lower)
        f = self._cost(l + 1, lower, estimator)
        return lambda h: estimator(f, self.layers[l](_flat(h, self._layer(l - 1))))

    def expected_cost(self, image: Tensor, estimator: Estimator, *, posterior: Distribution | None = None) -> Tensor:
        r"""$\mathbb{E}_{p(h \mid x)}[-\log p(y \mid h^L)]$, `(B,)`, every layer's expectation by `estimator(f, q)`.

        Args:
            image: whole images, `(B, pixels)`.
            estimator: `(f, q) -> q.batch_shape`, such as those of `gradients`.
            posterior: $p(h^1 \mid x)$, where it is at hand already.
        """
        q = self.posterior(image) if posterior is None else posterior
        return estimator(self.cost(image, estimator), q)

    def kl(self, image: Tensor, *, posterior: Distribution | None = None) -> Tensor:
        """Zeros `(B,)`, whatever the `posterior`: the units are drawn from their prior."""
        return image.new_zeros(len(image))

    def log_weights(self, image: Tensor, samples: int = 1, *, posterior: Distribution | None = None) -> LogWeights:
        r"""The weights $p(y \mid h^L_k)$ of ancestral draws.

        `log_prior` and `log_posterior` are both $\log p(h \mid x)$, summed over the layers.

        The draws carry no gradient: what flows back through `log_posterior` is the score of all layers.

        Args:
            image: whole images, `(B, pixels)`.
            samples: how many draws for each image.
            posterior: $p(h^1 \mid x)$, where it is at hand already.

        Returns:
            Three tensors `(samples, B)` in nats.

        Raises:
            ValueError: if `samples` is below 1.
        """
        if samples < 1:
            raise ValueError(f"samples is {samples}; draw at least one for each image")
        q = self.posterior(image) if posterior is None else posterior
        h = q.sample(torch.Size((samples,)))  # (K, B, *units)
        log_prob = q.log_prob(h)
        for l in range(1, len(self.layers)):
            q = self.layers[l](_flat(h, self._layer(l - 1)))
            h = q.sample()
            log_prob = log_prob + q.log_prob(h)
        return LogWeights(self.likelihood(h).log_prob(self.split(image)[1]), log_prob, log_prob)

    def check(self, image: Tensor) -> None:
        """Refuse images whose lower half this model has no likelihood for: `layers.check_observations`."""
        upper, lower = self.split(image)
        last = self._layer(-1)
        check_observations(self.likelihood(image.new_zeros(last.units)), lower)
        if not upper.isfinite().all():
            raise ValueError("the upper halves hold NaN or infinity; remove these images or repair them")

    @torch.no_grad()
    def reconstruct(self, image: Tensor) -> Tensor:
        """The upper half as it is, and the pixel means of the lower half at one draw of the units, `(B, pixels)`."""
        upper, _ = self.split(image)
        h = self.posterior(image).sample()
        for l in range(1, len(self.layers)):
            h = self.layers[l](_flat(h, self._layer(l - 1))).sample()
        return torch.cat([upper, self.likelihood(h).mean], dim=-1)

    def _layer(self, index: int) -> DiscreteMLP:
        return cast(DiscreteMLP, self.layers[index])


def _flat(h: Tensor, layer: DiscreteMLP) -> Tensor:
    """Units in one row, `(*batch, N)` or `(*batch, N C)`."""
    return h.flatten(-len(layer.units))
