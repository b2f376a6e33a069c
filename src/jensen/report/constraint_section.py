"""How a constrained run found its multiplier: divergence, violation and multiplier against epochs."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jensen.recipes.objectives import Constraint
from jensen.report import html
from jensen.report.pictures import DPI, WIDTH, _style
from jensen.report.sections import figure
from jensen.report.theme import LIGHT, Theme
from jensen.report.words import number
from jensen.training import EpochRecord

__all__ = ["constraint_curves", "constraint_section"]

PANELS = (("kl", "divergence, nats"), ("violation", "violation / tolerance"), ("multiplier", "multiplier"))
SETTLED = 0.02
ABOUT = (
    "Moving averages of the divergence from the prior and of the constraint, in units of its tolerance, and the "
    "multiplier that follows from it, after every epoch. Between the dashed lines the constraint is met to 2%."
)


def constraint_section(run: Path, constraint: Constraint | None, records: Sequence[EpochRecord]) -> Iterator[str]:
    """The three curves and where they ended; nothing of a run without a constraint, or before its first epoch."""
    told = [record for record in records if record.monitor]
    if constraint is None or not told:
        return
    last = told[-1].monitor
    facts = [
        ("asked", str(constraint)),
        ("divergence at the end", f"{number(last['kl'])} nats"),
        ("violation at the end", f"{last['violation']:+.2%} of the tolerance"),
        (
            "multiplier at the end",
            f"{last['multiplier']:.4g}, a weight of {1 / last['multiplier']:.4g} on the divergence",
        ),
    ]
    shown = figure(
        run,
        "constraint",
        lambda theme: constraint_curves(told, theme=theme),
        alt="Divergence, violation and multiplier against epochs",
        caption=ABOUT,
    )
    yield html.section("Constraint", shown, html.definition_list(facts))


def constraint_curves(records: Sequence[EpochRecord], *, theme: Theme = LIGHT) -> Figure:
    """Divergence, violation and multiplier (on a logarithmic axis where it goes far) against epochs, a panel each.

    Args:
        records: of epochs whose `monitor` tells `kl`, `violation` and `multiplier`.
        theme: the colours.

    Raises:
        ValueError: if there is no epoch, or one does not tell.

    Example:
        >>> from jensen.training import EpochRecord
        >>> told = {"kl": 9.0, "violation": 0.1, "multiplier": 2.0}
        >>> len(constraint_curves([EpochRecord(1, 10, -90.0, None, 1e-3, 1.0, 1.0, 1.0, told)]).axes)
        3
    """
    if not records or any(name not in record.monitor for record in records for name, _ in PANELS):
        raise ValueError(f"{len(records)} epochs do not tell {', '.join(name for name, _ in PANELS)}; train for one")
    figure = Figure(figsize=(WIDTH, 2.2), dpi=DPI, facecolor=theme.paper, layout="constrained")
    for axes, (name, title) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        _style(axes, theme)
        marker = "o" if len(records) < 12 else ""
        values = [record.monitor[name] for record in records]
        axes.plot([r.epoch for r in records], values, color=theme.first, linewidth=1.6, marker=marker, markersize=4)
        if name == "violation":
            for line in (-SETTLED, SETTLED):
                axes.axhline(line, color=theme.muted, linewidth=1, linestyle=(0, (4, 3)))
        if name == "multiplier" and max(values) > 10 * min(values):
            axes.set_yscale("log")
        axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
        axes.set_title(title, color=theme.ink, fontsize=9, loc="left")
        axes.set_xlabel("epoch", color=theme.muted, fontsize=9)
    return figure
