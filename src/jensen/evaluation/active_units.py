r"""Active units: which latent units say anything about the data.

Expectation: $A_d = \mathrm{Var}_x\left(\mathbb{E}_{q(z \mid x)}[z_d]\right)$ and
$\mathrm{KL}_d = \mathbb{E}_x \mathbb{E}_q[\log q(z_d \mid \cdot) - \log p(z_d \mid \cdot)]$.

References:
    | Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), section 5.2
    | https://arxiv.org/abs/1509.00519v4
"""

import torch
from torch import Tensor

from jensen._contracts import Indexable, LatentLayer
from jensen.evaluation._setting import Layered, check_counts, draw_once, measuring, minibatches, place_of
from jensen.evaluation.results import LayerActivity
from jensen.evaluation.streaming import Moments

__all__ = ["layer_activity"]


def layer_activity(
    model: Layered, data: Indexable, *, samples: int = 50, batch_size: int = 100, threshold: float = 0.01, seed: int = 0
) -> tuple[LayerActivity, ...]:
    r"""Variance over the data of each unit's posterior mean, and its divergence, for each stochastic layer.

    $$A_d = \mathrm{Var}_x\left(\mathbb{E}_{q(z \mid x)}[z_d]\right), \qquad z_d \text{ is active where } A_d > 0.01$$

    The posterior mean of a categorical unit is its vector of probabilities, the variance of that the sum over the
    categories: the trace of the vector's covariance.

    Above the first layer a posterior mean is itself an average over `samples` draws; their noise adds at most
    $\mathrm{Var}_q / \mathrm{samples}$ to $A_d$, so a unit that follows the draws below but not the data can look
    active when `samples` is small.

    Args:
        model: anything with `latents(x, samples) -> list[LatentLayer]`.
        data: `(N, pixels)`, drawn once.
        samples: how many draws `model.latents` averages over.
        batch_size: how many data at a time.
        threshold: a unit is active where its variance is above this.
        seed: of the draws; the global generators are left as they were.

    Returns:
        One `LayerActivity` for each stochastic layer, lowest first.

    Raises:
        ValueError: if the model has no method `latents`, there are no data, a datum holds NaN, or a count is below 1.

    Example:
        >>> class Identity:
        ...     def latents(self, x, samples=1):
        ...         return [LatentLayer(mean=x, kl=x.square())]
        >>> (layer,) = layer_activity(Identity(), torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
        >>> layer.active, layer.variance, layer.kl
        (1, (1.0, 0.0), (1.0, 0.0))

    References:
        | Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), section 5.2
        | https://arxiv.org/abs/1509.00519v4
    """
    check_counts(samples=samples, batch_size=batch_size)
    if not hasattr(model, "latents"):
        raise ValueError(f"{type(model).__name__} has no method latents(x, samples) to ask; give it one")
    layers: list[tuple[Moments, Moments]] = []
    with measuring(model, seed, place_of(model)[0], getattr(data, "device", None)):
        for _, x in minibatches(model, draw_once(data), batch_size):
            found: list[LatentLayer] = model.latents(x, samples=samples)
            layers = layers or [(Moments(), Moments()) for _ in found]
            for (means, kls), latent in zip(layers, found, strict=True):
                means.update(latent.mean)
                kls.update(latent.kl)
    return tuple(_activity(means, kls, threshold) for means, kls in layers)


def _activity(means: Moments, kls: Moments, threshold: float) -> LayerActivity:
    variance = means.population_variance  # (D,), or (D, C) for units whose mean is a vector
    return LayerActivity(_numbers(variance.reshape(len(variance), -1).sum(-1)), _numbers(kls.mean), threshold)


def _numbers(x: Tensor) -> tuple[float, ...]:
    return tuple(x.to("cpu", torch.float64).tolist())
