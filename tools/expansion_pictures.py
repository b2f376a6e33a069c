"""Pictures of `docs/asymptotics.md`, `docs/em.md` and `docs/debiasing.md`, each on a light and on a dark ground."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from scipy.integrate import quad
from torch import Tensor
from torch.distributions import Binomial

from jensen.asymptotics import laplace_integral
from jensen.recipes.studies.jackknife import EXACT, FOUND
from jensen.report.pictures import save
from jensen.report.theme import THEMES, Theme
from jensen.samplers import expectation_maximization, growing_samples, monte_carlo_em

MODE = (15 + math.sqrt(53809)) / 394
HALF = torch.tensor(0.5, dtype=torch.float64)


def canvas(theme: Theme, *, height: float = 3.6) -> tuple[Figure, Axes]:
    """An empty figure in the colours of a theme."""
    figure = Figure(figsize=(6.4, height), dpi=160, facecolor=theme.paper, layout="constrained")
    axes: Axes = figure.subplots()
    axes.set_facecolor(theme.paper)
    for spine in axes.spines.values():
        spine.set_color(theme.rule)
    axes.tick_params(which="both", colors=theme.muted, labelsize=8, length=0)
    axes.grid(visible=True, axis="y", color=theme.rule, linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def name_lines(axes: Axes, theme: Theme, x: str, y: str) -> None:
    """Axis labels, and the names of the lines in a legend."""
    axes.set_xlabel(x, color=theme.muted, fontsize=9)
    axes.set_ylabel(y, color=theme.muted, fontsize=9)
    legend = axes.legend(fontsize=8, frameon=False)
    for text in legend.get_texts():
        text.set_color(theme.ink)


def truncation(theme: Theme) -> Figure:
    """The relative error of the integral of exp(-xt) / (1 + t) against the number of terms."""
    figure, axes = canvas(theme)
    for x, colour in ((5.0, theme.second), (10.0, theme.muted), (20.0, theme.first)):
        exact = quad(lambda t, x=x: math.exp(-x * t) / (1 + t), 0, 10, epsabs=0, epsrel=1e-13, limit=300)[0]
        series = laplace_integral(lambda t: 1 / (1 + t), lambda t: -t, x, interval=(0, 10))
        error = ((series.partial_sums - exact).abs() / exact)[:30].tolist()
        count = range(1, len(error) + 1)
        axes.semilogy(count, error, color=colour, linewidth=1.4, marker="o", markersize=2.5, label=f"x = {x:g}")
        best = series.optimal_order
        axes.semilogy([best], [error[best - 1]], color=theme.ink, marker="o", markersize=7, fillstyle="none")
    axes.set_ylim(1e-9, 10)
    name_lines(axes, theme, "number of terms", "relative error")
    return figure


def latents(theta: Tensor, count: int) -> Tensor:
    """Draws of how many of the 125 animals belong to the second half of the first kind."""
    drawn: Tensor = Binomial(125, theta / (2 + theta)).sample(torch.Size((count,)))
    return drawn


def m_step(x: Tensor) -> Tensor:
    """The largest complete-data likelihood, from the mean of the latent counts."""
    return (x.mean() + 34) / (x.mean() + 72)


def iterates(theme: Theme) -> Figure:
    """Distances of the iterates of EM and of Monte Carlo EM from the mode of the linkage counts."""
    figure, axes = canvas(theme)
    exact = expectation_maximization(lambda t: 125 * t / (2 + t), m_step, HALF).history
    runs = (
        ("EM", exact, theme.ink),
        ("10 draws each", monte_carlo_em(latents, m_step, HALF, samples=(10,) * 40).history, theme.second),
        ("1,000 draws each", monte_carlo_em(latents, m_step, HALF, samples=(1000,) * 40).history, theme.muted),
        (
            "10 growing to 10,000",
            monte_carlo_em(latents, m_step, HALF, samples=growing_samples(40)).history,
            theme.first,
        ),
    )
    for label, history, colour in runs:
        distance = (history - MODE).abs()[:41].tolist()
        axes.semilogy(range(len(distance)), distance, color=colour, linewidth=1.4, label=label)
    axes.set_ylim(1e-8, 0.3)
    name_lines(axes, theme, "iteration", "distance from the mode")
    return figure


def biases(theme: Theme) -> Figure:
    """Absolute biases of the jackknife's orders on the Gaussian model: exact lines, measured points."""
    figure, axes = canvas(theme)
    shades = (theme.muted, theme.second, theme.first, theme.ink)
    for order, colour in zip(range(4), shades, strict=True):
        K = list(EXACT[order])
        axes.loglog(K, [abs(b) for b in EXACT[order].values()], color=colour, linewidth=1.4, label=f"order {order}")
        found = FOUND[f"Gaussian, order {order}"]
        told = {k: found[k] for k, bias in EXACT[order].items() if abs(bias) > 2 * found[k][1]}
        axes.errorbar(
            list(told),
            [abs(value) for value, _ in told.values()],
            yerr=[error for _, error in told.values()],
            color=colour,
            fmt="o",
            markersize=3.5,
            elinewidth=1,
        )
    axes.set_xticks(list(EXACT[0]), [str(k) for k in EXACT[0]])
    axes.xaxis.set_minor_locator(NullLocator())
    name_lines(axes, theme, "K, weights in an estimate", "absolute bias, nats")
    return figure


PICTURES: dict[str, Callable[[Theme], Figure]] = {
    "asymptotics-truncation": truncation,
    "em-iterates": iterates,
    "debiasing-jackknife": biases,
}


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="docs/assets/pictures", type=Path)
    options = parser.parse_args()
    for name, draw in PICTURES.items():
        for theme in THEMES:
            save(draw(theme), options.out / f"{name}{'-dark' * (theme.name == 'dark')}.png")


if __name__ == "__main__":
    main()
