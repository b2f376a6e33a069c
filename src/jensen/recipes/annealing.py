"""Runs measured by annealed importance sampling. Importing this imports torch."""

from pathlib import Path
from typing import Any, cast

from jensen.evaluation import AnnealedEvaluation, evaluate_annealed
from jensen.recipes.build import build
from jensen.recipes.config import ANNEALED, read_evaluation
from jensen.recipes.machine import choose_device, threads
from jensen.recipes.running import load_model
from jensen.recipes.thinning import thinned

__all__ = ["load_annealed", "measure_annealed"]


def measure_annealed(
    run: Path,
    *,
    temperatures: int = 1000,
    chains: int = 16,
    simulated: int = 100,
    limit: int | None = None,
    batch_size: int = 100,
    seed: int = 0,
    device: str = "auto",
    progress: bool = False,
) -> AnnealedEvaluation:
    """Anneal a run's test images, and images that its model made, and write `annealed.json`.

    Args:
        run: the run folder.
        temperatures: both ends included.
        chains: for each image.
        simulated: how many images the model makes; 0 for none.
        limit: so many test images only, evenly spaced.
        batch_size: images held at once.
        seed: of everything random.
        device: where to compute.
        progress: show a progress bar.

    Raises:
        ValueError: if the run cannot be loaded or is not of an autoencoder, a number is out of its range, or the
            model's latents cannot be annealed.
    """
    place = choose_device(device)
    config, model = load_model(run, device=place)
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    test = thinned(build(config.recipe, seed=config.seed).test, limit).to(place)
    with threads(config.recipe.threads):
        found = evaluate_annealed(
            cast(Any, model),
            test,
            temperatures=temperatures,
            chains=chains,
            simulated=simulated,
            batch_size=batch_size,
            seed=seed,
            progress=progress,
        )
    (run / ANNEALED).write_text(found.to_json(), encoding="utf-8")
    return found


def load_annealed(run: Path) -> AnnealedEvaluation | None:
    """What `measure_annealed` wrote, or None.

    Raises:
        ValueError: if the file is damaged.
    """
    return read_evaluation(run, AnnealedEvaluation.from_json, name=ANNEALED, option=" --ais")
