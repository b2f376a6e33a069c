"""Images from latents: one unit moved at a time, the way between two images, a plane of codes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["Code", "code_of", "interpolate", "plane", "prior_quantiles", "traverse"]

CHUNK = 256
"""Latents that go through the decoder, or images through the encoder, together."""


@dataclass(frozen=True, eq=False)
class Code:
    """A model's Gaussian latents seen from outside: images to codes and codes to images.

    Attributes:
        model: what encodes and decodes, on its own device.
        size: the number of units.
        layers: stochastic layers of the model, of which the top one is the code; those below follow by their means.
        mean: of each unit under the prior, `(D,)`.
        deviation: of each unit under the prior, `(D,)`.
    """

    model: Any
    size: int
    layers: int
    mean: Tensor
    deviation: Tensor

    def __repr__(self) -> str:
        """The sizes, not the model."""
        return f"Code({type(self.model).__name__}, size={self.size}, layers={self.layers})"

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Posterior means of images `(N, pixels)`, `(N, D)`."""
        parts = torch.split(x.to(self.mean), CHUNK)
        return torch.cat([self.model.latents(part, samples=1)[-1].mean for part in parts])

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Pixel means at codes `(*batch, D)`, `(*batch, pixels)`.

        Raises:
            ValueError: if the codes are of another width.
        """
        if z.shape[-1] != self.size:
            raise ValueError(f"codes have shape {tuple(z.shape)}; this model's have {self.size} units, (*batch, D)")
        rows = z.to(self.mean).reshape(-1, self.size)
        means: Tensor = torch.cat([self._likelihood(part).mean for part in torch.split(rows, CHUNK)])
        return means.reshape(*z.shape[:-1], -1)

    def _likelihood(self, z: Tensor) -> Any:
        if self.layers == 1:
            return self.model.likelihood(z)
        below = z.new_zeros(len(z), self.model.noise(z, 1).shape[-1] - self.size)
        return self.model.generate(torch.cat([below, z], dim=-1))


@torch.no_grad()
def code_of(model: Any, x: Tensor) -> Code | None:
    """A model's code, or None where it has no Gaussian latents that images come from by their means.

    It takes `posterior(x)`, `prior()`, `likelihood(z)` and `latents(x)`; of several layers also `generate(noise)`.

    Args:
        model: in evaluation mode.
        x: a few images, `(B, pixels)`.

    Example:
        >>> from jensen import models
        >>> vae = models.VAE(encoder=GaussianMLP(16, (), 3), decoder=BernoulliMLP(3, (), 16), latent=3)
        >>> code = code_of(vae, torch.zeros(1, 16))
        >>> code, code.decode(torch.zeros(5, 2, 3)).shape
        (Code(VAE, size=3, layers=1), torch.Size([5, 2, 16]))
        >>> code_of(vae.encoder, torch.zeros(1, 16)) is None
        True
    """
    if not all(hasattr(model, name) for name in ("posterior", "prior", "likelihood", "latents")):
        return None
    prior, device = model.prior(), next(model.parameters()).device
    with torch.random.fork_rng():
        layers = len(model.latents(x[:1].to(device), samples=1))
    if not prior.has_rsample or len(prior.event_shape) != 1 or (layers > 1 and not hasattr(model, "generate")):
        return None
    return Code(model, prior.event_shape[0], layers, prior.mean, prior.stddev)


def prior_quantiles(code: Code, unit: int, steps: int, *, reach: float = 0.01) -> Tensor:
    """Values of one unit at equally likely steps of its prior, `(steps,)`.

    Args:
        code: the code.
        unit: which one.
        steps: how many; the middle one of an odd number is the median.
        reach: the probability below the first and above the last.

    Raises:
        ValueError: if there is no such unit, or there are fewer than two steps.

    Example:
        >>> from jensen import models
        >>> vae = models.VAE(encoder=GaussianMLP(16, (), 3), decoder=BernoulliMLP(3, (), 16), latent=3)
        >>> prior_quantiles(code_of(vae, torch.zeros(1, 16)), 0, 3, reach=0.025)
        tensor([-1.9600,  0.0000,  1.9600])
    """
    _check_unit(code, unit)
    if steps < 2:
        raise ValueError(f"steps is {steps}; a way along a unit takes two at least")
    levels = torch.linspace(reach, 1 - reach, steps, dtype=torch.float64)
    values: Tensor = torch.special.ndtri(levels).to(code.mean)
    return code.mean[unit] + code.deviation[unit] * values


def traverse(code: Code, z: Tensor, unit: int, *, values: Tensor) -> Tensor:
    """Pixel means while one unit takes the given values and all others stay, `(steps, pixels)`.

    Args:
        code: the code.
        z: where the others stay, `(D,)`.
        unit: the one that moves.
        values: of that unit, `(steps,)`.

    Raises:
        ValueError: if there is no such unit or `z` is no code.

    Example:
        >>> from jensen import models
        >>> vae = models.VAE(encoder=GaussianMLP(16, (), 3), decoder=BernoulliMLP(3, (), 16), latent=3)
        >>> traverse(code_of(vae, torch.zeros(1, 16)), torch.zeros(3), 1, values=torch.tensor([-1.0, 1.0])).shape
        torch.Size([2, 16])
    """
    _check_unit(code, unit)
    moved = _codes(code, z).repeat(len(values), 1)
    moved[:, unit] = values.to(moved)
    return code.decode(moved)


def plane(code: Code, units: Sequence[int], *, steps: int, reach: float = 0.05) -> Tensor:
    """Pixel means where two units take prior quantiles and all others their prior mean, `(steps, steps, pixels)`.

    Args:
        code: the code.
        units: the two; the first grows to the right, the second upwards.
        steps: quantiles of each.
        reach: the probability beyond the first and the last.

    Raises:
        ValueError: if there are not two units, or no such units.

    Example:
        >>> from jensen import models
        >>> vae = models.VAE(encoder=GaussianMLP(16, (), 3), decoder=BernoulliMLP(3, (), 16), latent=3)
        >>> plane(code_of(vae, torch.zeros(1, 16)), (2, 0), steps=4).shape
        torch.Size([4, 4, 16])
    """
    if len(units) != 2 or units[0] == units[1]:
        raise ValueError(f"a plane is spanned by two units, got {tuple(units)}")
    across, up = (prior_quantiles(code, unit, steps, reach=reach) for unit in units)
    z = code.mean.repeat(steps, steps, 1)
    z[..., units[0]], z[..., units[1]] = across, up.flip(0)[:, None]
    return code.decode(z)


def interpolate(first: Tensor, last: Tensor, *, steps: int, spherical: bool = False) -> Tensor:
    r"""Codes on the way from one to another, both included, `(steps, *batch, D)`.

    $$\frac{\sin((1 - t) \Omega)}{\sin \Omega} z_0 + \frac{\sin(t \Omega)}{\sin \Omega} z_1, \qquad
    \cos \Omega = \frac{z_0 \cdot z_1}{\lVert z_0 \rVert \lVert z_1 \rVert}$$

    where `spherical`, which stays as far from the origin as its ends are; the straight line otherwise, and where the
    ends point the same or the opposite way, or one is the origin.

    Args:
        first: where it begins, `(*batch, D)`.
        last: where it ends, `(*batch, D)`.
        steps: how many codes.
        spherical: whether along an arc.

    Raises:
        ValueError: if the shapes differ, or there are fewer than two steps.

    Example:
        >>> interpolate(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), steps=3, spherical=True)[1]
        tensor([0.7071, 0.7071])
        >>> interpolate(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), steps=3)[1]
        tensor([0.5000, 0.5000])

    References:
        | Animating Rotation with Quaternion Curves (Shoemake, 1985)
        | https://doi.org/10.1145/325165.325242
        | Sampling Generative Networks (White, 2016)
        | https://arxiv.org/abs/1609.04468
    """
    if first.shape != last.shape or steps < 2:
        shapes = f"{tuple(first.shape)} and {tuple(last.shape)}"
        raise ValueError(
            f"codes of shapes {shapes} in {steps} steps make no way; give equal shapes and two steps or more"
        )
    t = torch.linspace(0, 1, steps, dtype=first.dtype, device=first.device).reshape(-1, *[1] * first.ndim)
    straight = torch.lerp(first, last, t)
    if not spherical:
        return straight
    cosine = torch.nn.functional.cosine_similarity(first, last, dim=-1).clamp(-1, 1)[..., None]
    angle = cosine.arccos()
    arc = (((1 - t) * angle).sin() * first + (t * angle).sin() * last) / angle.sin()
    apart = (cosine.abs() < STRAIGHT) & (first.norm(dim=-1, keepdim=True) * last.norm(dim=-1, keepdim=True) > 0)
    return torch.where(apart, arc, straight)


STRAIGHT = 0.9995
"""From this cosine on, an arc is a line to the eye, and dividing by its sine is no longer safe."""


def _codes(code: Code, z: Tensor) -> Tensor:
    if z.shape != (code.size,):
        raise ValueError(f"the code has shape {tuple(z.shape)}; expected ({code.size},), one value for each unit")
    return z.to(code.mean)


def _check_unit(code: Code, unit: int) -> None:
    if not 0 <= unit < code.size:
        raise ValueError(f"there is no unit {unit}; this code has {code.size}, from 0 on")
