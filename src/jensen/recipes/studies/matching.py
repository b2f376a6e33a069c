"""The matching problem's parts: baselines, and each relaxation at each noise level. Importing this imports torch."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from jensen import bounds
from jensen.models.birkhoff import (
    PermutationMatching,
    RoundedPosterior,
    StickBreakingPosterior,
    bhattacharyya,
    mallows,
)
from jensen.recipes.studies.permutations import Matching

__all__ = ["parts"]

POSTERIORS = {"stick breaking": StickBreakingPosterior, "rounding": RoundedPosterior}
Values = dict[str, list[float]]


def parts(settings: Matching, *, seed: int) -> dict[str, Callable[[], Values]]:
    """The baselines, then a part for each relaxation.

    Args:
        settings: the study's numbers.
        seed: of the problems, which all parts share.
    """
    fits = {kind: partial(_relaxed, settings, seed, kind) for kind in POSTERIORS}
    return {"baselines": partial(_baselines, settings, seed), **fits}


def _baselines(settings: Matching, seed: int) -> Values:
    """The point mass at the likeliest permutation, and Mallows' models around it."""
    model, y = _problems(settings, seed)
    exact, best = model.exact_posterior(y), model.map_estimate(y)
    found = _distances(settings, "point mass", -0.5 * exact.amax(-1).log())
    for theta in settings.mallows:
        found |= _distances(settings, f"Mallows({theta:g})", bhattacharyya(exact, mallows(best, theta)))
    return found


def _relaxed(settings: Matching, seed: int, kind: str) -> Values:
    """All problems at once, by Adam."""
    model, y = _problems(settings, seed)
    model.posterior_of = POSTERIORS[kind](size=settings.size, problems=len(y), tau=settings.tau)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    for _ in range(settings.steps):
        optimizer.zero_grad()
        loss = -bounds.elbo(model.log_weights(y, samples=settings.draws).total).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return _distances(
        settings, kind, bhattacharyya(model.exact_posterior(y), model.rounded_posterior(settings.rounded_draws))
    )


def _problems(settings: Matching, seed: int) -> tuple[PermutationMatching, Tensor]:
    """The problems of all noise levels, one level after the other, and their observations `(B, N, 2)`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        centres = torch.randn(len(settings.sigmas) * settings.repeats, settings.size, 2)
        sigma = torch.tensor(settings.sigmas).repeat_interleave(settings.repeats)
        model = PermutationMatching(posterior=torch.nn.Identity(), centres=centres, sigma=sigma, eta=settings.eta)
        return model, model.sample(1)[0]


def _distances(settings: Matching, kind: str, distance: Tensor) -> Values:
    """Both distances of each problem, by noise level."""
    levels = dict(zip(settings.sigmas, distance.reshape(len(settings.sigmas), -1), strict=True))
    found = {f"1 - BC, {kind}, sigma = {sigma:g}": (-torch.expm1(-each)).tolist() for sigma, each in levels.items()}
    return found | {f"-log BC, {kind}, sigma = {sigma:g}": each.tolist() for sigma, each in levels.items()}
