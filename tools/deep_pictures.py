"""Pictures of `docs/deep-vaes.md`, each on a light and on a dark ground."""

import argparse
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from matplotlib.figure import Figure
from network_pictures import canvas, name
from torch import Tensor, nn

from jensen import bounds, datasets, training
from jensen.distributions import DiagonalNormal
from jensen.layers import BernoulliMLP, FlowPosterior, GaussianMLP, mlp
from jensen.models import VAE, LadderVAE
from jensen.report.pictures import save
from jensen.report.theme import THEMES, Theme

DATUM = torch.tensor([[-0.5, 0.0]], dtype=torch.float64)


class Ridge(nn.Module):
    """Two Gaussian pixels whose posterior lies along a parabola."""

    def forward(self, z: Tensor) -> DiagonalNormal:
        """The pixels given latents."""
        bent = torch.stack([z[..., 1] - z[..., 0].square(), 0.3 * z[..., 0]], -1)
        return DiagonalNormal(bent, torch.tensor([-1.6, -0.3], dtype=z.dtype))


@cache
def fitted() -> dict[str, tuple[Tensor, float]]:
    """Draws of the best Gaussian and of the best flow for one datum, and their bounds."""
    found = {}
    for title in ("Gaussian", "flow"):
        torch.manual_seed(0)
        encoder = GaussianMLP(2, (), 2)
        q = FlowPosterior(encoder, 2, flow="nsf", transforms=2, hidden=(32,)) if title == "flow" else encoder
        vae = VAE(encoder=q, decoder=Ridge(), latent=2).double()
        optimizer = torch.optim.Adam(vae.parameters(), 1e-2)
        for _ in range(350):
            optimizer.zero_grad()
            (-bounds.elbo(vae.log_weights(DATUM, 64).total).mean()).backward()
            optimizer.step()
        with torch.no_grad():
            bound = bounds.elbo(vae.log_weights(DATUM, 20_000).total).item()
            found[title] = (vae.posterior(DATUM).rsample((800,))[:, 0], bound)
    return found


@cache
def exact() -> tuple[Tensor, Tensor, float]:
    """A grid, the log-density of the true posterior on it, and the log-evidence."""
    axis = torch.linspace(-8, 8, 1200, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    log_joint = Ridge()(z).log_prob(DATUM) - 0.5 * z.square().sum(-1) - torch.log(torch.tensor(2 * torch.pi))
    log_z = torch.logsumexp(log_joint, 0) + 2 * (axis[1] - axis[0]).log()
    return axis, (log_joint - log_z).reshape(1200, 1200), log_z.item()


def bent_posterior(theme: Theme) -> Figure:
    """The true posterior of one datum as contours, with draws of the best Gaussian and of the best flow."""
    axis, density, log_z = exact()
    figure, panels = canvas(theme, columns=2, height=3.0, share=True)
    for axes, (title, (draws, bound)) in zip(panels, fitted().items(), strict=True):
        axes.plot(draws[:, 0], draws[:, 1], ".", color=theme.second, markersize=2.5, alpha=0.6)
        levels = density.max().item() - torch.tensor([4.5, 2.0, 0.5])
        axes.contour(
            axis, axis, density.T, levels=levels.tolist(), colors=[theme.first], linestyles="solid", linewidths=1.2
        )
        axes.set_xlim(-3, 3)
        axes.set_ylim(-2.2, 4.2)
        name(axes, theme, title=f"{title}: {log_z - bound:.2f} nats below the evidence", x="unit 0")
    panels[0].set_ylabel("unit 1", color=theme.muted, fontsize=8)
    return figure


@cache
def nats() -> dict[str, list[Tensor]]:
    """Nats of each unit of a ladder on test digits, largest first, trained on the bound and with free bits."""
    digits = datasets.load("digits")
    x = datasets.fixed_binarization(digits.test, seed=0)
    found = {}
    for title, objective in (
        ("the bound", training.Variational(analytic_kl=True)),
        ("free bits", training.FreeBits(0.25)),
    ):
        torch.manual_seed(0)
        ladder = LadderVAE(
            up=[mlp([64, 64]), mlp([64, 32])],
            evidence=[GaussianMLP(64, (), 8), GaussianMLP(32, (), 4)],
            decoders=[BernoulliMLP(8, (64,), 64, mean=digits.train.mean(0)), GaussianMLP(4, (32,), 8)],
            latents=[8, 4],
        )
        training.fit(
            ladder,
            objective,
            datasets.DynamicBinarization(digits.train),
            epochs=30,
            batch_size=100,
            learning_rate=3e-3,
            accelerator="cpu",
            progress=False,
        )
        with torch.no_grad():
            layers = ladder.latents(x, samples=5)
        found[title] = [layer.kl.mean(0).sort(descending=True).values for layer in layers]
    return found


def silent_units(theme: Theme) -> Figure:
    """Nats of every unit of both layers, by what the ladder was trained on."""
    figure, panels = canvas(theme, columns=2, height=2.3, share=True)
    for axes, (title, (lower, upper)) in zip(panels, nats().items(), strict=True):
        axes.bar(range(8), lower, color=theme.first, width=0.7, label="layer 1")
        axes.bar(range(9, 13), upper, color=theme.second, width=0.7, label="layer 2")
        axes.axhline(0.25, color=theme.muted, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_xticks([])
        name(axes, theme, title=f"trained on {title}" if title == "the bound" else f"with {title}", legend=True)
    panels[0].set_ylabel("nats of a unit", color=theme.muted, fontsize=8)
    return figure


PICTURES: dict[str, Callable[[Theme], Figure]] = {"deep-vaes-flow": bent_posterior, "deep-vaes-units": silent_units}


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
