"""What annealing needs of a model: latents that can be drawn, a likelihood with a gradient in them, a path between."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Generator, Size, Tensor
from torch.distributions import Distribution, constraints

from jensen._random import seeded
from jensen.distributions import StandardNormal
from jensen.samplers.annealing import AnnealingPath

__all__ = ["Decoder", "Generative", "decoder_of", "path_of"]


class Generative(Protocol):
    """A model of latents and of data given them; where `prior` is of the top layer only, `generate(noise)` counts."""

    def prior(self) -> Any:
        """p(z), of all real latents `(D,)`."""
        ...

    def likelihood(self, z: Tensor, /) -> Any:
        """p(x | z), for `(*batch, D)` of batch `(*batch,)`."""
        ...


class Decoder(NamedTuple):
    """All latents of a model as one vector.

    Attributes:
        prior: of that vector, event `(D,)`.
        likelihood: maps `(*batch, D)` to the distribution of x, batch `(*batch,)`.
        dim: D.
    """

    prior: Distribution
    likelihood: Callable[[Tensor], Distribution]
    dim: int


def decoder_of(model: Any, x: Tensor) -> Decoder:
    """The decoder of a model, tried at one datum `(1, *event)`.

    Raises:
        ValueError: if the model has no decoder, its latents are discrete or not real, its prior is of some of them only
            and it has no `generate`, or its likelihood has no gradient in them.
    """
    decoder = _of_noise(model, x) if hasattr(model, "generate") else _of_one_layer(model, x)
    z = decoder.prior.sample(Size((2, 1))).requires_grad_()
    with torch.enable_grad():
        values = decoder.likelihood(z).log_prob(x)
        if values.shape != (2, 1):
            raise ValueError(
                f"the likelihood of latents {tuple(z.shape)} at data {tuple(x.shape)} has shape {tuple(values.shape)}; "
                "expected (2, 1): one number for each latent vector and datum"
            )
        found = values.requires_grad and torch.autograd.grad(values.sum(), z, allow_unused=True)[0] is not None
    if not found:
        raise ValueError(f"log p(x | z) of {type(model).__name__} has no gradient in z, which its transitions need")
    return decoder


def _of_noise(model: Any, x: Tensor) -> Decoder:
    noise = model.noise(x, 1)
    event = noise.shape[2:]
    dim = math.prod(event)
    prior = StandardNormal(noise.new_zeros(dim), validate_args=False)
    return Decoder(prior, lambda z: model.generate(z.reshape(*z.shape[:-1], *event)), dim)


def _of_one_layer(model: Any, x: Tensor) -> Decoder:
    name = type(model).__name__
    if not (hasattr(model, "prior") and hasattr(model, "likelihood")):
        raise ValueError(
            f"{name} has neither generate(noise) nor prior() and likelihood(z); annealing needs one of them"
        )
    prior = model.prior()
    support = prior.support
    if support.is_discrete:
        raise ValueError(f"the latents of {name} are discrete: there is no gradient in them to anneal along")
    if getattr(support, "base_constraint", support) is not constraints.real:
        raise ValueError(f"the latents of {name} are not all of the real line; write them as functions of real ones")
    if prior.batch_shape or len(prior.event_shape) != 1:
        shapes = f"batch {tuple(prior.batch_shape)} and event {tuple(prior.event_shape)}"
        raise ValueError(f"the prior of {name} has {shapes}; expected () and (D,)")
    dim = prior.event_shape[0]
    layers = model.latents(x, 1) if hasattr(model, "latents") else []
    if layers and (units := sum(layer.mean[0].numel() for layer in layers)) != dim:
        raise ValueError(
            f"{name} has {units} latents in {len(layers)} layers and a prior of {dim}; "
            "annealing needs its generate(noise)"
        )
    return Decoder(prior, model.likelihood, dim)


def path_of(decoder: Decoder, x: Tensor, *, encoder: Callable[[Tensor], Distribution] | None = None) -> AnnealingPath:
    r"""$p(z)\, p(x \mid z)^\beta$, or $q(z \mid x)^{1 - \beta} (p(z)\, p(x \mid z))^\beta$; each datum is one group.

    Args:
        decoder: latents and likelihood.
        x: data, `(B, *event)`.
        encoder: the posterior q to begin at, in place of the prior.
    """
    B, D = len(x), decoder.dim
    q = None if encoder is None else encoder(x)

    def terms(points: Tensor) -> Tensor:
        z = points.view(B, -1, D).transpose(0, 1)  # (C, B, D)
        found = [decoder.likelihood(z).log_prob(x), decoder.prior.log_prob(z)]
        if q is not None:
            found.append(q.log_prob(z))
        return torch.stack(found).transpose(1, 2).reshape(len(found), -1)

    def sample(count: int, generator: Generator) -> Tensor:
        with seeded(generator):
            if q is None:
                return decoder.prior.sample(Size((count,)))
            return q.sample(Size((count // B,))).transpose(0, 1).reshape(count, D)

    slopes, offsets = ([1.0, 0.0], [0.0, 1.0]) if q is None else ([1.0, 1.0, -1.0], [0.0, 0.0, 1.0])
    return AnnealingPath(terms, x.new_tensor(slopes), x.new_tensor(offsets), sample)
