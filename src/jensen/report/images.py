"""What a model draws and what it makes of images it has not seen."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from jensen.recipes.build import Experiment
from jensen.recipes.config import Config
from jensen.recipes.recipe import Recipe
from jensen.report import html, pictures
from jensen.report.sections import figure
from jensen.report.theme import Theme

__all__ = ["image_sections", "to_images"]

SAMPLES, SHOWN, COLUMNS = 100, 40, 20
ABOUT_SAMPLES = "draws from the model: latents from the prior, pixels as the means that the decoder gives to them."
ABOUT_COMPLETIONS = (
    "test images, the upper half as it is, the lower as the pixel means that the model gives to it at one draw."
)
ABOUT_PAIRS = "its reconstruction: the pixel means at one draw of the posterior."


def image_sections(
    run: Path, config: Config[Recipe], model: Any, *, experiment: Experiment, seed: int
) -> Iterator[str]:
    """Samples, and test images beside their reconstructions."""
    drawn = to_images(_draw(model, experiment.test, n=SAMPLES, seed=seed), config.shape)
    about = ABOUT_SAMPLES if hasattr(model, "sample") else ABOUT_COMPLETIONS
    compared, columns, rows = _compare(experiment, model, seed)
    band = to_images(compared, config.shape)
    seen = "below each the black and white that the model sees of it, then" if rows == 3 else "and below each"

    def draw_samples(theme: Theme) -> Figure:
        return pictures.image_grid(drawn, columns=COLUMNS, ink=_ink(config), theme=theme)

    def draw_band(theme: Theme) -> Figure:
        return pictures.image_grid(band, columns=columns, rows_in_band=rows, ink=_ink(config), theme=theme)

    yield html.section(
        "Samples",
        figure(
            run,
            "samples",
            draw_samples,
            alt="A grid of images drawn from the model",
            caption=f"{SAMPLES} {about}",
            narrow=False,
        ),
    )
    yield html.section(
        "Reconstructions",
        figure(
            run,
            "reconstructions",
            draw_band,
            alt="Test images, each above its reconstruction",
            caption=f"Test images, {seen} {ABOUT_PAIRS}",
            narrow=False,
        ),
    )


def _compare(experiment: Experiment, model: Any, seed: int) -> tuple[Tensor, int, int]:
    """Test images, what the model sees of them, and what it makes of that: the images, columns, and rows in a band."""
    count = min(SHOWN, len(experiment.test))
    count -= count % min(COLUMNS, count)
    originals, seen = experiment.originals[:count], experiment.test[:count]
    with _seeded(seed):
        rebuilt = model.reconstruct(seen.to(next(model.parameters()).device)).cpu()
    rows = [seen, rebuilt] if torch.equal(originals, seen) else [originals, seen, rebuilt]
    columns = min(COLUMNS, count)
    band = torch.cat([row[i : i + columns] for i in range(0, count, columns) for row in rows])
    return band, columns, len(rows)


def _draw(model: Any, test: Tensor | None, *, n: int, seed: int) -> Tensor:
    """Images from nothing, or from halves of test images where the model starts from one."""
    with _seeded(seed):
        if test is None or hasattr(model, "sample"):
            return cast(Tensor, model.sample(n))
        given = test[torch.arange(n) % len(test)].to(next(model.parameters()).device)
        return cast(Tensor, model.reconstruct(given))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def to_images(flat: Tensor, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Flat images as an array `(N, *shape)`, a single channel left out.

    Example:
        >>> to_images(torch.zeros(5, 64), (8, 8, 1)).shape
        (5, 8, 8)
    """
    shape = shape[:2] if shape[2:] == (1,) else shape
    images: NDArray[np.float32] = flat.detach().float().cpu().reshape(-1, *shape).numpy()
    return images


def _ink(config: Config[Recipe]) -> bool:
    """Whether pixels are ink on paper, black or white."""
    return config.recipe.model.likelihood == "bernoulli"
