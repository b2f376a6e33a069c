"""What a page says of a model's latents: traversals, a plane and a map of them, ways between images, neighbours."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from jensen.evaluation import LatentInformation
from jensen.recipes.build import Experiment
from jensen.recipes.config import Config
from jensen.recipes.recipe import Recipe
from jensen.report import html, pictures
from jensen.report.images import SAMPLES, _draw, _ink, _seeded, to_images
from jensen.report.latent_pictures import CLASSES, class_map, information_bars, labelled_rows
from jensen.report.latents import Code, code_of, interpolate, plane, prior_quantiles, traverse
from jensen.report.neighbours import nearest
from jensen.report.sections import figure
from jensen.report.theme import Theme
from jensen.report.words import number

__all__ = ["information_section", "latent_sections", "neighbour_sections"]

THRESHOLD = 0.01
ASKED, MAPPED, MOVED, STEPS, SIDE, WAYS = 1000, 2000, 10, 11, 13, 6
DRAWN, HELD_OUT = 20, 200
ACROSS = 900
"""Pixels of a picture from side to side, about."""

ABOUT_TRAVERSALS = (
    "One unit at a time takes {steps} equally likely values of its prior, from the 1st percentile to the 99th, while "
    "the others stay where one test image has them{where}. Units by the variance of their posterior mean over "
    "{asked:,} test images, which stands beside them; {active} of {size} are active, above {threshold:g}."
)
ABOUT_PLANE = (
    "The two most active units, {across} to the right and {up} upwards, at equally likely values of their prior; all "
    "others at its mean."
)
ABOUT_WAYS = (
    "From one test image to another: the first and the last column are test images as the model sees them, those "
    "between them the pixel means along the arc between their posterior means, as far from the origin as its ends."
)
ABOUT_NEIGHBOURS = (
    "Draws from the model, and below each the training image nearest to it in Euclidean distance over the pixels. Who "
    "has training images by heart draws nearer to them than images never seen are. Pixel means are smooth, and so "
    "nearer to everything: the rebuilt test images are as smooth, and the fairer yardstick of the two."
)
ABOUT_INFORMATION = (
    "The divergence from the prior consists of what a latent tells about its image, and of how far the latents of all "
    "images together are from the prior. Of {data:,} test images: {rate} = {information} + {divergence} nats. Which of "
    "these images it was is worth {ceiling} nats and no more; about a new one the latents know between {information} "
    "and {upper} nats."
)
ABOUT_BARS = "Each unit alone: what it tells about the image, and how far its aggregate posterior is from its prior."


class _Seen(NamedTuple):
    """A code, the test images' place in it, and its units by activity.

    Attributes:
        means: posterior means of test images, `(N, D)`.
        variance: of them over the images, `(D,)`.
        order: the units, most active first.
        active: how many are.
    """

    code: Code
    means: Tensor
    variance: list[float]
    order: list[int]
    active: int


def latent_sections(run: Path, config: Config[Recipe], model: Any, *, experiment: Experiment) -> Iterator[str]:
    """Traversals, plane, ways and map, where the model has Gaussian latents that images come from by their means."""
    code = code_of(model, experiment.test[:1])
    if code is None:
        return
    seen = _seen(code, experiment.test)
    if not seen.active:
        text = "No unit is active: the posterior has collapsed to the prior, and all codes give the same image."
        yield html.section("Latent traversals", html.paragraph(text))
        return
    yield _traversals(run, config, seen)
    yield from _plane(run, config, seen)
    yield from _ways(run, config, seen, experiment)
    yield from _map(run, seen, experiment)


def neighbour_sections(
    run: Path, config: Config[Recipe], model: Any, *, experiment: Experiment, seed: int
) -> Iterator[str]:
    """Draws beside the nearest training images, and how near held-out images come, where a model draws from nothing."""
    if not hasattr(model, "sample"):
        return
    train, test = experiment.images.train, experiment.originals[:HELD_OUT]
    drawn = _draw(model, None, n=SAMPLES, seed=seed).cpu()
    with _seeded(seed):
        rebuilt = model.reconstruct(experiment.test[:HELD_OUT].to(next(model.parameters()).device)).cpu()
    found = nearest(drawn, train)
    rows = [
        (what, number(float(distance.quantile(0.05)), digits=2), number(float(distance.median()), digits=2))
        for what, distance in (
            ("draws", found.distance),
            ("test images, rebuilt", nearest(rebuilt, train).distance),
            ("test images", nearest(test, train).distance),
        )
    ]
    band = to_images(torch.cat([drawn[:DRAWN], train[found.place[:DRAWN]]]), config.shape)

    def draw(theme: Theme) -> Figure:
        return pictures.image_grid(band, columns=DRAWN, rows_in_band=2, ink=_ink(config), theme=theme)

    alt = "Images drawn from the model, each above the nearest training image"
    yield html.section(
        "Nearest training images",
        figure(run, "neighbours", draw, alt=alt, caption=ABOUT_NEIGHBOURS, narrow=False),
        html.table(("distance to the nearest training image", "5% below", "median"), rows, numbers=2),
    )


def information_section(run: Path, found: LatentInformation | None) -> Iterator[str]:
    """What the latents know of the data, where the run was evaluated and has one latent vector."""
    if found is None:
        return
    values = {
        name: number(getattr(found, entry), digits=2)
        for name, entry in (
            ("rate", "rate"),
            ("information", "mutual_information"),
            ("divergence", "marginal_divergence"),
            ("ceiling", "ceiling"),
            ("upper", "upper"),
        )
    }
    blocks = [html.paragraph(ABOUT_INFORMATION.format(data=found.data, **values))]
    if found.unit_information:
        blocks.append(
            figure(
                run,
                "information",
                lambda theme: information_bars(found.unit_information, found.unit_divergence, theme=theme),
                alt="Information and distance from the prior of every latent unit",
                caption=ABOUT_BARS,
            )
        )
    yield html.section("Information in the latents", *blocks)


def _seen(code: Code, test: Tensor) -> _Seen:
    with _seeded(0):
        means = code.encode(test[:MAPPED]).cpu()
    variance: list[float] = means[:ASKED].double().var(0, correction=0).tolist()
    order = sorted(range(code.size), key=lambda unit: -variance[unit])
    return _Seen(code, means, variance, order, sum(value > THRESHOLD for value in variance))


def _traversals(run: Path, config: Config[Recipe], seen: _Seen) -> str:
    units, base = seen.order[: min(MOVED, seen.active)], seen.means[0]
    rows = [traverse(seen.code, base, unit, values=prior_quantiles(seen.code, unit, STEPS)) for unit in units]
    images = to_images(torch.cat(rows), config.shape).reshape(len(units), STEPS, *_picture(config))
    names = [f"unit {unit}\n{seen.variance[unit]:.2f}" for unit in units]
    caption = ABOUT_TRAVERSALS.format(
        steps=STEPS,
        where="" if seen.code.layers == 1 else f", in the top one of {seen.code.layers} stochastic layers",
        asked=min(ASKED, len(seen.means)),
        active=seen.active,
        size=seen.code.size,
        threshold=THRESHOLD,
    )
    shown = figure(
        run,
        "traversals",
        lambda theme: labelled_rows(images, names, ink=_ink(config), theme=theme),
        alt=f"Rows of images, in each of which one of the {len(units)} most active latent units moves",
        caption=caption,
        narrow=False,
    )
    return html.section("Latent traversals", shown)


def _plane(run: Path, config: Config[Recipe], seen: _Seen) -> Iterator[str]:
    if seen.active < 2:
        return
    across, up = seen.order[:2]
    images = to_images(plane(seen.code, (across, up), steps=SIDE).flatten(0, 1), config.shape)
    shown = figure(
        run,
        "plane",
        lambda theme: pictures.image_grid(
            images, columns=SIDE, zoom=_zoom(config, SIDE), ink=_ink(config), theme=theme
        ),
        alt="A square of images over the plane of the two most active latent units",
        caption=ABOUT_PLANE.format(across=f"unit {across}", up=f"unit {up}"),
    )
    yield html.section("A plane of codes", shown)


def _ways(run: Path, config: Config[Recipe], seen: _Seen, experiment: Experiment) -> Iterator[str]:
    count = min(WAYS, len(experiment.test) // 2)
    if not count:
        return
    ends = experiment.test[: 2 * count].reshape(count, 2, -1)
    codes = seen.means[: 2 * count].reshape(count, 2, -1)
    between = seen.code.decode(interpolate(codes[:, 0], codes[:, 1], steps=STEPS - 2, spherical=True)).cpu()
    rows = torch.cat([ends[:, :1], between.movedim(0, 1), ends[:, 1:]], dim=1)
    images = to_images(rows.flatten(0, 1), config.shape)
    shown = figure(
        run,
        "interpolation",
        lambda theme: pictures.image_grid(
            images, columns=STEPS, zoom=_zoom(config, STEPS), ink=_ink(config), theme=theme
        ),
        alt="Rows of images that lead from one test image to another",
        caption=ABOUT_WAYS,
    )
    yield html.section("Between test images", shown)


def _map(run: Path, seen: _Seen, experiment: Experiment) -> Iterator[str]:
    if seen.code.size < 2 or len(seen.means) < 3:
        return
    points, names, how = _coordinates(seen)
    labels = experiment.images.labels
    classes = None if labels is None else labels.test[: len(points)].numpy()
    if classes is not None and classes.max() >= len(CLASSES):
        classes = None
    what = "each the digit of its class" if classes is not None else "without classes"
    shown = figure(
        run,
        "latent-map",
        lambda theme: class_map(points, classes, axes_names=names, theme=theme),
        alt="Test images as points in two dimensions of their latents",
        caption=f"Posterior means of {len(points):,} test images, {what}: {how}",
    )
    yield html.section("A map of the test images", shown)


def _coordinates(seen: _Seen) -> tuple[NDArray[np.float64], tuple[str, str], str]:
    """Places in a plane, what its axes are, and that in a sentence."""
    if seen.active <= 2:
        across, up = seen.order[:2]
        points = seen.means[:, [across, up]].double().numpy()
        return points, (f"unit {across}", f"unit {up}"), "the two most active units; no other is active."
    from sklearn.decomposition import PCA

    pca = PCA(2, svd_solver="full").fit(seen.means.double().numpy())
    shares = [f"{share:.0%}" for share in pca.explained_variance_ratio_]
    names = tuple(f"{which} principal component, {share}" for which, share in zip(("1st", "2nd"), shares, strict=True))
    points = pca.transform(seen.means.double().numpy())
    return points, (names[0], names[1]), "their first two principal components, with the share of the variance in each."


def _zoom(config: Config[Recipe], columns: int) -> int:
    """The side of a pixel's square, so that so many images fill the width."""
    return max(1, ACROSS // (columns * config.shape[1]))


def _picture(config: Config[Recipe]) -> tuple[int, ...]:
    """The shape of an image in a figure, a single channel left out."""
    return config.shape[:2] if config.shape[2:] == (1,) else config.shape
