"""What of separated factors is shown: swaps, ways between two images, fresh draws of what is not the class."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jensen._contracts import Pairs
from jensen.models import DisentanglingAutoencoder
from jensen.recipes.config import Config
from jensen.recipes.factor_build import make_data
from jensen.recipes.network_measuring import seeded

__all__ = ["drawn", "interpolated", "sampled", "swapped"]

ROWS, STEPS = 10, 9


@torch.no_grad()
def swapped(config: Config[Any], model: DisentanglingAutoencoder, *, rows: int = ROWS) -> NDArray[np.float32]:
    """Test images with each other's codes, `(1 + rows, 1 + classes, height, width)`.

    The first row are images of every class, from which s is taken, the first column those from which z is taken; the
    corner is empty.
    """
    data = make_data(config.recipe).test
    of_s, of_z = _one_of_each(data), data.inputs[:rows]
    s, z = (model.encode(x.to(model.zero)) for x in (of_s, of_z))
    across = _every(model, z[1].mean, s[0])
    head = torch.cat([torch.zeros_like(of_s[:1]), of_s])[None]
    return _images(torch.cat([head, torch.cat([of_z[:, None], across.cpu()], dim=1)]), config.shape)


@torch.no_grad()
def interpolated(config: Config[Any], model: DisentanglingAutoencoder, *, pair: int = 0) -> NDArray[np.float32]:
    """The codes on the way between two test images of different classes, `(steps, steps, height, width)`.

    From row to row s moves, from column to column z; the first image is made again in the upper left corner, the
    second in the lower right.

    Args:
        config: of the run.
        model: its model.
        pair: which two: those of the classes `2 * pair` and `2 * pair + 1` of the test images, counted round.
    """
    images = _one_of_each(make_data(config.recipe).test)
    first = 2 * pair % len(images)
    s, q = model.encode(images[[first, (first + 1) % len(images)]].to(model.zero))
    way = torch.linspace(0, 1, STEPS, device=s.device)[:, None]
    ends = ((1 - way) * code[0] + way * code[1] for code in (q.mean, s))
    return _images(_every(model, *ends).transpose(0, 1), config.shape)


@torch.no_grad()
def drawn(config: Config[Any], model: DisentanglingAutoencoder, *, seed: int = 0) -> NDArray[np.float32]:
    """A row for each class, its s from a test image, with a z from the prior for each column, the same for all rows."""
    s, _ = model.encode(_one_of_each(make_data(config.recipe).test).to(model.zero))
    with seeded(seed):
        z = model.prior().sample((2 * ROWS,))
    return _images(_every(model, z, s).transpose(0, 1), config.shape)


@torch.no_grad()
def sampled(
    config: Config[Any], model: DisentanglingAutoencoder, *, n: int, seed: int = 0
) -> tuple[NDArray[np.float32], Tensor]:
    """Samples of the model, `(n, height, width)`, of every class in turn, and their classes, long `(n,)`.

    Each has a z from the prior and the s of a test image that is drawn from those of its class.
    """
    data = make_data(config.recipe).test
    known = torch.unique(data.targets)
    classes = known[torch.arange(n) % len(known)]
    members = {label: (data.targets == label).nonzero()[:, 0] for label in known.tolist()}
    with seeded(seed):
        drawn_from = [members[label][torch.randint(len(members[label]), ())] for label in classes.tolist()]
        z = model.prior().sample((n,))
    s, _ = model.encode(data.inputs[torch.stack(drawn_from)].to(model.zero))
    return _images(model.decode(z, s), config.shape), classes


def _one_of_each(data: Pairs) -> Tensor:
    """The first image of every class that there is."""
    firsts = [int((data.targets == label).nonzero()[0]) for label in torch.unique(data.targets)]
    return data.inputs[firsts]


def _every(model: DisentanglingAutoencoder, z: Tensor, s: Tensor) -> Tensor:
    """The image of every z with every s, `(len(z), len(s), pixels)`."""
    pixels = model.decode(z.repeat_interleave(len(s), 0), s.repeat(len(z), 1))
    return pixels.reshape(len(z), len(s), -1)


def _images(pixels: Tensor, shape: tuple[int, ...]) -> NDArray[np.float32]:
    images: NDArray[np.float32] = pixels.reshape(*pixels.shape[:-1], *shape).float().cpu().numpy()
    return images
