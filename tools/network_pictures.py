"""Pictures of `docs/bayesian_networks.md` and `docs/compression.md`, each on a light and on a dark ground."""

import argparse
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from torch import Tensor, nn

from jensen import evaluation, layers, models, training
from jensen.datasets import Pairs, Supervised, load_supervised
from jensen.layers import Prediction
from jensen.layers.shrinking import propose_thresholds
from jensen.layers.variational import MeanField, NormalPrior, bayesianize, compressible, sparsify
from jensen.report.pictures import save
from jensen.report.theme import THEMES, Theme


def canvas(theme: Theme, *, columns: int, height: float, share: bool = False) -> tuple[Figure, list[Axes]]:
    """Empty axes side by side in the colours of a theme."""
    figure = Figure(figsize=(7.2, height), dpi=160, facecolor=theme.paper, layout="constrained")
    axes: list[Axes] = list(figure.subplots(1, columns, sharey=share, squeeze=False)[0])
    for each in axes:
        each.set_facecolor(theme.paper)
        for spine in each.spines.values():
            spine.set_color(theme.rule)
        each.tick_params(which="both", colors=theme.muted, labelsize=8, length=0)
        each.set_axisbelow(True)
    return figure, axes


def name(axes: Axes, theme: Theme, *, title: str = "", x: str = "", y: str = "", legend: bool = False) -> None:
    """Title, axis labels, and the names of what is drawn in a legend."""
    axes.set_title(title, color=theme.ink, fontsize=9, loc="left")
    axes.set_xlabel(x, color=theme.muted, fontsize=8)
    axes.set_ylabel(y, color=theme.muted, fontsize=8)
    if legend:
        for text in axes.legend(fontsize=7.5, frameon=False).get_texts():
            text.set_color(theme.ink)


def train(net: nn.Module, objective: Callable[..., Tensor], data: Pairs, *, epochs: int, warm_up: int = 0) -> None:
    """Adam with a cosine schedule."""
    training.fit(
        net,
        objective,
        data,
        epochs=epochs,
        batch_size=64,
        learning_rate=training.Cosine(1e-2, epochs=epochs),
        kl_weight=training.Linear(0.0, 1.0, epochs=warm_up) if warm_up else 1.0,
        accelerator="cpu",
        progress=False,
    )


def log_likelihood(model: nn.Module, batch: Pairs, *, likelihood: nn.Module) -> Tensor:
    """Of a plain network, `(B,)`."""
    value: Tensor = likelihood.log_prob(model(batch.inputs).unsqueeze(0), batch.targets)[0]
    return value


@cache
def curve() -> Pairs:
    """Two clusters of points on a sine."""
    g = torch.Generator().manual_seed(0)
    x = torch.cat([-2.2 + 0.9 * torch.rand(40, generator=g), 0.3 + 1.4 * torch.rand(40, generator=g)])
    return Pairs(x[:, None], (2 * x).sin() + 0.1 * torch.randn(80, generator=g))


def wave() -> nn.Sequential:
    """A network of 50 units with weights of the size of the priors."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(1, 50), nn.Tanh(), nn.Linear(50, 1))
    with torch.no_grad():
        net[0].weight.normal_(std=1.5)
        net[0].bias.normal_(std=1.5)
    return net


@cache
def beyond_the_data() -> dict[str, Prediction]:
    """What a mean-field network and Laplace's approximation say on a grid."""
    pairs, grid = curve(), torch.linspace(-4, 4, 200)[:, None]
    inner = bayesianize(wave(), prior=NormalPrior(2.0), estimator="local", include="0.*")
    both = bayesianize(inner, prior=NormalPrior(0.3), estimator="local", posterior=MeanField(0.05))
    net = models.BayesianNetwork(both, likelihood=layers.GaussianLikelihood(scale=0.1))
    torch.manual_seed(0)
    train(net, training.FreeEnergy(80), pairs, epochs=3000, warm_up=300)

    plain, likelihood = wave(), layers.GaussianLikelihood(scale=0.1)
    precisions = {"0": 1 / 2.0**2, "2": 1 / 0.3**2}

    def log_joint(model: nn.Module, batch: Pairs) -> Tensor:
        decay = sum(
            precision * model.get_submodule(layer).get_parameter(each).square().sum()
            for layer, precision in precisions.items()
            for each in ("weight", "bias")
        )
        return log_likelihood(model, batch, likelihood=likelihood) - decay / (2 * 80)

    train(plain, log_joint, pairs, epochs=3000)
    laplace = models.LaplaceNetwork.fit(
        plain, pairs, likelihood=likelihood, layers="all", curvature="full", prior_precision=list(precisions.values())
    )
    return {"variational, mean field": net.predict(grid, samples=1000), "Laplace, full": laplace.predict(grid)}


def error_bars(theme: Theme) -> Figure:
    """Regression on two clusters of data: the mean and two standard deviations, with and without the noise."""
    pairs, grid = curve(), torch.linspace(-4, 4, 200)
    figure, panels = canvas(theme, columns=2, height=2.9, share=True)
    for axes, (title, found) in zip(panels, beyond_the_data().items(), strict=True):
        mean = found.mean.squeeze(-1)
        for variance, alpha in ((found.total, 0.25), (found.epistemic, 0.35)):
            reach = 2 * variance.squeeze(-1).sqrt()
            axes.fill_between(grid, mean - reach, mean + reach, color=theme.first, alpha=alpha, linewidth=0)
        axes.plot(grid, mean, color=theme.first, linewidth=1.4)
        axes.plot(pairs.inputs.squeeze(-1), pairs.targets, "o", color=theme.ink, markersize=2)
        axes.plot(grid, (2 * grid).sin(), color=theme.muted, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_ylim(-3, 3)
        name(axes, theme, title=title, x="x", y="y" if axes is panels[0] else "")
    return figure


def rotated(digits: Supervised) -> Tensor:
    """The test images turned by a right angle."""
    return digits.test.inputs.reshape(-1, 8, 8).rot90(1, (1, 2)).reshape(-1, 64)


@cache
def answers() -> tuple[dict[str, tuple[Tensor, Tensor]], int]:
    """An uncertainty and the errors of each method on test digits and as many turned ones."""
    digits = load_supervised("digits")
    x = torch.cat([digits.test.inputs, rotated(digits)])
    y = torch.cat([digits.test.targets, digits.test.targets])
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(64, 50), nn.ReLU(), nn.Linear(50, 10))
    likelihood = layers.CategoricalLikelihood()
    random = bayesianize(plain, prior=NormalPrior(0.5), posterior=MeanField(0.05), estimator="local")
    net = models.BayesianNetwork(random, likelihood=likelihood)
    train(net, training.FreeEnergy(len(digits.train)), digits.train, epochs=40, warm_up=20)
    train(plain, partial(log_likelihood, likelihood=likelihood), digits.train, epochs=20)
    draws = net.predict(x, samples=100)
    with torch.no_grad():
        usual = likelihood.predict(plain(x).unsqueeze(0))
    found = {
        "100 draws, epistemic": (draws.epistemic, draws),
        "100 draws, total": (draws.total, draws),
        "plain network, entropy": (usual.total, usual),
    }
    return {label: (doubt, (each.mean.argmax(-1) != y).double()) for label, (doubt, each) in found.items()}, len(x)


def selective_risk(theme: Theme) -> Figure:
    """Errors among the inputs that are answered, test digits and turned ones mixed."""
    figure, (axes,) = canvas(theme, columns=1, height=3.0)
    curves, count = answers()
    for (label, (doubt, wrong)), colour in zip(curves.items(), (theme.first, theme.ink, theme.second), strict=True):
        risk = evaluation.risk_coverage(doubt, wrong).risk
        axes.plot(
            [(i + 1) / count for i in range(20, count)],
            [100 * each for each in risk[20:]],
            color=colour,
            linewidth=1.4,
            label=label,
        )
    axes.axvline(0.5, color=theme.rule, linewidth=1)
    axes.grid(visible=True, axis="y", color=theme.rule, linewidth=0.8)
    name(axes, theme, x="share that is answered, the surest first", y="errors, %", legend=True)
    return figure


def compressed(convert: Callable[[nn.Module], nn.Module], *, epochs: int, warm_up: int) -> nn.Module:
    """A perceptron on the digits, trained as on `docs/compression.md`."""
    digits = load_supervised("digits")
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 10))
    net = models.BayesianNetwork(convert(plain), likelihood=layers.CategoricalLikelihood())
    train(net, training.FreeEnergy(len(digits.train)), digits.train, epochs=epochs, warm_up=warm_up)
    return net.network


@cache
def both() -> tuple[nn.Module, nn.Module]:
    """Networks under sparse variational dropout and under BC-GNJ."""
    return compressed(sparsify, epochs=60, warm_up=30), compressed(compressible, epochs=120, warm_up=0)


def what_stays(theme: Theme) -> Figure:
    """Dropout rates of hidden units with the proposed cut, and what the first layers read of an image."""
    sparse, grouped = both()
    thresholds = propose_thresholds(grouped)
    figure, (rates, inputs, weights) = canvas(theme, columns=3, height=2.6)
    log_alpha = grouped[2].group_log_alpha().detach().clamp(-8, 8)
    rates.hist(log_alpha.tolist(), bins=33, range=(-8.25, 8.25), color=theme.first)
    rates.axvline(thresholds["2"].value, color=theme.second, linewidth=1.2)
    name(rates, theme, title="hidden units, BC-GNJ", x="log α", y="units")

    shades = LinearSegmentedColormap.from_list("shades", [theme.paper, theme.first])
    stays = grouped[0].group_mask(threshold=thresholds["0"].value)
    counts = sparse[0].mask().sum(0)
    panels = (
        (inputs, stays, f"inputs that stay, BC-GNJ: {int(stays.sum())}"),
        (weights, counts, f"weights per input, sparse VD: {counts.min()} to {counts.max()}"),
    )
    for axes, values, title in panels:
        axes.imshow(values.reshape(8, 8), cmap=shades, vmin=0)
        axes.set_xticks([])
        axes.set_yticks([])
        name(axes, theme, title=title)
        axes.set_title(title, color=theme.ink, fontsize=7.5, loc="left")
    return figure


PICTURES: dict[str, Callable[[Theme], Figure]] = {
    "bayesian-networks-line": error_bars,
    "bayesian-networks-risk": selective_risk,
    "compression-digits": what_stays,
}


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="docs/assets/pictures", type=Path)
    parser.add_argument("--only", default="", help="the beginning of a name")
    options = parser.parse_args()
    for title, draw in PICTURES.items():
        if title.startswith(options.only):
            for theme in THEMES:
                save(draw(theme), options.out / f"{title}{'-dark' * (theme.name == 'dark')}.png")


if __name__ == "__main__":
    main()
