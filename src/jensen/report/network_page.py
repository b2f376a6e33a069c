"""The page of a network with uncertain weights: errors, calibration, doubt, and what is left after pruning."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from jensen.recipes.config import REPORT, Config
from jensen.recipes.network_looks import doubted, layer_masks
from jensen.recipes.network_recipe import NetworkRecipe
from jensen.recipes.network_results import Curve, NetworkEvaluation
from jensen.recipes.networks import load_evaluation, load_model
from jensen.report import html, network_pictures, pictures
from jensen.report.network_tables import LAYER_COLUMNS, QUANTITY_COLUMNS, layer_rows, quantity_rows
from jensen.report.sections import configuration, environment, figure, training
from jensen.report.theme import Theme
from jensen.report.words import duration, number
from jensen.training import EpochRecord, read_records

__all__ = ["write_network_report"]

ABOUT_QUANTITIES = (
    "“Draws” average the predictions of many draws of the weights, “means” are those of the one network at the "
    "posterior means. The standard error is over the test data: how far another test set would move the number."
)
ABOUT_RELIABILITY = (
    "Of what the network is so sure of, that share is right; on the dashed line it would be as good as its word. "
    "Bars: how far a calibrated network strays with so few data."
)
ABOUT_RISK = "The error where the network answers only what it is surest of, by the entropy of its prediction."
ABOUT_DOUBTED = (
    "The test images that the network doubts most, by the entropy of its prediction, the most doubtful first."
)
ABOUT_RATIOS = (
    "How sure the posterior is of each weight: the mean over the standard deviation, in decibels. Dashed: the ratio "
    "below which three quarters, and 95 %, of the weights lie."
)
ABOUT_PRUNING = "The error of the network at its means without the weights of the lowest ratios; one standard error."
ABOUT_RATES = "Dropout rates, layer by layer; what lies right of the line is noise and is cut."
ABOUT_INPUTS = (
    "What the first layer reads: the darker a pixel, the more of its weights are left. White pixels are read by nobody."
)
ABOUT_MASKS = "The weights that are left, a row for each output and a column for each input: {name}."
ABOUT_PREDICTIONS = (
    "Predictions for test data against the truth, with two standard deviations of the predictive distribution."
)
ABOUT_INTERVALS = "How many true values lie in intervals that should hold so many; on the dashed line they would."

WIDEST = 900
"""Matrices of weights with more columns than this are not drawn."""


def write_network_report(run: Path, *, seed: int = 0, device: str = "cpu") -> Path:
    """Write `figures/*.png` and `report.html` into the run folder of a network.

    Args:
        run: the run folder; it need not have been evaluated.
        seed: of the draws behind the images that are shown.
        device: where to compute.

    Returns:
        The page's path.

    Raises:
        ValueError: if the run cannot be loaded.
    """
    config, model = load_model(run, device=device)
    records, evaluation = read_records(run), load_evaluation(run)
    sections = [
        *_quantities(run, evaluation),
        *_published(config, evaluation),
        *_calibration(run, evaluation),
        *_regression(run, evaluation),
        *_doubted(run, config, model, seed=seed),
        *_ratios(run, evaluation),
        *_left(run, config, model, evaluation),
        *training(run, records, datum="datum"),
        configuration(config),
        *environment(run),
    ]
    path = run / REPORT
    path.write_text(html.page(config.recipe.name, _lead(config, records, evaluation), sections), encoding="utf-8")
    return path


def _lead(config: Config[NetworkRecipe], records: list[EpochRecord], evaluation: NetworkEvaluation | None) -> str:
    recipe = config.recipe
    sentences = [f"{recipe.title}; data {recipe.data.name}, {recipe.weights}."]
    if records:
        sentences.append(f"{records[-1].epoch:,} epochs in {duration(sum(record.seconds for record in records))}.")
    if evaluation is not None and evaluation.task == "classification":
        error = evaluation["error"]
        sentences.append(f"Test error {number(error.value, digits=2)} ± {number(error.error, digits=2)} %.")
    elif evaluation is not None:
        error = evaluation["RMSE"]
        sentences.append(f"Test RMSE {error.value:.4g} ± {error.error:.2g}.")
    return " ".join(sentences)


def _quantities(run: Path, evaluation: NetworkEvaluation | None) -> Iterator[str]:
    title = "On the test data"
    if evaluation is None:
        advice = f"Not evaluated yet: `jensen evaluate {run}`, then `jensen report {run}` again."
        yield html.section(title, html.paragraph(advice))
        return
    about = f"{evaluation.data:,} test data, {evaluation.samples:,} draws of the weights. {ABOUT_QUANTITIES}"
    outside = f"Out of distribution: {evaluation.outside}." if evaluation.outside else ""
    yield html.section(
        title,
        html.paragraph(about),
        html.table(QUANTITY_COLUMNS, quantity_rows(evaluation.quantities), numbers=5),
        *(html.paragraph(text) for text in (outside, *(f"Note: {note}." for note in evaluation.notes)) if text),
    )


def _published(config: Config[NetworkRecipe], evaluation: NetworkEvaluation | None) -> Iterator[str]:
    """What others got, and this run beside it where it measured the same."""
    published = config.recipe.published
    if not published:
        return
    ours = {} if evaluation is None else {each.what: each for each in evaluation.quantities}
    rows = []
    for entry in published:
        what = entry.what.removesuffix(f", {config.recipe.data.name}")
        mine = f"{ours[what].value:.4g}" if what in ours else "–"
        rows.append((entry.what, f"{entry.value:g}", mine, entry.unit, entry.active or "–", entry.source))
    columns = ("what", "published", "this run", "unit", "what was left", "source")
    yield html.section("Published numbers", html.table(columns, rows))


def _calibration(run: Path, evaluation: NetworkEvaluation | None) -> Iterator[str]:
    diagrams, risks = _both(evaluation, "reliability"), _both(evaluation, "selective risk")
    if not diagrams:
        return
    yield html.section(
        "Calibration and selective risk",
        figure(
            run,
            "reliability",
            lambda theme: network_pictures.reliability(diagrams, theme=theme),
            alt="How often forecasts came true against their confidence",
            caption=ABOUT_RELIABILITY,
        ),
        figure(
            run,
            "selective-risk",
            lambda theme: network_pictures.selective_risk(risks, theme=theme),
            alt="The error among the data that are answered",
            caption=ABOUT_RISK,
        ),
    )


def _regression(run: Path, evaluation: NetworkEvaluation | None) -> Iterator[str]:
    points, levels = _both(evaluation, "predictions"), _both(evaluation, "interval coverage")
    if not points:
        return
    yield html.section(
        "Predictions",
        figure(
            run,
            "predictions",
            lambda theme: network_pictures.predictions(points[0][1], theme=theme),
            alt="Predictions with error bars against true values",
            caption=ABOUT_PREDICTIONS,
        ),
        figure(
            run,
            "intervals",
            lambda theme: network_pictures.intervals(levels, theme=theme),
            alt="Coverage of intervals against their level",
            caption=ABOUT_INTERVALS,
        ),
    )


def _doubted(run: Path, config: Config[NetworkRecipe], model: Any, *, seed: int) -> Iterator[str]:
    """The images that the network is least sure of, where the inputs are images."""
    if config.recipe.noise.kind != "categorical":
        return
    images = doubted(config, model, seed=seed)
    yield html.section("Doubtful images", _grid(run, "doubtful", images, columns=20, caption=ABOUT_DOUBTED))


def _ratios(run: Path, evaluation: NetworkEvaluation | None) -> Iterator[str]:
    if evaluation is None or (density := evaluation.curve("signal-to-noise density")) is None:
        return
    distribution = evaluation.curve("signal-to-noise distribution") or density
    blocks = [
        figure(
            run,
            "signal-to-noise",
            lambda theme: network_pictures.signal_to_noise(density, distribution, theme=theme),
            alt="Density and distribution of the weights' signal-to-noise ratios",
            caption=ABOUT_RATIOS,
        )
    ]
    if (errors := evaluation.curve("error by share pruned")) is not None:
        draw = _drawing(network_pictures.pruning, errors)
        blocks.append(
            figure(run, "pruning", draw, alt="Error against the share of weights removed", caption=ABOUT_PRUNING)
        )
    yield html.section("Signal and noise of the weights", *blocks)


def _left(run: Path, config: Config[NetworkRecipe], model: Any, evaluation: NetworkEvaluation | None) -> Iterator[str]:
    """What pruning left of each layer."""
    if evaluation is None or not evaluation.layers:
        return
    rates = [
        (row.name, curve, row.threshold)
        for row in evaluation.layers
        if (curve := evaluation.curve(f"log dropout rates, {row.name}")) is not None
    ]
    blocks = [html.table(LAYER_COLUMNS, layer_rows(evaluation.layers), numbers=7)]
    if rates:
        draw = _drawing(network_pictures.dropout_rates, rates)
        blocks.append(figure(run, "dropout-rates", draw, alt="Histograms of dropout rates", caption=ABOUT_RATES))
    inputs, matrices = layer_masks(config, model)
    if inputs is not None:
        tinted = network_pictures.tint(inputs[None])
        blocks.append(_grid(run, "inputs", tinted, columns=1, caption=ABOUT_INPUTS, zoom=8))
    for name, matrix in matrices.items():
        if matrix.shape[1] <= WIDEST:
            caption, zoom = ABOUT_MASKS.format(name=name), max(1, 600 // matrix.shape[1])
            blocks.append(_grid(run, f"mask-{name}", matrix[None], columns=1, caption=caption, zoom=zoom))
    yield html.section("What is left", *blocks)


def _grid(run: Path, name: str, images: NDArray[np.float32], *, columns: int, caption: str, zoom: int = 0) -> str:
    def draw(theme: Theme) -> Figure:
        return pictures.image_grid(images, columns=columns, ink=True, zoom=zoom, theme=theme)

    return figure(run, name, draw, alt=caption, caption=caption, narrow=zoom != 0)


def _both(evaluation: NetworkEvaluation | None, name: str) -> list[tuple[str, Curve]]:
    """The curve of the draws and that at the means, with labels."""
    if evaluation is None:
        return []
    found = (("draws", evaluation.curve(name)), ("means", evaluation.curve(f"{name}, at the means")))
    return [(label, curve) for label, curve in found if curve is not None]


def _drawing(draw: Callable[..., Figure], *values: Any) -> Callable[[Theme], Figure]:
    return lambda theme: draw(*values, theme=theme)
