"""Pictures of the pages on generative models, each on a light and on a dark ground."""

import argparse
import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullLocator
from network_pictures import canvas, name
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal, Normal

from jensen._contracts import Inference
from jensen.evaluation import evaluate_annealed
from jensen.evaluation.rate_distortion import gaussian_rate
from jensen.layers import GaussianMLP
from jensen.models import VAE, Drawing
from jensen.recipes.build import build
from jensen.recipes.running import load_model
from jensen.recipes.thinning import thinned
from jensen.report.film import Box, boxes
from jensen.report.pictures import save
from jensen.report.theme import THEMES, Theme
from jensen.training import Constrained, Cosine, ReconstructionError, Stepper

CODERS = ("bits back", "bz2", "xz", "zstd", "gzip", "WebP", "PNG")
WEIGHED = {
    "MNIST, 10,000 binary images": (0.1797, 0.250, 0.277, 0.289, 0.328, 0.330, 0.366),
    "digits, 300 binary images": (0.572, 0.705, 0.755, 0.640, 0.670, 0.657, 0.919),
    "digits, 300 images, 17 grey levels": (2.00, 2.84, 2.90, 3.01, 3.19, 3.08, 3.82),
}
"""What `jensen compress` printed, all images in one file, bits a dimension."""

BOUNDS = (0.1795, 0.5190, 1.953)
ARCHITECTURES = ("200-200-20", "300-16")
VARIANCES = torch.tensor([4.0, 2.0, 1.0, 0.5, 0.25, 0.12, 0.06, 0.03], dtype=torch.float64)
POINTS = 8**0.5 * torch.cat([torch.eye(8), -torch.eye(8)]).double()  # mean 0, covariance I

TEMPERATURES = (3, 6, 12, 25, 50, 100, 200)
CHAINS = {1: "one chain for each datum", 16: "16 chains"}
NO_SHAPE = torch.Size()


def weights_of_images(theme: Theme) -> Figure:
    """The file beside other coders' files, the bound as a line."""
    figure, panels = canvas(theme, columns=3, height=2.5)
    for axes, (title, rates), bound in zip(panels, WEIGHED.items(), BOUNDS, strict=True):
        colours = [theme.first] + [theme.faint] * (len(CODERS) - 1)
        axes.barh(CODERS, rates, color=colours, height=0.7)
        axes.invert_yaxis()
        axes.axvline(bound, color=theme.second, linewidth=1.2)
        for place, rate in enumerate(rates):
            shown = f" {rate:.3f}" if rate < 1 else f" {rate:.2f}"
            axes.text(rate, place, shown, va="center", color=theme.ink, fontsize=7)
        axes.set_xlim(0, 1.2 * max(rates))
        name(axes, theme, x="bits a dimension")
        axes.set_title(title, color=theme.ink, fontsize=7.5, loc="left")
        if axes is not panels[0]:
            axes.set_yticklabels([])
    return figure


class Expected(nn.Module):
    """A model whose noise is integrated over: for quadratic functions sixteen points have all its moments."""

    def __init__(self, vae: VAE) -> None:
        super().__init__()
        self.vae = vae

    def infer(self, x: Tensor, samples: int) -> Inference:
        """One pass at all points of the noise."""
        return self.vae.infer(x, samples, noise=POINTS[:, None].expand(samples, len(x), 8))


@cache
def course() -> list[tuple[float, float, float]]:
    """Multiplier, distortion and rate of the linear model after every step, as on `docs/constrained.md`."""
    torch.manual_seed(0)
    x = POINTS * VARIANCES.sqrt() @ torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64)).Q.T
    torch.manual_seed(0)
    encoder = GaussianMLP(8, (), 8, scale="learned")
    vae = VAE(encoder=encoder, decoder=GaussianMLP(8, (), 8, scale=0.5**0.5), latent=8)
    objective = Constrained(ReconstructionError(1.0), samples=16, alpha=0.9, rate=0.1)
    stepper, schedule = Stepper(Expected(vae.double()), objective), Cosine(0.08, epochs=1500)
    found = []
    for step in range(1500):
        for group in stepper.optimizer.param_groups:
            group["lr"] = schedule(step)
        stepper.step(x)
        told = objective.monitor()
        found.append((told["multiplier"], 1 + told["constraint"], told["kl"]))
    return found


def multiplier(theme: Theme) -> Figure:
    """How multiplier, distortion and rate find the values that are known."""
    figure, panels = canvas(theme, columns=3, height=2.3)
    exact = gaussian_rate(VARIANCES, 1.0)
    lines = zip(*course(), strict=True)
    goals = {
        "multiplier": (exact.multiplier, (3, 5, 10)),
        "distortion": (1.0, (0.6, 1, 3, 10)),
        "rate, nats": (exact.rate, (4, 5, 6, 8)),
    }
    for axes, line, (title, (goal, ticks)) in zip(panels, lines, goals.items(), strict=True):
        axes.axhline(goal, color=theme.second, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.semilogy(line, color=theme.first, linewidth=1.4)
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.yaxis.set_minor_locator(NullLocator())
        name(axes, theme, title=title, x="step")
    return figure


def plane(theme: Theme, *, study: Path) -> Figure:
    """Rate against distortion on MNIST, a panel for each architecture; a line through all beta-VAEs."""
    parts = json.loads((study / "results.json").read_text(encoding="utf-8"))["parts"]
    values = {key: found[0] for part in parts.values() for key, found in part["values"].items()}
    figure, panels = canvas(theme, columns=2, height=3.2, share=True)
    for axes, architecture in zip(panels, ARCHITECTURES, strict=True):
        of = partial(points, values, architecture)
        for kappa in (5, 4, 3.5):
            axes.axvline(kappa**2, color=theme.rule, linewidth=1)
        axes.plot(*of("beta-VAE", "at 1/lambda"), color=theme.muted, linewidth=1)
        axes.plot(*of("beta-VAE"), color=theme.muted, linewidth=0, marker="o", markersize=4, label="beta-VAE")
        axes.plot(*of("at 1/lambda"), color=theme.ink, linewidth=0, marker="x", markersize=6, label="beta-VAE at 1/λ")
        warm = of("KL warm-up")
        axes.plot(*warm, color=theme.muted, linewidth=0, marker="s", markersize=5, label="KL warm-up, beta = 1")
        axes.plot(*of("GECO"), color=theme.second, linewidth=0, marker="D", markersize=5, label="GECO, κ = 5, 4, 3.5")
        label(axes, theme, architecture, legend=axes is panels[0])
    return figure


def points(values: dict[str, float], architecture: str, *methods: str) -> tuple[list[float], list[float]]:
    """Distortions and rates of methods, the smallest distortion first."""
    own = [key for key in values if key.startswith(tuple(f"{method}, {architecture}" for method in methods))]
    both = zip(
        [values[key] for key in own if key.endswith(": distortion")],
        [values[key] for key in own if key.endswith(": rate")],
        strict=True,
    )
    distortions, rates = zip(*sorted(both), strict=True)
    return list(distortions), list(rates)


def label(axes: Axes, theme: Theme, title: str, *, legend: bool) -> None:
    """Names of a rate-distortion plane."""
    name(axes, theme, title=title, x="distortion", y="rate, nats" if legend else "", legend=legend)


@cache
def drawn(run: Path) -> tuple[Drawing, Tensor, Drawing, int | None]:
    """Five draws of a DRAW of digits, five test images and how they are drawn again, and the side of its windows."""
    config, model = load_model(run, device="cpu")
    test = thinned(build(config.recipe, seed=config.seed).test, 5)
    torch.manual_seed(0)
    with torch.no_grad():
        return model.imagine(5), test, model.redraw(test), model.read


def strips(axes: Axes, theme: Theme, images: Tensor, windows: list[list[Box]] | None = None) -> None:
    """Six steps of images `(rows, steps, side, side)` beside each other, each with the outline of its window."""
    shades = LinearSegmentedColormap.from_list("shades", [theme.paper, theme.ink])
    side, rows, columns = images.shape[-1], len(images), 6
    pitch = 1.125 * side
    shown = torch.linspace(0, images.shape[1] - 1, columns).round().int().tolist()
    for i in range(rows):
        for j, step in enumerate(shown):
            x, y = pitch * j, pitch * i
            axes.imshow(images[i, step], cmap=shades, vmin=0, vmax=1, extent=(x, x + side, y + side, y), zorder=1)
            axes.add_patch(Rectangle((x, y), side, side, fill=False, edgecolor=theme.rule, linewidth=0.5, zorder=2))
            if windows is not None:
                left, top, right, bottom = (min(max(edge, 0.0), side) for edge in windows[i][step][:4])
                corner, width, height = (x + left, y + top), right - left, bottom - top
                axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=theme.second, zorder=3))
    axes.set_xlim(-side / 16, pitch * columns - side / 16)
    axes.set_ylim(pitch * rows - side / 16, -side / 16)
    axes.set_xticks([pitch * j + side / 2 for j in range(columns)], [str(step + 1) for step in shown])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def canvases(theme: Theme, *, run: Path, attention: Path) -> Figure:
    """What has been drawn after each step; with attention, where the model looked and where it wrote."""
    figure, panels = canvas(theme, columns=3, height=2.75)
    strips(panels[0], theme, _squares(drawn(run)[0].canvases))
    name(panels[0], theme, title="draws" if run == attention else "draws, without attention", x="step")
    _, test, again, size = drawn(attention)
    if size is None or again.looked is None or again.written is None:
        raise ValueError(f"{attention} is a run without attention")
    looked, written = (
        list(map(list, zip(*(boxes(w, size=size) for w in windows), strict=True)))
        for windows in (again.looked, again.written)
    )
    seen = _squares(test.expand(len(again.canvases), *test.shape))
    strips(panels[1], theme, seen, looked)
    name(panels[1], theme, title="test digits: where it looks", x="step")
    strips(panels[2], theme, _squares(again.canvases), written)
    name(panels[2], theme, title="where it writes", x="step")
    return figure


def _squares(canvases: Tensor) -> Tensor:
    """Canvases `(steps, rows, pixels)` as pictures `(rows, steps, side, side)`."""
    side = round(canvases.shape[-1] ** 0.5)
    return canvases.unflatten(-1, (side, side)).transpose(0, 1)


class Linear:
    """z ~ N(0, I), x | z ~ N(Wz, 0.2^2 I), which keeps what it makes: log p(x) is that of a Gaussian."""

    def __init__(self) -> None:
        self.W = torch.randn(8, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        self.noise = 0.2
        self.made: list[Tensor] = []

    def prior(self) -> Independent:
        """Of four latents."""
        return Independent(Normal(torch.zeros(4, dtype=torch.float64), 1.0), 1)

    def likelihood(self, z: Tensor) -> Independent:
        """Of eight numbers."""
        return Recorded(self.made, Normal(z @ self.W.T, self.noise), 1)

    def log_evidence(self, x: Tensor) -> Tensor:
        """The evidence."""
        covariance = self.W @ self.W.T + self.noise**2 * torch.eye(8, dtype=torch.float64)
        return MultivariateNormal(torch.zeros(8, dtype=torch.float64), covariance).log_prob(x)


class Recorded(Independent):
    """A likelihood that keeps what was drawn of it."""

    def __init__(self, kept: list[Tensor], base: Normal, event: int) -> None:
        super().__init__(base, event)
        self.kept = kept

    def sample(self, sample_shape: torch.Size = NO_SHAPE) -> Tensor:
        """One draw, kept."""
        x: Tensor = super().sample(sample_shape)
        self.kept.append(x)
        return x


@cache
def squeezed() -> dict[int, list[tuple[float, float]]]:
    """With one chain and with 16, lower and upper bounds minus log p(x), means over 100 data that the model made."""
    found: dict[int, list[tuple[float, float]]] = {1: [], 16: []}
    for chains, rows in found.items():
        for temperatures in TEMPERATURES:
            model, nothing = Linear(), torch.zeros(1, 8, dtype=torch.float64)
            result = evaluate_annealed(model, nothing, temperatures=temperatures, chains=chains, simulated=100)
            truth = model.log_evidence(torch.cat(model.made)).mean().item()
            rows.append((result.rows[1].value - truth, result.rows[2].value - truth))
    return found


def sandwich(theme: Theme) -> Figure:
    """Both sides of the truth against the number of temperatures."""
    figure, (axes,) = canvas(theme, columns=1, height=2.8)
    axes.axhline(0, color=theme.ink, linewidth=1, linestyle=(0, (4, 3)))
    for (chains, rows), colour in zip(squeezed().items(), (theme.second, theme.first), strict=True):
        lower, upper = zip(*rows, strict=True)
        axes.plot(TEMPERATURES, lower, color=colour, linewidth=1.4, marker="o", markersize=3)
        axes.plot(TEMPERATURES, upper, color=colour, linewidth=1.4, marker="o", markersize=3, label=CHAINS[chains])
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=0.1)
    axes.set_xticks(TEMPERATURES, [str(each) for each in TEMPERATURES])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yticks([-100, -10, -1, -0.1, 0, 0.1, 1, 10], ["-100", "-10", "-1", "-0.1", "log p(x)", "0.1", "1", "10"])
    axes.yaxis.set_minor_locator(NullLocator())
    name(axes, theme, x="temperatures", y="nats", legend=True)
    return figure


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="docs/assets/pictures", type=Path)
    parser.add_argument("--only", default="", help="the beginning of a name")
    parser.add_argument("--study", default="runs/rate-distortion-mnist", type=Path, help="a run of that study")
    parser.add_argument("--draw", default="runs/draw-digits", type=Path, help="a run of that recipe")
    parser.add_argument("--attention", default="runs/draw-digits-attention", type=Path, help="a run of that recipe")
    parser.add_argument("--mnist", default="runs/draw-mnist-small-attention", type=Path, help="a run of that recipe")
    options = parser.parse_args()
    pictures: dict[str, Callable[[Theme], Figure]] = {
        "bits-back-coders": weights_of_images,
        "constrained-exact": multiplier,
        "constrained-mnist": partial(plane, study=options.study),
        "draw-digits": partial(canvases, run=options.draw, attention=options.attention),
        "draw-mnist": partial(canvases, run=options.mnist, attention=options.mnist),
        "annealing-sandwich": sandwich,
    }
    for title, draw in pictures.items():
        if title.startswith(options.only):
            for theme in THEMES:
                save(draw(theme), options.out / f"{title}{'-dark' * (theme.name == 'dark')}.png")


if __name__ == "__main__":
    main()
