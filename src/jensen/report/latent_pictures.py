"""Figures of latents: images in labelled rows, points coloured by their class, and what each unit knows."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from jensen.report.pictures import DPI, WIDTH, _mosaic, _squares, _style
from jensen.report.theme import LIGHT, Theme

__all__ = ["CLASSES", "class_map", "information_bars", "labelled_rows"]

CLASSES = (
    "#4f8fd6",
    "#e07b39",
    "#3fa34d",
    "#d64550",
    "#9b6fd1",
    "#a5714d",
    "#d66fb8",
    "#8a8f98",
    "#b3a22c",
    "#2fb3bd",
)
"""Colours of up to ten classes, told apart on a light and on a dark ground."""

MARGIN = 96
"""Pixels left of rows of images, for their names."""


def labelled_rows(
    images: NDArray[np.float32], labels: Sequence[str], *, ink: bool = False, theme: Theme = LIGHT
) -> Figure:
    """Rows of images, each with its name on the left.

    Args:
        images: `(rows, columns, height, width)` or `(rows, columns, height, width, 3)`, values in [0, 1].
        labels: a name for each row.
        ink: as for `image_grid`.
        theme: the colours around.

    Raises:
        ValueError: if there is not one name a row.

    Example:
        >>> figure = labelled_rows(np.zeros((2, 5, 8, 8), dtype=np.float32), ["unit 3", "unit 1"])
        >>> [text.get_text() for text in figure.texts]
        ['unit 3', 'unit 1']
    """
    if images.ndim < 4 or len(images) != len(labels):
        raise ValueError(f"{len(labels)} names do not fit rows of images {images.shape}; give one name for each row")
    rows, columns = images.shape[:2]
    flat = images.reshape(rows * columns, *images.shape[2:])
    zoom = max(1, 1000 // (columns * flat.shape[2]))
    mosaic = _mosaic(_squares(flat, zoom, ink, theme), columns, 0, theme)
    height, width = mosaic.shape[:2]
    figure = Figure(figsize=((MARGIN + width) / DPI, height / DPI), dpi=DPI, facecolor=theme.paper)
    figure.figimage(mosaic, xo=MARGIN, origin="upper")
    for row, label in enumerate(labels):
        middle = 1 - (row + 0.5) / rows
        figure.text(0, middle, label, color=theme.muted, fontsize=7, va="center")
    return figure


def class_map(
    points: NDArray[np.float64],
    classes: NDArray[np.int64] | None,
    *,
    axes_names: tuple[str, str],
    theme: Theme = LIGHT,
) -> Figure:
    """Points in a plane, each the digit of its class in the class's colour, so that no colour has to be told.

    Args:
        points: `(N, 2)`.
        classes: `(N,)`, from 0 to 9; None draws dots.
        axes_names: what the axes are.
        theme: the colours around.

    Raises:
        ValueError: if the points are not in a plane, a point has no class, or there are more than ten classes.

    Example:
        >>> figure = class_map(np.zeros((3, 2)), np.array([0, 1, 1]), axes_names=("unit 0", "unit 4"))
        >>> len(figure.axes[0].collections)
        2
    """
    if points.ndim != 2 or points.shape[1] != 2 or (classes is not None and classes.shape != (len(points),)):
        shapes = f"{points.shape} and {None if classes is None else classes.shape}"
        raise ValueError(f"points and classes of shapes {shapes} make no map; give (N, 2) and (N,)")
    if classes is not None and classes.max() >= len(CLASSES):
        raise ValueError(f"a map has colours for {len(CLASSES)} classes, got class {classes.max()}")
    figure = Figure(figsize=(WIDTH, 0.8 * WIDTH), dpi=DPI, facecolor=theme.paper, layout="constrained")
    axes = figure.subplots()
    _style(axes, theme)
    axes.grid(visible=True, axis="both", color=theme.rule, linewidth=0.8)
    if classes is None:
        axes.scatter(points[:, 0], points[:, 1], s=8, color=theme.first, linewidths=0)
    else:
        for name in np.unique(classes):
            here = points[classes == name]
            axes.scatter(here[:, 0], here[:, 1], s=22, color=CLASSES[name], marker=f"${name}$", linewidths=0.2)
    axes.set_xlabel(axes_names[0], color=theme.muted, fontsize=9)
    axes.set_ylabel(axes_names[1], color=theme.muted, fontsize=9)
    return figure


def information_bars(information: Sequence[float], divergence: Sequence[float], *, theme: Theme = LIGHT) -> Figure:
    """What each unit's divergence consists of: information about the data below, distance from the prior above.

    Args:
        information: nats of each unit.
        divergence: nats of each unit's aggregate posterior from its prior.
        theme: the colours.

    Raises:
        ValueError: if there is no unit, or there are not as many of both.

    Example:
        >>> len(information_bars([2.0, 0.0], [0.1, 0.0]).axes[0].patches)
        4
    """
    if not information or len(information) != len(divergence):
        raise ValueError(f"{len(information)} and {len(divergence)} units do not match; give both of each unit")
    known, away = np.maximum(information, 0), np.maximum(divergence, 0)
    order = np.argsort(known + away)[::-1]
    figure = Figure(figsize=(WIDTH, 2.5), dpi=DPI, facecolor=theme.paper, layout="constrained")
    axes = figure.subplots()
    _style(axes, theme)
    places = range(1, len(order) + 1)
    axes.bar(places, known[order], color=theme.first, width=0.8, label="information about the data")
    axes.bar(places, away[order], bottom=known[order], color=theme.second, width=0.8, label="distance from the prior")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("latent unit, by divergence", color=theme.muted, fontsize=9)
    axes.set_ylabel("nats", color=theme.muted, fontsize=9)
    axes.legend(loc="upper right", frameon=False, fontsize=8, labelcolor=theme.ink)
    return figure
