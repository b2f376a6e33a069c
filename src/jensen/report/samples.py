"""Draws from a run's model: a picture, and their numbers beside it."""

import math
from pathlib import Path

import torch
from matplotlib.figure import Figure
from safetensors.torch import save_file
from torch import Tensor

from jensen.recipes import factors, running
from jensen.recipes.build import build
from jensen.recipes.config import read_config
from jensen.recipes.factor_looks import sampled
from jensen.recipes.factor_recipe import FactorRecipe
from jensen.report import pictures
from jensen.report.images import COLUMNS, _draw, _ink, to_images

__all__ = ["write_samples"]


def write_samples(
    run: Path, *, n: int = 100, seed: int = 0, device: str = "cpu", out: Path | None = None
) -> tuple[Path, Path]:
    """Draw `n` images from a run's model: a picture, and beside it their pixel means as a safetensors file.

    Of separated factors the images are of every class in turn, and the file holds their classes, too.

    Args:
        run: the run folder.
        n: how many images.
        seed: of the draws.
        device: where to draw.
        out: the picture's path; `figures/draws.png` in the run folder where None.

    Returns:
        The two paths.

    Raises:
        ValueError: if the run cannot be loaded or `n` is below one.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    draw = _of_factors if isinstance(read_config(run).recipe, FactorRecipe) else _of_autoencoder
    grid, tensors = draw(run, n=n, seed=seed, device=device)
    picture = out or run / "figures" / "draws.png"
    pictures.save(grid, picture)
    numbers = picture.with_suffix(".safetensors")
    save_file(tensors, numbers)
    return picture, numbers


def _of_autoencoder(run: Path, *, n: int, seed: int, device: str) -> tuple[Figure, dict[str, Tensor]]:
    config, model = running.load_model(run, device=device)
    test = None if hasattr(model, "sample") else build(config.recipe, seed=config.seed).test
    drawn = _draw(model, test, n=n, seed=seed)
    columns = min(COLUMNS, math.ceil(math.sqrt(n)))
    grid = pictures.image_grid(to_images(drawn, config.shape), columns=columns, ink=_ink(config))
    return grid, {"images": drawn.cpu().contiguous().reshape(n, *config.shape)}


def _of_factors(run: Path, *, n: int, seed: int, device: str) -> tuple[Figure, dict[str, Tensor]]:
    config, model = factors.load_model(run, device=device)
    images, classes = sampled(config, model, n=n, seed=seed)
    grid = pictures.image_grid(images, columns=len(torch.unique(classes)), ink=True)
    return grid, {"images": torch.from_numpy(images), "classes": classes}
