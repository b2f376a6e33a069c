"""A run as figures and one page that needs nothing but itself."""

from pathlib import Path

from jensen.evaluation import Evaluation
from jensen.recipes.build import build
from jensen.recipes.config import REPORT, Config, read_config
from jensen.recipes.factor_recipe import FactorRecipe
from jensen.recipes.network_recipe import NetworkRecipe
from jensen.recipes.recipe import Recipe
from jensen.recipes.running import load_evaluation, load_information, load_model
from jensen.report import html
from jensen.report.ais import annealed_section
from jensen.report.constraint_section import constraint_section
from jensen.report.factor_page import write_factor_report
from jensen.report.film import film_sections
from jensen.report.images import image_sections
from jensen.report.latent_sections import information_section, latent_sections, neighbour_sections
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
    if isinstance(read_config(run).recipe, FactorRecipe):
        return write_factor_report(run, seed=seed, device=device)
    config, model = load_model(run, device=device)
    experiment = build(config.recipe, seed=config.seed).mixed()
    records, evaluation = read_records(run), load_evaluation(run)
    sections = [
        *likelihood(run, evaluation),
        *annealed_section(run, evaluation),
        *published(config, evaluation),
        *image_sections(run, config, model, experiment=experiment, seed=seed),
        *film_sections(run, config, model, experiment=experiment, seed=seed),
        *neighbour_sections(run, config, model, experiment=experiment, seed=seed),
        *latent_sections(run, config, model, experiment=experiment),
        *training(run, records),
        *constraint_section(run, config.recipe.objective.constraint, records),
        *latent_units(run, evaluation),
        *information_section(run, load_information(run)),
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
