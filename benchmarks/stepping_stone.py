"""Stepping stone with all temperatures in one batch, beside one chain for each temperature, one after the other.

The same target (a logistic regression of 200 rows, five coefficients), the same temperatures, the same number of kept
draws and of leapfrog steps. Alone, each temperature has one chain of as many draws as all columns of the batch have
together, the same metric and step size, and its warm-up is left out; the batch pays for its own. Beside the seconds
there is what time each would take to the same standard error, seconds times its square.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal

from jensen._evidence import Evidence
from jensen._random import seeded_generator
from jensen._targets import Target
from jensen.evidence.stepping_stone import stepping_stone
from jensen.samplers.annealing import path_from_prior
from jensen.samplers.kernel import hmc, start
from jensen.samplers.ladder import build_ladder
from jensen.samplers.tempered import TemperedRun, temper
from measured import Row, Timed, in_turns, row, timed

__all__ = ["missing", "rows"]

TEMPERATURES, CHAINS, DRAWS, WARMUP = 16, 64, 25, 50


def logistic_regression(n: int = 200, d: int = 5) -> Target:
    """Made-up data of n rows, prior N(0, 9) for each of d coefficients."""
    generator = seeded_generator(0)
    X = torch.randn(n, d, generator=generator, dtype=torch.float64)
    y = (torch.rand(n, generator=generator, dtype=torch.float64) < (X.sum(-1) / 2).sigmoid()).double()
    prior = Normal(torch.zeros(d, dtype=torch.float64), 3.0)
    return Target(lambda theta: Bernoulli(logits=theta @ X.T).log_prob(y).sum(-1), prior)


def batched(target: Target, seed: int) -> TemperedRun:
    """All temperatures side by side."""
    settings = {"temperatures": TEMPERATURES, "chains": CHAINS, "draws": DRAWS, "warmup": WARMUP}
    return temper(target, **settings, seed=seed)


def one_after_another(target: Target, run: TemperedRun, seed: int) -> Tensor:
    """Log-likelihoods `(T, draws, 1)` of one chain per temperature."""
    draws, path, generator = DRAWS * CHAINS, path_from_prior(target), seeded_generator(1 + seed)
    ladder = build_ladder(path, len(run.betas), 1, betas=run.betas, generator=generator)
    steps = max(1, math.ceil(math.pi / 2 / float(run.step_size.median())))
    record = [target.log_terms(target.sample_prior(draws, generator=generator))[0]]
    for k in range(len(run.betas) - 1):
        weights = path.weights(run.betas[k + 1 : k + 2])
        chain = start(path.terms, ladder.points[k : k + 1], weights)
        settings = {"step_size": run.step_size[k : k + 1], "scale": ladder.scale[k : k + 1]}
        values = []
        for _ in range(draws):
            chain, _ = hmc(chain, path.terms, weights, steps=steps, generator=generator, **settings)
            values.append(chain.terms[0, 0, 0])
        record.append(torch.stack(values))
    return torch.stack(record).unsqueeze(-1)


def missing() -> str:
    """The other side is ours too."""
    return ""


def rows(repeats: int) -> Iterator[Row]:
    """Seconds, and seconds at equal error."""
    target = logistic_regression()
    run = batched(target, 0)

    def together(seed: int) -> Timed:
        def make() -> Evidence:
            found = batched(target, seed)
            return stepping_stone(found.log_ratio, found.betas)

        return timed(make)

    def alone(seed: int) -> Timed:
        return timed(lambda: stepping_stone(one_after_another(target, run, seed), run.betas))

    found = in_turns({"batched": together, "alone": alone}, repeats).values()
    case = f"stepping stone, {TEMPERATURES} temperatures"
    yield row(case, f"s, {CHAINS * DRAWS} draws of each", *([each.wall for each in side] for side in found))
    yield row(case, "s x error^2", *([each.wall * each.result.std_error**2 for each in side] for side in found))
