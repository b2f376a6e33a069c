"""The experiment behind the study of coverage. Importing this imports torch."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

import torch
from scipy.signal import lfilter
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
WITHOUT_ERROR = ("harmonic", "stabilized_harmonic")
CHAINS = 4
Z = 1.959963984540054
ROUNDING = 1e-9
"""Nats by which an estimate that is exact may be off: a Gaussian fit of a Gaussian has no Monte Carlo error."""


def coverage(settings: Coverage, *, seed: int) -> dict[str, Callable[[], Mapping[str, Sequence[float]]]]:
    """The parts of the study: blocks of seeds on each target, and on given autocorrelated draws."""
    parts: dict[str, Callable[[], Mapping[str, Sequence[float]]]] = {}
    if "normal-normal" in settings.targets:
        for block in _blocks(seed, settings.seeds, settings.block):
            parts[f"autocorrelated draws, seeds from {block.start}"] = partial(_autocorrelated, block, settings)
    for names, count in ((settings.targets, settings.seeds), (settings.hard, settings.hard_seeds)):
        for name in names:
            for block in _blocks(seed, count, settings.block):
                parts[f"{name}, seeds from {block.start}"] = partial(_independent, name, block, settings)
    return parts


def _blocks(seed: int, count: int, block: int) -> list[range]:
    return [range(seed + start, seed + min(start + block, count)) for start in range(0, count, block)]


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
        reference_temperatures=s.reference_temperatures,
        ladder_chains=s.chains,
        ladder_draws=s.draws,
        ladder_warmup=s.warmup,
        samples=s.samples,
        live=s.live,
        particles=s.particles,
        runs=s.runs,
    )


def _note(found: dict[str, list[float]], where: str, runs: Runs, names: Sequence[str]) -> None:
    """Whether each method's interval holds the exact value, its error in standard errors, and whether it warned."""
    exact = math.nan if runs.target.exact is None else runs.target.exact
    for name in names:
        error, warned = math.nan, True
        with suppress(ValueError):
            evidence, _ = runs.measure(name, methods.METHODS[name].run)
            error, warned = evidence.std_error, bool(evidence.warnings)
            error = _delta_method(runs) if name in WITHOUT_ERROR else error
        if not math.isnan(error):
            held, z = _judge(evidence.log_z - exact, error)
            found.setdefault(f"{name}: {where}", []).append(held)
            found.setdefault(f"{name}: {where}, z", []).append(z)
        found.setdefault(f"{name}: {where}, warned", []).append(float(warned))


def _judge(off: float, error: float) -> tuple[float, float]:
    """Whether the interval of an error bar holds what it is off by, and that in standard errors."""
    if abs(off) <= ROUNDING:
        return 1.0, 0.0
    return float(abs(off) <= Z * error), off / error if error else math.copysign(math.inf, off)


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
    noise = torch.randn(settings.given, CHAINS, generator=generator, dtype=torch.float64)
    noise[1:] *= math.sqrt(1 - settings.rho**2)
    x = torch.from_numpy(lfilter([1.0], [1.0, -settings.rho], noise.numpy(), axis=0))
    points: Tensor = (mean + deviation * x).unsqueeze(-1)
    log_likelihood, log_prior = target.log_terms(points.flatten(0, 1)).view(2, *x.shape)
    return Draws(points, log_likelihood, log_prior)


def _posterior() -> tuple[float, float]:
    """Mean and standard deviation of mu given 0.5, 1.5, 2 and -0.3 of unit noise, prior variance 100."""
    precision = 4 + 1 / 100
    return 3.7 / precision, precision**-0.5
