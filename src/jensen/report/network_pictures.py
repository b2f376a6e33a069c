"""Figures of a network with uncertain weights: calibration, doubt, and what can be pruned."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from jensen.recipes.network_results import Curve
from jensen.report.pictures import DPI, WIDTH, Series, _figure, _label_ends, _style
from jensen.report.theme import LIGHT, Theme

__all__ = [
    "dropout_rates",
    "intervals",
    "predictions",
    "pruning",
    "reliability",
    "selective_risk",
    "signal_to_noise",
    "tint",
]

MARKED = (0.75, 0.95)
"""Shares of the weights that are marked on the axis of the signal-to-noise ratio."""


def reliability(curves: Sequence[tuple[str, Curve]], *, theme: Theme = LIGHT) -> Figure:
    """How often what was forecast with some confidence happened; the diagonal is where a calibrated forecaster lies.

    Example:
        >>> reliability([("draws", Curve("", (0.5, 0.9), (0.4, 0.95), (0.1, 0.02)))]).axes[0].get_xlabel()
        'confidence'
    """
    figure, axes = _figure(theme)
    low = min((min(curve.x) for _, curve in curves if curve.x), default=0.0)
    axes.plot([low, 1], [low, 1], color=theme.muted, linewidth=1, linestyle=(0, (4, 3)))
    _lines(axes, curves, theme, bars=True)
    axes.set_ylim(-0.03, 1.05)
    _name(axes, "confidence", "happened", theme)
    return figure


def selective_risk(curves: Sequence[tuple[str, Curve]], *, theme: Theme = LIGHT) -> Figure:
    """The error rate among the data that are answered, the surest first.

    Example:
        >>> selective_risk([("draws", Curve("", (0.5, 1.0), (0.0, 0.02)))]).axes[0].get_ylabel()
        'error, %'
    """
    figure, axes = _figure(theme)
    scaled = [(label, Curve(curve.name, curve.x, tuple(100 * y for y in curve.y))) for label, curve in curves]
    _lines(axes, scaled, theme, bars=False)
    _name(axes, "share that is answered", "error, %", theme)
    return figure


def signal_to_noise(density: Curve, distribution: Curve, *, theme: Theme = LIGHT) -> Figure:
    """The density of the weights' signal-to-noise ratios and their distribution, in decibels.

    Example:
        >>> x = (-10.0, 0.0, 10.0)
        >>> len(signal_to_noise(Curve("", x, (0.02, 0.05, 0.01)), Curve("", x, (0.2, 0.8, 1.0))).axes)
        2
    """
    figure = Figure(figsize=(WIDTH, 4.6), dpi=DPI, facecolor=theme.paper, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    for axes, curve, label in ((upper, density, "density per dB"), (lower, distribution, "share below")):
        _style(axes, theme)
        axes.plot(curve.x, curve.y, color=theme.first, linewidth=1.6)
        _name(axes, "", label, theme)
    for share in MARKED:
        place = float(np.interp(share, distribution.y, distribution.x))
        for axes in (upper, lower):
            axes.axvline(place, color=theme.second, linewidth=1, linestyle=(0, (4, 3)))
        upper.annotate(
            f"{100 * share:.0f} %",
            (place, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, -10),
            textcoords="offset points",
            color=theme.second,
            fontsize=8,
        )
    lower.set_xlabel("signal-to-noise ratio |mean| / deviation, dB", color=theme.muted, fontsize=9)
    return figure


def pruning(curve: Curve, *, theme: Theme = LIGHT) -> Figure:
    """The error rate of the network at its means as the weights with the lowest ratios go.

    Example:
        >>> pruning(Curve("", (0.0, 50.0), (1.3, 1.3), (0.1, 0.1))).axes[0].get_xlabel()
        'weights removed, %'
    """
    figure, axes = _figure(theme)
    axes.errorbar(
        curve.x,
        curve.y,
        yerr=curve.error or None,
        color=theme.first,
        linewidth=1.6,
        marker="o",
        markersize=4,
        capsize=3,
        elinewidth=1,
    )
    _name(axes, "weights removed, %", "error, %", theme)
    return figure


def dropout_rates(layers: Sequence[tuple[str, Curve, float]], *, theme: Theme = LIGHT) -> Figure:
    """Histograms of log dropout rates, a panel for each layer; what lies right of the line is cut.

    Raises:
        ValueError: if there is no layer.

    Example:
        >>> len(dropout_rates([("fc1", Curve("", (-5.0, 5.0), (10.0, 90.0)), 0.0)]).axes)
        1
    """
    if not layers:
        raise ValueError("there is no layer to show; evaluate a run with dropout rates first")
    figure = Figure(figsize=(WIDTH, 0.6 + 1.5 * len(layers)), dpi=DPI, facecolor=theme.paper, layout="constrained")
    panels = figure.subplots(len(layers), 1, squeeze=False)[:, 0]
    for axes, (name, curve, threshold) in zip(panels, layers, strict=True):
        _style(axes, theme)
        width = (curve.x[-1] - curve.x[0]) / max(len(curve.x) - 1, 1)
        colours = [theme.first if x < threshold else theme.faint for x in curve.x]
        axes.bar(curve.x, curve.y, width=0.9 * width, color=colours)
        if np.isfinite(threshold):
            axes.axvline(threshold, color=theme.second, linewidth=1.2)
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.7)
        axes.minorticks_off()
        axes.set_title(name, color=theme.ink, fontsize=9, loc="left")
    panels[-1].set_xlabel("log α", color=theme.muted, fontsize=9)
    return figure


def predictions(curve: Curve, *, theme: Theme = LIGHT) -> Figure:
    """Predicted against true values, with bars of two standard deviations of the predictive distribution.

    Example:
        >>> predictions(Curve("", (1.0, 2.0), (1.1, 1.8), (0.2, 0.3))).axes[0].get_xlabel()
        'true value'
    """
    figure, axes = _figure(theme)
    ends = [min(curve.x), max(curve.x)]
    axes.plot(ends, ends, color=theme.muted, linewidth=1, linestyle=(0, (4, 3)))
    two = [2 * error for error in curve.error]
    axes.errorbar(
        curve.x,
        curve.y,
        yerr=two or None,
        color=theme.first,
        linestyle="",
        marker="o",
        markersize=3,
        elinewidth=0.8,
        alpha=0.8,
    )
    _name(axes, "true value", "prediction", theme)
    return figure


def intervals(curves: Sequence[tuple[str, Curve]], *, theme: Theme = LIGHT) -> Figure:
    """How many true values lie in central intervals of the predictive distribution, against how many should.

    Example:
        >>> intervals([("draws", Curve("", (0.5, 0.9), (0.52, 0.88), (0.05, 0.03)))]).axes[0].get_ylabel()
        'share that lies in it'
    """
    figure, axes = _figure(theme)
    axes.plot([0.5, 1], [0.5, 1], color=theme.muted, linewidth=1, linestyle=(0, (4, 3)))
    _lines(axes, curves, theme, bars=True)
    _name(axes, "level of the interval", "share that lies in it", theme)
    return figure


def tint(shares: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shares scaled so that the largest is one, for a picture.

    Example:
        >>> tint(np.array([[0.0, 2.0]], dtype=np.float32))
        array([[0., 1.]], dtype=float32)
    """
    scaled: NDArray[np.float32] = shares / max(float(shares.max()), 1e-12)
    return scaled.astype(np.float32)


def _lines(axes: Axes, curves: Sequence[tuple[str, Curve]], theme: Theme, *, bars: bool) -> None:
    colours = (theme.first, theme.second)
    for (_, curve), colour in zip(curves, colours, strict=False):
        if bars:
            axes.errorbar(
                curve.x,
                curve.y,
                yerr=curve.error or None,
                color=colour,
                linewidth=1.4,
                marker="o",
                markersize=4,
                capsize=3,
                elinewidth=1,
            )
        else:
            axes.plot(curve.x, curve.y, color=colour, linewidth=1.6)
    _label_ends(axes, [Series(label, curve.x, curve.y) for label, curve in curves], colours)


def _name(axes: Axes, x: str, y: str, theme: Theme) -> None:
    axes.set_xlabel(x, color=theme.muted, fontsize=9)
    axes.set_ylabel(y, color=theme.muted, fontsize=9)
