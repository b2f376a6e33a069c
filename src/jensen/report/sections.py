"""The parts of a page that need no model: likelihood, training, latent units, configuration."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from jensen.evaluation import Evaluation
from jensen.recipes.config import ENVIRONMENT, Config
from jensen.recipes.recipe import Recipe
from jensen.report import html, pictures
from jensen.report.pictures import Series
from jensen.report.tables import BOUND_COLUMNS, active_units, bounds_rows
from jensen.report.theme import DARK, LIGHT, Theme
from jensen.report.words import config_entries, duration, number
from jensen.training import EpochRecord

__all__ = ["configuration", "environment", "figure", "latent_units", "likelihood", "published", "training"]

ABOUT_ERRORS = (
    "All bounds come from the same draws, in nats per image. The standard error is over the images: it tells how far "
    "another test set would move the number. The Monte Carlo error tells how far other draws would. ELBO and IWAE "
    "bound the log-likelihood from below; the jackknife removes most of what is missing and is no bound."
)
ABOUT_BARS = (
    "More samples tighten the bound. Bars, where they are large enough to see, are one Monte Carlo standard error."
)
ABOUT_CURVE = (
    "The bound that training ascends: its mean over each epoch's training {data}, and on the validation {data}."
)
PLURALS = {"image": "images", "datum": "data"}
ABOUT_UNITS = (
    "What each unit knows of an image: its divergence from its prior, mean over the test images. A unit is active "
    "where its posterior mean varies over the images by more than {threshold:g}; inactive ones are pale."
)


PANELS = 4
"""More stochastic layers than this are steps, and shown as one bar each."""
ABOUT_STEPS = (
    "What each step tells about an image: its divergence from its prior, mean over the test images. "
    "{active} of {units} units are active."
)


def likelihood(run: Path, evaluation: Evaluation | None) -> Iterator[str]:
    """The table of bounds and their course in k; what to do, where the run was not evaluated."""
    title = "Held-out log-likelihood"
    if evaluation is None:
        advice = f"Not evaluated yet: `jensen evaluate {run}`, then `jensen report {run}` again."
        yield html.section(title, html.paragraph(advice))
        return
    bounds = [row for row in evaluation.rows if row.blocks == 0]
    jackknives = [row for row in evaluation.rows if row.blocks > 0]
    series = [
        Series(label, [row.k for row in rows], [row.value for row in rows], [_bar(row.mc_error) for row in rows])
        for label, rows in (("bound", bounds), ("jackknife", jackknives))
    ]
    yield html.section(
        title,
        html.paragraph(f"{evaluation.data:,} test images, {evaluation.samples:,} draws each. {ABOUT_ERRORS}"),
        html.table(BOUND_COLUMNS, bounds_rows(evaluation), numbers=4),
        *(html.paragraph(f"Note: {note}.") for note in evaluation.notes),
        figure(
            run,
            "bounds",
            lambda theme: pictures.bound_by_samples(series, theme=theme),
            alt="The bound against the number of samples",
            caption=ABOUT_BARS,
        ),
    )


def published(config: Config[Recipe], evaluation: Evaluation | None) -> Iterator[str]:
    """What others got, and this run beside it; nothing where nobody did."""
    recipe = config.recipe
    if not recipe.published:
        return
    rows = [(entry.what, f"{entry.value:.2f}", entry.active or "–", entry.source) for entry in recipe.published]
    blocks = [html.table(("what", "published", "active units", "source"), rows)]
    if evaluation is not None:
        ours = f"This run, trained with k = {recipe.objective.samples} for {recipe.budget.epochs:,} epochs"
        units = f", active units {active_units(evaluation)}" if evaluation.layers else ""
        blocks.insert(0, html.paragraph(f"{ours}: NLL {number(evaluation.nll, digits=2)}{units}."))
    yield html.section("Published numbers", *blocks)


def training(run: Path, records: list[EpochRecord], *, datum: str = "image") -> Iterator[str]:
    """The learning curve and where it ended."""
    if not records:
        yield html.section("Training", html.paragraph("No epoch was finished yet."))
        return
    validated = [(r.epoch, r.validation) for r in records if r.validation is not None]
    series = [
        Series("training", [r.epoch for r in records], [r.bound for r in records]),
        Series("validation", [epoch for epoch, _ in validated], [bound for _, bound in validated]),
    ]
    last, rates = records[-1], sorted(r.images_per_second for r in records)
    facts = [
        ("epochs", f"{last.epoch:,}"),
        ("steps", f"{last.step:,}"),
        ("time", duration(sum(r.seconds for r in records))),
        (f"{PLURALS[datum]} per second", f"{rates[len(rates) // 2]:,.0f} in the median epoch"),
        ("last training bound", f"{number(last.bound)} nats"),
    ]
    if validated:
        facts.append(("last validation bound", f"{number(validated[-1][1])} nats"))
    curve = figure(
        run,
        "learning-curve",
        lambda theme: pictures.learning_curve(series, datum=datum, theme=theme),
        alt="The bound against epochs",
        caption=ABOUT_CURVE.format(data=PLURALS[datum]),
    )
    yield html.section("Training", curve, html.definition_list(facts))


def latent_units(run: Path, evaluation: Evaluation | None) -> Iterator[str]:
    """The divergence of every unit, where the run was evaluated; in words where the units depend on each other."""
    if evaluation is None or not evaluation.layers:
        return
    layers = [layer for layer in evaluation.layers if len(layer.kl) == layer.units]
    if not layers:
        told = [
            f"{each.active} of {each.units} units active, {number(sum(each.kl))} nats" for each in evaluation.layers
        ]
        text = f"The units' posterior is a joint one, so only its divergence as a whole is known: {'; '.join(told)}."
        yield html.section("Latent units", html.paragraph(text))
        return
    if len(layers) > PANELS:
        by_step = [sum(layer.kl) for layer in layers]
        steps = figure(
            run,
            "latent-units",
            lambda theme: pictures.step_bars(by_step, theme=theme),
            alt="The divergence of every step",
            caption=ABOUT_STEPS.format(
                active=sum(layer.active for layer in layers), units=sum(layer.units for layer in layers)
            ),
        )
        yield html.section("Latent units", steps)
        return
    kl = [layer.kl for layer in layers]
    active = [[variance > layer.threshold for variance in layer.variance] for layer in layers]
    bars = figure(
        run,
        "latent-units",
        lambda theme: pictures.bars(kl, active, theme=theme),
        alt="The divergence of every latent unit",
        caption=ABOUT_UNITS.format(threshold=evaluation.layers[0].threshold),
    )
    yield html.section("Latent units", bars)


def configuration(config: Config[Any]) -> str:
    """All that the run was told."""
    return html.section("Configuration", html.definition_list(config_entries(config)))


def environment(run: Path) -> Iterator[str]:
    """The machine and the versions, as the run wrote them down.

    Raises:
        ValueError: if `environment.json` is damaged.
    """
    path = run / ENVIRONMENT
    if not path.is_file():
        return
    try:
        found = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); delete it and report again") from None
    yield html.section("Environment", html.definition_list((name, _flat(value)) for name, value in found.items()))


def figure(
    run: Path, name: str, draw: Callable[[Theme], Figure], *, alt: str, caption: str, narrow: bool = True
) -> str:
    """Draw a figure on both grounds, keep the light one in the run folder, and give the HTML that shows either."""
    light, dark = pictures.png(draw(LIGHT)), pictures.png(draw(DARK))
    folder = run / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.png").write_bytes(light)
    return html.figure(light, dark, alt=alt, caption=caption, narrow=narrow)


def _flat(value: Any) -> object:
    return ", ".join(f"{name} {entry}" for name, entry in value.items()) if isinstance(value, dict) else value


def _bar(error: float) -> float:
    return error if math.isfinite(error) else 0.0
