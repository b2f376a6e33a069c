"""Figures of training on several named losses."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jensen.report.pictures import DPI, WIDTH, _style
from jensen.report.theme import LIGHT, Theme
from jensen.training import EpochRecord

__all__ = ["loss_curves"]


def loss_curves(records: Sequence[EpochRecord], *, real: float, theme: Theme = LIGHT) -> Figure:
    """Every named loss against epochs, a panel each.

    Args:
        records: of the epochs, with what the objective's `monitor` told.
        real: the probability that the discriminator is to give to real images.
        theme: the colours.

    Raises:
        ValueError: if there is no epoch, or no loss was told.
    """
    names = list(records[-1].monitor) if records else []
    if not names:
        raise ValueError("there is no loss to show; train for an epoch first")
    columns = 3
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(WIDTH, 0.4 + 1.5 * rows), dpi=DPI, facecolor=theme.paper, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for axes, name in zip(panels, names, strict=False):
        _style(axes, theme)
        axes.plot([r.epoch for r in records], [r.monitor[name] for r in records], color=theme.first, linewidth=1.4)
        if name == "discriminator":
            axes.axhline(_undecided(real), color=theme.muted, linewidth=1, linestyle=(0, (4, 3)))
        axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
        axes.set_title(name, color=theme.ink, fontsize=9, loc="left")
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    return figure


def _undecided(real: float) -> float:
    """The least cross-entropy of one logit for real and made images alike: p = real / 2."""
    p = real / 2
    return float(-(real * np.log(p) + (2 - real) * np.log1p(-p)))
