"""Figures by matplotlib's object interface: no window, no global state, no settings changed."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from jensen.report.theme import LIGHT, Theme

__all__ = ["Series", "bars", "bound_by_samples", "image_grid", "learning_curve", "png", "save", "step_bars"]

DPI = 160
WIDTH, HEIGHT = 6.4, 3.6


class Series(NamedTuple):
    """One line of a figure: where it lies, how uncertain it is, and what it is called."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    error: Sequence[float] | None = None


def image_grid(
    images: NDArray[np.float32],
    *,
    columns: int,
    zoom: int = 0,
    rows_in_band: int = 0,
    ink: bool = False,
    theme: Theme = LIGHT,
) -> Figure:
    """Images side by side, every pixel of theirs a square of whole pixels.

    Args:
        images: grey or colour values in [0, 1], `(N, height, width)` or `(N, height, width, 3)`; the last row
            may be short.
        columns: how many in a row.
        zoom: the side of a pixel's square; 0 for about 1800 pixels in all.
        rows_in_band: leave a wider gap after so many rows; 0 for none.
        ink: draw ones dark on a light ground, as pen on paper, where the theme is light.
        theme: the colours around.

    Raises:
        ValueError: if there is no image, they have another number of axes, or `columns` is below one.

    Example:
        >>> image_grid(np.zeros((6, 8, 8), dtype=np.float32), columns=3, zoom=4).get_size_inches() * 160
        array([104.,  70.])
    """
    if images.ndim not in (3, 4) or len(images) == 0 or columns < 1:
        expected = "(N, height, width) or (N, height, width, 3) with N >= 1"
        raise ValueError(f"a grid of {columns} columns cannot show images {images.shape}; give {expected}")
    columns = min(columns, len(images))
    zoom = zoom or max(1, 1800 // (columns * images.shape[2]))
    mosaic = _mosaic(_squares(images, zoom, ink, theme), columns, rows_in_band, theme)
    height, width = mosaic.shape[:2]
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=theme.paper)
    figure.figimage(mosaic, origin="upper")
    return figure


def _squares(images: NDArray[np.float32], zoom: int, ink: bool, theme: Theme) -> NDArray[np.uint8]:
    """Images in colour, every pixel a square; channels that are not three as their mean."""
    images = images.mean(-1) if images.ndim == 4 and images.shape[-1] != 3 else images
    colours = np.repeat(images[..., None], 3, axis=-1) if images.ndim == 3 else images
    colours = 1 - colours if ink and theme.name == "light" else colours
    levels: NDArray[np.uint8] = np.rint(255 * colours.clip(0, 1)).astype(np.uint8)
    return levels.repeat(zoom, axis=1).repeat(zoom, axis=2)


def _mosaic(tiles: NDArray[np.uint8], columns: int, rows_in_band: int, theme: Theme) -> NDArray[np.uint8]:
    """Tiles `(N, height, width, 3)` on one ground."""
    gap = max(2, tiles.shape[2] // 16)
    height, width = tiles.shape[1] + gap, tiles.shape[2] + gap
    rows = -(-len(tiles) // columns)
    tops = [gap + row * height + (2 * gap * (row // rows_in_band) if rows_in_band else 0) for row in range(rows)]
    ground = np.array([int(theme.rule[i : i + 2], 16) for i in (1, 3, 5)], dtype=np.uint8)
    mosaic = np.tile(ground, (tops[-1] + height, columns * width + gap, 1))
    for i, tile in enumerate(tiles):
        top, left = tops[i // columns], gap + (i % columns) * width
        mosaic[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return mosaic


def learning_curve(series: Sequence[Series], *, datum: str = "image", theme: Theme = LIGHT) -> Figure:
    """The bound in nats per datum against epochs.

    The vertical axis shows all but the first twentieth of the epochs in full; a steep beginning may leave it below.

    Raises:
        ValueError: if there is no epoch to show.

    Example:
        >>> learning_curve([Series("training", [1, 2, 3], [-40.0, -30.0, -28.0])]).axes[0].get_xlabel()
        'epoch'
    """
    if not any(len(line.x) for line in series):
        raise ValueError("there is no epoch to show; train for one first")
    figure, axes = _figure(theme)
    colours = (theme.first, theme.second)
    for line, colour in zip(series, colours, strict=False):
        axes.plot(line.x, line.y, color=colour, linewidth=1.6, marker="o" if len(line.x) < 12 else "", markersize=4)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _show_the_end(axes, series)
    _label_ends(axes, series, colours)
    axes.set_xlabel("epoch", color=theme.muted, fontsize=9)
    axes.set_ylabel(f"bound, nats per {datum}", color=theme.muted, fontsize=9)
    return figure


def bound_by_samples(series: Sequence[Series], *, theme: Theme = LIGHT) -> Figure:
    """Bounds in nats against the number k of samples, on a logarithmic axis; bars are one Monte Carlo standard error.

    Raises:
        ValueError: if there is nothing to show.

    Example:
        >>> bound_by_samples([Series("IWAE", [1, 5, 50], [-22.0, -20.5, -20.0], [0.01] * 3)]).axes[0].get_xscale()
        'log'
    """
    if not any(len(line.x) for line in series):
        raise ValueError("there is no bound to show; evaluate the run first")
    figure, axes = _figure(theme)
    colours = (theme.first, theme.second)
    for line, colour in zip(series, colours, strict=False):
        axes.errorbar(
            line.x,
            line.y,
            yerr=line.error,
            color=colour,
            linewidth=1.6,
            marker="o",
            markersize=5,
            capsize=3,
            elinewidth=1,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sorted({x for line in series for x in line.x})))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    _label_ends(axes, series, colours)
    axes.set_xlabel("samples k", color=theme.muted, fontsize=9)
    axes.set_ylabel("nats per image", color=theme.muted, fontsize=9)
    return figure


def bars(layers: Sequence[Sequence[float]], active: Sequence[Sequence[bool]], *, theme: Theme = LIGHT) -> Figure:
    """The divergence of every latent unit, largest first, one panel for each stochastic layer; inactive units are pale.

    Args:
        layers: nats for each unit of each layer.
        active: whether the unit says anything about the image, in the same order.
        theme: the colours.

    Raises:
        ValueError: if the two do not match.

    Example:
        >>> len(bars([[0.1, 2.0], [1.0]], [[False, True], [True]]).axes)
        2
    """
    shapes = [len(kl) for kl in layers], [len(flags) for flags in active]
    if not layers or shapes[0] != shapes[1]:
        raise ValueError(f"layers of {shapes[0]} units and flags for {shapes[1]} do not match; give one flag a unit")
    figure = Figure(figsize=(WIDTH, 0.6 + 1.9 * len(layers)), dpi=DPI, facecolor=theme.paper, layout="constrained")
    panels = figure.subplots(len(layers), 1, squeeze=False)[:, 0]
    for number, (axes, kl, flags) in enumerate(zip(panels, layers, active, strict=True), start=1):
        _style(axes, theme)
        order = np.argsort(kl)[::-1]
        colours = [theme.first if flags[i] else theme.faint for i in order]
        axes.bar(range(1, len(kl) + 1), [kl[i] for i in order], color=colours, width=0.8)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylabel("KL, nats", color=theme.muted, fontsize=9)
        which = f"layer {number}: " if len(layers) > 1 else ""
        axes.set_title(f"{which}{sum(flags)} of {len(kl)} units active", color=theme.ink, fontsize=9, loc="left")
    panels[-1].set_xlabel("latent unit, by divergence", color=theme.muted, fontsize=9)
    return figure


def step_bars(kl: Sequence[float], *, theme: Theme = LIGHT) -> Figure:
    """The divergence of every step of a model that draws in steps, in their order.

    Raises:
        ValueError: if there is no step.

    Example:
        >>> step_bars([3.0, 2.0, 1.5]).axes[0].get_xlabel()
        'step'
    """
    if not kl:
        raise ValueError("there is no step to show")
    figure, axes = _figure(theme)
    axes.bar(range(1, len(kl) + 1), kl, color=theme.first, width=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("step", color=theme.muted, fontsize=9)
    axes.set_ylabel("KL, nats", color=theme.muted, fontsize=9)
    return figure


def png(figure: Figure) -> bytes:
    r"""The figure as the bytes of a PNG file.

    Example:
        >>> png(learning_curve([Series("training", [1], [-40.0])]))[:4]
        b'\x89PNG'
    """
    FigureCanvasAgg(figure)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", facecolor=figure.get_facecolor(), metadata={"Software": None})
    return buffer.getvalue()


def save(figure: Figure, path: Path) -> Path:
    """Write the figure as a PNG file, its folder made where missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(figure))
    return path


def _figure(theme: Theme) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, facecolor=theme.paper, layout="constrained")
    axes: Axes = figure.subplots()
    _style(axes, theme)
    return figure, axes


def _style(axes: Axes, theme: Theme) -> None:
    axes.set_facecolor(theme.paper)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(theme.muted)
    axes.tick_params(colors=theme.muted, labelsize=8, length=0)
    axes.grid(visible=True, axis="y", color=theme.rule, linewidth=0.8)
    axes.set_axisbelow(True)


def _show_the_end(axes: Axes, series: Sequence[Series]) -> None:
    start = max(max(line.x) for line in series if len(line.x)) / 20
    shown = [y for line in series for x, y in zip(line.x, line.y, strict=True) if x >= start and np.isfinite(y)]
    if len(shown) > 1 and (spread := max(shown) - min(shown)) > 0:
        axes.set_ylim(min(shown) - 0.08 * spread, max(shown) + 0.08 * spread)


def _label_ends(axes: Axes, series: Sequence[Series], colours: Sequence[str]) -> None:
    """Names beside the lines' ends, moved apart where they would touch."""
    coloured = zip(series, colours, strict=False)
    ends = [(line.y[-1], line.x[-1], line.label, colour) for line, colour in coloured if len(line.x)]
    low, high = axes.get_ylim()
    apart, floor = 0.075 * (high - low), -np.inf
    for y, x, label, colour in sorted(ends):
        height = max(y, floor)
        floor = height + apart
        axes.annotate(
            label,
            (x, height),
            xytext=(8, 0),
            textcoords="offset points",
            color=colour,
            fontsize=9,
            va="center",
            annotation_clip=False,
        )
