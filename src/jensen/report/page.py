"""A run as figures and one page that needs nothing but itself."""

from pathlib import Path

from jensen.evaluation import Evaluation
from jensen.recipes.config import REPORT, Config, read_config
from jensen.recipes.network_recipe import NetworkRecipe
from jensen.recipes.recipe import Recipe
from jensen.recipes.running import load_evaluation, load_model
from jensen.report import html
from jensen.report.images import image_sections
from jensen.report.network_page import write_network_report
from jensen.report.sections import configuration, environment, latent_units, likelihood, published, training
from jensen.report.words import duration, number
from jensen.training import EpochRecord, read_records

__all__ = ["write_report"]


def write_report(run: Path, *, seed: int = 0, device: str = "cpu") -> Path:
    """Write `figures/*.png` and `report.html` into a run folder.

    Args:
        run: the run folder; it need not have been evaluated.
        seed: of the samples and reconstructions that are shown.
        device: where to draw them.

    Returns:
        The page's path.

    Raises:
        ValueError: if the run cannot be loaded.
    """
    if isinstance(read_config(run).recipe, NetworkRecipe):
        return write_network_report(run, seed=seed, device=device)
    config, model = load_model(run, device=device)
    records, evaluation = read_records(run), load_evaluation(run)
    sections = [
        *likelihood(run, evaluation),
        *published(config, evaluation),
        *image_sections(run, config, model, seed=seed),
        *training(run, records),
        *latent_units(run, evaluation),
        configuration(config),
        *environment(run),
    ]
    path = run / REPORT
    path.write_text(html.page(config.recipe.name, _lead(config, records, evaluation), sections), encoding="utf-8")
    return path


def _lead(config: Config[Recipe], records: list[EpochRecord], evaluation: Evaluation | None) -> str:
    recipe = config.recipe
    title = recipe.title.partition(":")[0]
    sentences = [f"{title}; data {recipe.data.name}, trained with k = {recipe.objective.samples}."]
    if records:
        seconds = sum(record.seconds for record in records)
        sentences.append(f"{records[-1].epoch:,} epochs in {duration(seconds)}.")
    if evaluation is not None:
        best = evaluation.tightest
        value = f"{number(best.value, digits=2)} ± {number(best.std_error, digits=2)}"
        sentences.append(f"Held-out log-likelihood at least {value} nats per image.")
    return " ".join(sentences)
