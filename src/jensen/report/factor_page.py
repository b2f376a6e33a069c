"""The page of separated factors: which code holds the label, images with swapped codes, and the ways between images."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from jensen.recipes.config import REPORT, Config
from jensen.recipes.factor_looks import drawn, interpolated, swapped
from jensen.recipes.factor_recipe import FactorRecipe
from jensen.recipes.factor_results import FactorEvaluation
from jensen.recipes.factors import load_evaluation, load_model
from jensen.report import html, pictures
from jensen.report.factor_tables import FACTOR_COLUMNS, factor_rows
from jensen.report.loss_pictures import loss_curves
from jensen.report.sections import configuration, environment, figure
from jensen.report.theme import Theme
from jensen.report.words import duration, number
from jensen.training import EpochRecord, read_records

__all__ = ["write_factor_report"]

ABOUT_QUANTITIES = (
    "Probes learn to read the label from one code of training images and are tried on test images; chance is about "
    "90 % of ten classes. z is taken as the decoder gets it, a draw. Its mean, without the noise, tells more: how far "
    "means stray from zero depends on the class. Errors are squared and summed over the pixels. Misread: by a "
    "perceptron that has learned to read real images. The standard error is over the images."
)
ABOUT_SWAPS = (
    "Each image in the grid has the z of the image left of its row and the s of the image above its column, all from "
    "the test set."
)
ABOUT_WAYS = (
    "On the way between two test images: s moves from row to row, z from column to column. The first is made again in "
    "the upper left corner, the second in the lower right."
)
ABOUT_DRAWN = "A class for each row, its s from a test image; each column has one z drawn from the prior."
ABOUT_CURVES = (
    "The losses of both players, moving averages over the steps: squared errors summed over the pixels, all others in "
    "nats. Where the discriminator cannot tell made images from real ones, its loss is the dashed line."
)
PAIRS = 3


def write_factor_report(run: Path, *, seed: int = 0, device: str = "cpu") -> Path:
    """Write `figures/*.png` and `report.html` into the run folder of separated factors.

    Args:
        run: the run folder; it need not have been evaluated.
        seed: of the draws that are shown.
        device: where to compute.

    Returns:
        The page's path.

    Raises:
        ValueError: if the run cannot be loaded.
    """
    config, model = load_model(run, device=device)
    records, evaluation = read_records(run), load_evaluation(run)
    ways = np.concatenate([interpolated(config, model, pair=pair) for pair in range(PAIRS)], axis=1)
    sections = [
        _quantities(run, evaluation),
        html.section("Swaps", _grid(run, "swaps", swapped(config, model), caption=ABOUT_SWAPS)),
        html.section("Between images", _grid(run, "ways", ways, caption=ABOUT_WAYS)),
        html.section("Fresh draws", _grid(run, "draws", drawn(config, model, seed=seed), caption=ABOUT_DRAWN)),
        *_training(run, config, records),
        configuration(config),
        *environment(run),
    ]
    path = run / REPORT
    path.write_text(html.page(config.recipe.name, _lead(config, records, evaluation), sections), encoding="utf-8")
    return path


def _lead(config: Config[FactorRecipe], records: list[EpochRecord], evaluation: FactorEvaluation | None) -> str:
    recipe = config.recipe
    sentences = [f"{recipe.title}; data {recipe.data.name}."]
    if records:
        sentences.append(f"{records[-1].epoch:,} epochs in {duration(sum(record.seconds for record in records))}.")
    if evaluation is not None:
        s, z = (evaluation[f"label error from {code}, mlp probe"].value for code in ("s", "z"))
        sentences.append(
            f"A perceptron misreads the label from s in {s:.1f} % of the test images, from z in {z:.1f} %."
        )
    return " ".join(sentences)


def _quantities(run: Path, evaluation: FactorEvaluation | None) -> str:
    title = "On the test images"
    if evaluation is None:
        advice = f"Not evaluated yet: `jensen evaluate {run}`, then `jensen report {run}` again."
        return html.section(title, html.paragraph(advice))
    about = f"{evaluation.data:,} test images. {ABOUT_QUANTITIES}"
    table = html.table(FACTOR_COLUMNS, factor_rows(evaluation.quantities), numbers=3)
    return html.section(title, html.paragraph(about), table)


def _training(run: Path, config: Config[Any], records: list[EpochRecord]) -> Iterator[str]:
    if not records:
        yield html.section("Training", html.paragraph("No epoch was finished yet."))
        return

    def draw(theme: Theme) -> Figure:
        return loss_curves(records, real=config.recipe.losses.real, theme=theme)

    last = records[-1]
    facts = [
        ("epochs", f"{last.epoch:,}"),
        ("steps", f"{last.step:,}"),
        ("time", duration(sum(record.seconds for record in records))),
        ("minus the weighted losses", number(last.bound)),
    ]
    curves = figure(run, "losses", draw, alt="Every loss against epochs", caption=ABOUT_CURVES)
    yield html.section("Training", curves, html.definition_list(facts))


def _grid(run: Path, name: str, rows: NDArray[np.float32], *, caption: str) -> str:
    """Images `(rows, columns, height, width)`."""

    def draw(theme: Theme) -> Figure:
        return pictures.image_grid(rows.reshape(-1, *rows.shape[2:]), columns=rows.shape[1], ink=True, theme=theme)

    return figure(run, name, draw, alt=caption, caption=caption, narrow=rows.shape[1] < 2 * len(rows))
