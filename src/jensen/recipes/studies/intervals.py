"""The experiment behind the study of coverage. Importing this imports torch."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from jensen._chains import effective_sample_size
from jensen.datasets import targets
from jensen.evidence import Draws, Settings, Target, methods
from jensen.evidence.runs import Runs
from jensen.recipes.studies.coverage import Coverage

__all__ = ["coverage"]

METHODS = (
    "bridge",
    "warp_bridge",
    "stepping_stone",
    "generalized_stepping_stone",
    "path",
    "modified_path",
    "nested",
    "smc",
    "importance",
    "variational_importance",
    "thames",
    "naive",
    "jackknife",
    "harmonic",
    "stabilized_harmonic",
)
FROM_DRAWS = ("bridge", "warp_bridge", "thames", "harmonic", "stabilized_harmonic")
Z = 1.959963984540054


def coverage(settings: Coverage, *, seed: int) -> dict[str, Callable[[], Mapping[str, Sequence[float]]]]:
    """The parts of the study: blocks of seeds on each target, and on given autocorrelated draws."""
    starts = range(0, settings.seeds, settings.block)
    blocks = [range(seed + start, seed + min(start + settings.block, settings.seeds)) for start in starts]
    parts: dict[str, Callable[[], Mapping[str, Sequence[float]]]] = {}
    for name in settings.targets:
        for block in blocks:
            parts[f"{name}, seeds from {block.start}"] = partial(_independent, name, block, settings)
    if "normal-normal" in settings.targets:
        for block in blocks:
            parts[f"autocorrelated draws, seeds from {block.start}"] = partial(_autocorrelated, block, settings)
    return parts


def _independent(name: str, seeds: range, settings: Coverage) -> dict[str, list[float]]:
    target = targets.load(name)
    names = [each for each in METHODS if not methods.METHODS[each].obstacle(target)]
    found: dict[str, list[float]] = {}
    for seed in seeds:
        _note(found, name, Runs(target, settings=_budget(settings), seed=seed), names)
    return found


def _autocorrelated(seeds: range, settings: Coverage) -> dict[str, list[float]]:
    target = targets.load("normal-normal")
    found: dict[str, list[float]] = {}
    for seed in seeds:
        runs = Runs(target, settings=_budget(settings), seed=seed, draws=_chain(target, settings, seed))
        _note(found, f"normal-normal, draws of autocorrelation {settings.rho:g}", runs, FROM_DRAWS)
    return found


def _budget(s: Coverage) -> Settings:
    return Settings(
        chains=s.chains,
        draws_per_chain=s.draws,
        warmup=s.warmup,
        temperatures=s.temperatures,
        ladder_chains=s.chains,
        ladder_draws=s.draws,
        ladder_warmup=s.warmup,
        samples=s.samples,
        live=s.live,
        particles=s.particles,
        runs=s.runs,
    )


def _note(found: dict[str, list[float]], where: str, runs: Runs, names: Sequence[str]) -> None:
    exact = math.nan if runs.target.exact is None else runs.target.exact
    for name in names:
        try:
            evidence, _ = runs.measure(name, methods.METHODS[name].run)
        except ValueError:
            held, warned = False, True
        else:
            error = _delta_method(runs) if math.isnan(evidence.std_error) else evidence.std_error
            held, warned = abs(evidence.log_z - exact) <= Z * error, bool(evidence.warnings)
        found.setdefault(f"{name}: {where}", []).append(float(held))
        found.setdefault(f"{name}: {where}, warned", []).append(float(warned))


def _delta_method(runs: Runs) -> float:
    """The error that a harmonic mean would claim if the variance of 1/L were finite."""
    log_likelihood = runs.posterior.log_likelihood
    inverse = (log_likelihood.min() - log_likelihood).exp()
    relative = inverse.std() / inverse.mean() / effective_sample_size(inverse).sqrt()
    return float(relative)


def _chain(target: Target, settings: Coverage, seed: int) -> Draws:
    """Stationary autoregressive draws of the conjugate posterior, which is normal in real coordinates."""
    generator = torch.Generator().manual_seed(seed)
    mean, deviation = _posterior()
    S, C = settings.draws * 10, max(settings.chains // 8, 4)
    noise = torch.randn(S, C, generator=generator, dtype=torch.float64)
    x = torch.empty_like(noise)
    x[0] = noise[0]
    for t in range(1, S):
        x[t] = settings.rho * x[t - 1] + math.sqrt(1 - settings.rho**2) * noise[t]
    points: Tensor = (mean + deviation * x).unsqueeze(-1)
    log_likelihood, log_prior = target.log_terms(points.flatten(0, 1)).view(2, S, C)
    return Draws(points, log_likelihood, log_prior)


def _posterior() -> tuple[float, float]:
    """Mean and standard deviation of mu given 0.5, 1.5, 2 and -0.3 of unit noise, prior variance 100."""
    precision = 4 + 1 / 100
    return 3.7 / precision, precision**-0.5
