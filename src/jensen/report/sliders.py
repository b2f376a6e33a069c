"""What the page of sliders does, without the page: units by what they say, values to latents, latents to images."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from jensen.evaluation import LayerActivity, layer_activity
from jensen.recipes.thinning import thinned
from jensen.report.images import to_images
from jensen.report.pictures import _squares
from jensen.report.theme import LIGHT

__all__ = ["REACH", "Panel", "Unit", "image_png", "panel_of"]

REACH = 3.0
"""Prior standard deviations that a slider goes to either side, where no value asks for more."""

ASKED, DRAWS = 300, 5
"""Test images that the units are ordered by, and draws of the layers or steps that others depend on."""


class Unit(NamedTuple):
    """A latent unit and what it says about the test images.

    Attributes:
        place: which of the latents it is.
        name: what a reader calls it.
        variance: of its posterior mean over images.
        kl: its mean divergence from its prior in nats; nan where dependent units have none of their own.
        active: whether the variance is above the threshold of `evaluation.layer_activity`.
    """

    place: int
    name: str
    variance: float
    kl: float
    active: bool

    @property
    def says(self) -> float:
        """The divergence where there is one, the variance otherwise."""
        return self.variance if math.isnan(self.kl) else self.kl


@dataclass(frozen=True, eq=False)
class Panel:
    """A model's latents as numbers for sliders, and back.

    A value of a Gaussian unit is its distance from the prior's mean in prior standard deviations, below the top layer
    those given the layer above; that of a discrete unit is the number of its category.

    Attributes:
        units: all of them, active ones first, of these and of the others the one that says most first.
        states: values that each unit can take, 2 for bits; 0 for Gaussian units.
        layers: stochastic layers, where each has a prior given the layer above.
        encode: from images `(B, pixels)` to values `(B, D)`, the posterior's mean or most probable categories; a layer
            or step that depends on others is given their means.
        decode: from values `(*batch, D)` to pixel means `(*batch, pixels)`.
        rebuild: from images `(B, pixels)` to the model's own pixel means at the same latents, `(B, pixels)`.
    """

    units: tuple[Unit, ...]
    states: int
    layers: int
    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]
    rebuild: Callable[[Tensor], Tensor]

    def __repr__(self) -> str:
        """The sizes."""
        return f"Panel(units={len(self.units)}, active={self.active}, states={self.states}, layers={self.layers})"

    @property
    def active(self) -> int:
        """How many units say something."""
        return sum(unit.active for unit in self.units)

    def rest(self) -> Tensor:
        """Every unit at its prior mean, or in its first category, `(D,)`."""
        return torch.zeros(len(self.units))

    def draw(self, seed: int) -> Tensor:
        """A draw from the prior, `(D,)`, always the same for a seed."""
        generator = torch.Generator().manual_seed(seed)
        if self.states:
            return torch.randint(self.states, (len(self.units),), generator=generator).float()
        return torch.randn(len(self.units), generator=generator)

    def moved(self, values: Tensor, to: Sequence[float]) -> Tensor:
        """Values `(D,)` with those of the first units, one for each number in `to`, replaced.

        Raises:
            ValueError: if there are more numbers than units, one is not finite, or it is no category.
        """
        size = len(self.units)
        if values.shape != (size,) or len(to) > size:
            found = f"values of shape {tuple(values.shape)} and {len(to)} numbers"
            raise ValueError(f"{found} do not fit {size} units; give ({size},) and one number a unit at most")
        if wrong := [value for value in to if not self._allows(value)]:
            what = f"a category from 0 to {self.states - 1}" if self.states else "a finite number"
            raise ValueError(f"a unit cannot be at {wrong[0]}; give {what}")
        result = values.clone()
        result[[unit.place for unit in self.units[: len(to)]]] = torch.tensor(to, dtype=values.dtype)
        return result

    def read(self, values: Tensor, count: int) -> list[float]:
        """Where the sliders of the first `count` units stand at values `(D,)`, rounded to hundredths."""
        return [round(float(values[unit.place]), 2) for unit in self.units[:count]]

    def _allows(self, value: float) -> bool:
        return value in range(self.states) if self.states else math.isfinite(value)


def panel_of(model: Any, images: Tensor) -> Panel:
    """The latents of a model that draws images from them.

    Gaussian latents of one layer, of several (by `generate(noise)`), and of all steps of a model that draws in steps;
    discrete ones of one layer.

    Args:
        model: in evaluation mode.
        images: some that the units are ordered by, `(N, pixels)`.

    Raises:
        ValueError: if the model draws no images from latents alone.

    Example:
        >>> from jensen import models
        >>> vae = models.VAE(encoder=GaussianMLP(16, (), 3), decoder=BernoulliMLP(3, (), 16), latent=3)
        >>> panel = panel_of(vae, torch.eye(16))
        >>> panel.decode(panel.moved(panel.rest(), [1.0, -0.5])).shape
        torch.Size([16])
    """
    x = thinned(images, ASKED).to(next(model.parameters()).device)
    if hasattr(model, "categories") and hasattr(model, "prior"):
        return _discrete_panel(model, x)
    if not all(hasattr(model, name) for name in ("prior", "likelihood", "infer", "noise", "latents")):
        raise ValueError(
            f"{type(model).__name__} draws no images from latents alone, so there is nothing to put sliders to; "
            "explore takes autoencoders with Gaussian latents or one layer of discrete ones, and DRAW"
        )
    return _gaussian_panel(model, x)


def image_png(pixels: Tensor, shape: tuple[int, ...], *, ink: bool = False) -> bytes:
    r"""A flat image `(pixels,)` as the bytes of a PNG file, a pixel for a pixel.

    Args:
        pixels: grey or colour values in [0, 1].
        shape: of the image.
        ink: draw ones dark on a light ground, as pen on paper.

    Example:
        >>> image_png(torch.zeros(64), (8, 8))[:4]
        b'\x89PNG'
    """
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(_squares(to_images(pixels, shape), 1, ink, LIGHT)[0]).save(buffer, format="PNG")
    return buffer.getvalue()


def _gaussian_panel(model: Any, x: Tensor) -> Panel:
    prior = model.prior()
    found = layer_activity(model, x, samples=DRAWS)
    width = sum(layer.units for layer in found)
    layers = 1 if prior.event_shape == (width,) else len(found)
    if layers > 1 and not (hasattr(model, "generate") and hasattr(model, "decoders")):
        raise ValueError(f"{type(model).__name__} has {layers} layers, and no generate(noise) to move them all by")

    def infer(images: Tensor) -> Any:
        images = images.to(prior.mean)
        return model.infer(images, 1, noise=torch.zeros_like(model.noise(images, 1)))

    @torch.no_grad()
    def encode(images: Tensor) -> Tensor:
        latents = [z[0] for z in infer(images).latents]
        below = _distances(latents, model.decoders) if layers > 1 else []
        top = latents[-1] if layers > 1 else torch.cat(latents, -1)
        return torch.cat([*below, (top - prior.mean) / prior.stddev], -1).cpu()

    @torch.no_grad()
    def decode(values: Tensor) -> Tensor:
        v = values.to(prior.mean)
        likelihood = model.generate(v) if layers > 1 else model.likelihood(prior.mean + prior.stddev * v)
        means: Tensor = likelihood.mean.cpu()
        return means

    @torch.no_grad()
    def rebuild(images: Tensor) -> Tensor:
        means: Tensor = infer(images).likelihood.mean[0].cpu()
        return means

    return Panel(_ordered(found, "layer" if layers > 1 else "step"), 0, layers, encode, decode, rebuild)


def _distances(latents: Sequence[Tensor], decoders: Any) -> Iterator[Tensor]:
    """How far each layer but the top one is from its mean given the layer above, in its standard deviations."""
    for z, above, decoder in zip(latents, latents[1:], decoders[1:], strict=False):
        p = decoder(above)
        yield (z - p.mean) / p.stddev


def _discrete_panel(model: Any, x: Tensor) -> Panel:
    states = int(model.categories)

    @torch.no_grad()
    def encode(images: Tensor) -> Tensor:
        mean = model.posterior(images.to(model.zero)).mean
        chosen: Tensor = mean.argmax(-1) if len(model.units) == 2 else mean > 0.5
        return chosen.float().cpu()

    @torch.no_grad()
    def decode(values: Tensor) -> Tensor:
        z = one_hot(values.long(), states) if len(model.units) == 2 else values
        means: Tensor = model.likelihood(z.to(model.zero)).mean.cpu()
        return means

    units = _ordered(layer_activity(model, x, samples=1), "layer")
    return Panel(units, states, 1, encode, decode, lambda images: decode(encode(images)))


def _ordered(layers: Sequence[LayerActivity], what: str) -> tuple[Unit, ...]:
    """All units, active ones first, by what they say."""
    units: list[Unit] = []
    for number, layer in enumerate(layers, start=1):
        own = layer.kl if len(layer.kl) == layer.units else (math.nan,) * layer.units
        for d, (variance, kl) in enumerate(zip(layer.variance, own, strict=True)):
            name = f"unit {d}" if len(layers) == 1 else f"{what} {number}, unit {d}"
            units.append(Unit(len(units), name, variance, kl, variance > layer.threshold))
    return tuple(sorted(units, key=lambda unit: (not unit.active, -unit.says)))
