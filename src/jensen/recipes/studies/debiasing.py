"""The parts of the study of jackknife-corrected bounds. Importing this imports torch."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from jensen import recipes
from jensen.bounds import iwae, jackknife
from jensen.bounds.expansions import iwae_bias, relative_moments
from jensen.datasets.synthetic import LinearGaussianWorld
from jensen.recipes.build import build
from jensen.recipes.recipe import Recipe
from jensen.recipes.running import make_objective, make_schedule
from jensen.recipes.studies.jackknife import Biases
from jensen.training import Adam, fit

__all__ = ["excess", "parts", "train_digits"]

Values = dict[str, list[float]]
_CHUNK = 500


def parts(settings: Biases, *, seed: int) -> dict[str, Callable[[], Values]]:
    """A part for each order on the Gaussian model, one with all orders on the digits.

    Args:
        settings: the study's numbers.
        seed: of the trained model.
    """
    gaussian: dict[str, Callable[[], Values]] = {
        f"Gaussian, order {order}": partial(_gaussian, settings, order) for order in settings.orders
    }
    return {
        "Gaussian, predicted": partial(_gaussian_predicted, settings),
        **gaussian,
        "digits": partial(_digits, settings, seed),
    }


def excess(log_w: Tensor, log_p: Tensor | float, *, order: int) -> Tensor:
    r"""By how much estimates are above $\log p(x)$, less $\bar w / p(x) - 1$, whose expectation is 0.

    Args:
        log_w: log-weights `(K, R)`.
        log_p: $\log p(x)$, a number or `(R,)`.
        order: of the jackknife.

    Returns:
        `(R,)`.
    """
    mean_error = torch.expm1(iwae(log_w) - log_p)
    return jackknife(log_w, order=order) - log_p - mean_error


def train_digits(*, epochs: int, seed: int) -> tuple[torch.nn.Module, Tensor]:
    """A model of recipe iwae-digits after so many epochs, and its test images."""
    recipe = cast(Recipe, recipes.get("iwae-digits"))
    experiment = build(recipe, seed=seed)
    optimizer = recipe.optimizer
    fit(
        experiment.model,
        make_objective(recipe.objective),
        experiment.train,
        epochs=epochs,
        batch_size=recipe.budget.batch_size,
        learning_rate=make_schedule(optimizer, epochs=epochs),
        optimizer=Adam(betas=optimizer.betas, eps=optimizer.eps),
        seed=seed,
        accelerator="cpu",
        progress=False,
    )
    return experiment.model.eval(), experiment.test


def _gaussian(settings: Biases, order: int) -> Values:
    world, x = _world()
    log_p = world.log_prob(x).item()
    found = {}
    for K in _fitting(settings, order):
        R = _affordable(settings, K, order)
        means = []
        for _ in range(settings.batches):
            z = world.prior().sample((K, R))
            means.append(excess(world.likelihood(z).log_prob(x), log_p, order=order).mean().item())
        found[f"Gaussian, order {order}, K = {K}"] = means
    return found


def _gaussian_predicted(settings: Biases) -> Values:
    r"""With $\mathbb{E}[\mathcal{N}(x; z, 1)^2] = \mathcal{N}(x; 0, 3/2) / (2 \sqrt\pi)$ for z of the prior."""
    world, x = _world()
    log_square = -(x.item() ** 2) / 3 - math.log(3 * math.pi) / 2 - math.log(2 * math.sqrt(math.pi))
    variance = math.expm1(log_square - 2 * world.log_prob(x).item())
    return {f"Gaussian, predicted, K = {K}": [-variance / (2 * K)] for K in settings.samples}


def _world() -> tuple[LinearGaussianWorld, Tensor]:
    one = torch.ones(1, 1, dtype=torch.float64)
    return LinearGaussianWorld(one, torch.zeros(1, dtype=torch.float64), 1.0), 1.5 * one[0]


def _digits(settings: Biases, seed: int) -> Values:
    model, test = train_digits(epochs=settings.epochs, seed=seed)
    log_w = _weights(model, test[: settings.images], settings.reference)  # (N, B)
    log_p, moments = iwae(log_w), relative_moments(log_w, highest=2)
    found = {f"digits, predicted, K = {K}": iwae_bias(moments, K, order=1).tolist() for K in settings.samples}
    for order in settings.orders:
        for K in _fitting(settings, order):
            R = min(_affordable(settings, K, order), len(log_w) // K)
            groups = log_w[: K * R].reshape(K, -1)  # (K, R * B), the images side by side
            above = excess(groups, log_p.repeat(R), order=order)
            found[f"digits, order {order}, K = {K}"] = above.reshape(R, -1).mean(0).tolist()
    return found


@torch.no_grad()
def _weights(model: torch.nn.Module, x: Tensor, count: int) -> Tensor:
    """Log-weights `(count, B)` in double precision."""
    log_weights = cast(Any, model).log_weights
    done = [log_weights(x, samples=min(_CHUNK, count - i)).total.double() for i in range(0, count, _CHUNK)]
    return torch.cat(done)


def _fitting(settings: Biases, order: int) -> list[int]:
    return [K for K in settings.samples if order < K]


def _affordable(settings: Biases, K: int, order: int) -> int:
    """How many replicates the settings pay for: subsets times their sizes."""
    cost = K + sum(math.comb(K, j - 1) * (K - j + 1) for j in range(1, order + 1))
    return max(1, min(settings.replicates, settings.work // cost))
