"""What there is to explore in a run: its latents, where the sliders stand, and its test images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from jensen.recipes.build import build
from jensen.recipes.config import Config
from jensen.recipes.machine import threads
from jensen.recipes.recipe import Recipe
from jensen.recipes.running import load_model
from jensen.report.sliders import Panel, Unit, panel_of

__all__ = ["Explorer", "explorer_of"]

SLIDERS = 12
"""The most units that get a slider."""


@dataclass(frozen=True, eq=False)
class Explorer:
    """What the page of a run is about.

    Attributes:
        run: its folder.
        config: what it trained.
        panel: its latents.
        test: test images as the model sees them, `(N, pixels)`.
    """

    run: Path
    config: Config[Recipe]
    panel: Panel
    test: Tensor

    def __repr__(self) -> str:
        """The recipe and the sizes."""
        return f"Explorer({self.config.recipe.name}, {self.panel}, test={len(self.test)})"

    @property
    def units(self) -> tuple[Unit, ...]:
        """The ones with a slider: the most active ones, or any where none is active."""
        return self.panel.units[: min(SLIDERS, self.panel.active or SLIDERS)]

    def stand(self, values: Tensor) -> list[float]:
        """Where the sliders stand at values `(D,)`."""
        return self.panel.read(values, len(self.units))

    def picture(self, values: Tensor, at: Sequence[float]) -> Tensor:
        """Pixel means with the sliders `at` these numbers and all other units at `values` `(D,)`, `(pixels,)`."""
        return self.panel.decode(self.panel.moved(values, at))

    def image(self, n: int | None) -> Tensor:
        """A test image, `(1, pixels)`.

        Raises:
            ValueError: if there is no such image.
        """
        if n is None or not 0 <= n < len(self.test):
            what = "no number was given" if n is None else f"there is no test image {n}"
            raise ValueError(f"{what}; give a number from 0 to {len(self.test) - 1}")
        return self.test[n : n + 1]


def explorer_of(run: Path, *, device: str = "cpu") -> Explorer:
    """What there is to explore in a run.

    Args:
        run: the run folder.
        device: where to compute.

    Raises:
        ValueError: if the run cannot be loaded, or its model draws no images from latents alone.
    """
    config, model = load_model(run, device=device)
    with threads(config.recipe.threads):
        test = build(config.recipe, seed=config.seed).test
        return Explorer(run, config, panel_of(model, test), test)
