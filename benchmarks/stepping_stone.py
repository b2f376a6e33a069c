"""Time of stepping stone with all temperatures in one batch, beside one chain per temperature run one after another.

The same target (a logistic regression with a Gaussian prior), the same temperatures, the same number of kept draws and
of leapfrog steps. Alone, each temperature has one chain of as many draws as all columns of the batch have together, the
same metric and step size, and its warm-up is left out; the batch pays for its own. One thread; both take turns,
and the table has the medians.

    python benchmarks/stepping_stone.py [--rounds 3] [--temperatures 16] [--chains 32] [--draws 10] [--warmup 20]
"""

import argparse
import math
import statistics
import time

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal

from jensen._random import seeded_generator
from jensen._targets import Target
from jensen.evidence.stepping_stone import stepping_stone
from jensen.samplers.annealing import path_from_prior
from jensen.samplers.kernel import hmc, start
from jensen.samplers.ladder import build_ladder
from jensen.samplers.tempered import TemperedRun, temper


def logistic_regression(n: int = 200, d: int = 5) -> Target:
    """Made-up data of n rows, prior N(0, 9) for each of d coefficients."""
    generator = seeded_generator(0)
    X = torch.randn(n, d, generator=generator, dtype=torch.float64)
    y = (torch.rand(n, generator=generator, dtype=torch.float64) < (X.sum(-1) / 2).sigmoid()).double()
    prior = Normal(torch.zeros(d, dtype=torch.float64), 3.0)
    return Target(lambda theta: Bernoulli(logits=theta @ X.T).log_prob(y).sum(-1), prior)


def one_after_another(target: Target, run: TemperedRun, draws: int) -> Tensor:
    """Log-likelihoods `(T, draws, 1)` of one chain per temperature."""
    path, generator = path_from_prior(target), seeded_generator(1)
    ladder = build_ladder(path, len(run.betas), 1, betas=run.betas, generator=generator)
    steps = max(1, math.ceil(math.pi / 2 / float(run.step_size.median())))
    record = [target.log_terms(target.sample_prior(draws, generator=generator))[0]]
    for k in range(len(run.betas) - 1):
        weights = path.weights(run.betas[k + 1 : k + 2])
        chain = start(path.terms, ladder.points[k : k + 1], weights)
        values = []
        for _ in range(draws):
            settings = {"step_size": run.step_size[k : k + 1], "scale": ladder.scale[k : k + 1]}
            chain, _ = hmc(chain, path.terms, weights, steps=steps, generator=generator, **settings)
            values.append(chain.terms[0, 0, 0])
        record.append(torch.stack(values))
    return torch.stack(record).unsqueeze(-1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rounds", 3), ("temperatures", 16), ("chains", 32), ("draws", 10), ("warmup", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(1)
    target = logistic_regression()
    seconds: dict[str, list[float]] = {"batched": [], "alone": []}
    for seed in range(options.rounds):
        began = time.perf_counter()
        run = temper(
            target,
            temperatures=options.temperatures,
            chains=options.chains,
            draws=options.draws,
            warmup=options.warmup,
            seed=seed,
        )
        seconds["batched"].append(time.perf_counter() - began)
        began = time.perf_counter()
        values = one_after_another(target, run, options.draws * options.chains)
        seconds["alone"].append(time.perf_counter() - began)
        print(f"all temperatures in one batch {stepping_stone(run.log_ratio, run.betas)}")
        print(f"one after another             {stepping_stone(values, run.betas)}")
    batched, alone = (statistics.median(each) for each in seconds.values())
    kept = options.temperatures * options.chains * options.draws
    print(f"\n{'':30}{'seconds':>10}{'draws/s':>12}   ({kept} kept draws, medians of {options.rounds})")
    print(f"{'all temperatures in one batch':30}{batched:10.2f}{kept / batched:12.0f}")
    print(f"{'one after another':30}{alone:10.2f}{kept / alone:12.0f}")
    print(f"ratio {alone / batched:.1f}")


if __name__ == "__main__":
    main()
