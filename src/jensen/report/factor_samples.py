"""Samples of a model of separated factors, with the classes that they are of."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from jensen.recipes.factor_looks import sampled
from jensen.recipes.factors import load_model
from jensen.report import pictures

__all__ = ["write_factor_samples"]


def write_factor_samples(
    run: Path, *, n: int = 100, seed: int = 0, device: str = "cpu", out: Path | None = None
) -> tuple[Path, Path]:
    """Draw `n` images, of every class in turn: a picture, and beside it images and classes as a safetensors file.

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
    config, model = load_model(run, device=device)
    images, classes = sampled(config, model, n=n, seed=seed)
    picture = out or run / "figures" / "draws.png"
    pictures.save(pictures.image_grid(images, columns=len(torch.unique(classes)), ink=True), picture)
    numbers = picture.with_suffix(".safetensors")
    save_file({"images": torch.from_numpy(images), "classes": classes}, numbers)
    return picture, numbers
