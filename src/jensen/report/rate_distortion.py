"""Rate against distortion: where autoencoders lie that were trained to weigh the two, and those that were told one."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jensen.recipes.results import Row
from jensen.report.pictures import DPI, WIDTH, _style
from jensen.report.theme import LIGHT, Theme

__all__ = ["CAPTION", "Point", "points", "rate_against_distortion"]

CAPTION = (
    "Rate against distortion. Lines: beta-VAEs, one for each architecture. Dots: GECO, on the dotted tolerance that it "
    "was asked for. Rings: beta-VAEs trained anew with the weight 1 / lambda that GECO found. Crosses: weight 1, after "
    "a KL warm-up. Dashed: the rate-distortion function of a Gaussian with the same covariance, at the tolerances."
)
NAME = re.compile(r"(?P<method>GECO|at 1/lambda|beta-VAE|KL warm-up), (?P<sizes>[\d-]+)(, .*)?: (rate|distortion)")
GAUSSIAN = re.compile(r"Gaussian, distortion (?P<distortion>\S+): rate")


class Point(NamedTuple):
    """An autoencoder: how it was trained, its sizes, its distortion and its rate in nats."""

    method: str
    sizes: str
    distortion: float
    rate: float


def points(found: Sequence[Row]) -> list[Point]:
    """The points that a table's rows tell of, in the order of the table.

    Example:
        >>> rows = [Row(f"GECO, 64-8, kappa = 1: {what}", 2.0, 0.1, 2, ()) for what in ("rate", "distortion")]
        >>> points(rows)
        [Point(method='GECO', sizes='64-8', distortion=2.0, rate=2.0)]
    """
    values = {row.what: row.value for row in found}
    drawn = []
    for what, rate in values.items():
        distortion = values.get(what.removesuffix("rate") + "distortion")
        if (match := NAME.fullmatch(what)) and what.endswith(": rate") and distortion is not None:
            drawn.append(Point(match["method"], match["sizes"], distortion, rate))
        elif match := GAUSSIAN.fullmatch(what):
            drawn.append(Point("Gaussian", "", float(match["distortion"]), rate))
    return drawn


def rate_against_distortion(found: Sequence[Row], *, theme: Theme = LIGHT) -> Figure:
    """Every autoencoder of the study on one plane, a colour for each architecture.

    Args:
        found: the study's table.
        theme: the colours.

    Example:
        >>> rows = [Row(f"GECO, 64-8, kappa = 1: {what}", 2.0, 0.1, 2, ()) for what in ("rate", "distortion")]
        >>> rate_against_distortion(rows).axes[0].get_xlabel()
        'distortion, squared error'
    """
    drawn = points(found)
    figure = Figure(figsize=(WIDTH, 4.2), dpi=DPI, facecolor=theme.paper, layout="constrained")
    axes: Axes = figure.subplots()
    _style(axes, theme)
    gaussian = sorted((each.distortion, each.rate) for each in drawn if each.method == "Gaussian")
    for distortion, _ in gaussian:
        axes.axvline(distortion, color=theme.muted, linewidth=0.8, linestyle=":")
    if gaussian:
        axes.plot(*zip(*gaussian, strict=True), color=theme.muted, linewidth=1.2, linestyle=(0, (4, 3)))
    sizes = list(dict.fromkeys(each.sizes for each in drawn if each.sizes))
    colours = [(theme.first, theme.second, theme.muted)[i % 3] for i in range(len(sizes))]
    for each, colour in zip(sizes, colours, strict=True):
        _draw(axes, [point for point in drawn if point.sizes == each], colour)
    axes.set_xlabel("distortion, squared error", color=theme.muted, fontsize=9)
    axes.set_ylabel("rate, nats", color=theme.muted, fontsize=9)
    _legend(axes, sizes, colours, theme)
    return figure


def _draw(axes: Axes, drawn: Sequence[Point], colour: str) -> None:
    """One architecture."""
    sweep = sorted((each.distortion, each.rate) for each in drawn if each.method == "beta-VAE")
    if sweep:
        axes.plot(*zip(*sweep, strict=True), color=colour, linewidth=1.4, marker="s", markersize=3)
    marks: dict[str, dict[str, Any]] = {
        "GECO": {"marker": "o", "markersize": 5},
        "at 1/lambda": {"marker": "o", "markersize": 9, "markerfacecolor": "none"},
        "KL warm-up": {"marker": "x", "markersize": 7},
    }
    for each in drawn:
        if each.method in marks:
            axes.plot(each.distortion, each.rate, color=colour, linestyle="", **marks[each.method])


def _legend(axes: Axes, sizes: Sequence[str], colours: Sequence[str], theme: Theme) -> None:
    handles = [Line2D([], [], color=colour, linewidth=2) for colour in colours]
    if handles:
        legend = axes.legend(handles, sizes, loc="upper right", frameon=False, fontsize=9, labelcolor=theme.ink)
        legend.set_title("architecture")
        legend.get_title().set_fontsize(9)
        legend.get_title().set_color(theme.muted)
