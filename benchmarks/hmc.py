"""Batched Hamiltonian Monte Carlo, 1,000 chains, beside nutpie's No-U-Turn sampler on the same torch log-density.

A Gaussian of eight dimensions with all correlations 0.5, whose density costs nothing, and a logistic regression of 532
people on seven variables, made up here, whose density is nearly all of the time. Gradients per second of the whole run;
effective draws of the worst coordinate per second, after the warm-up and with it. nutpie runs its four chains one after
the other, for Python lets only one compute at a time; its warm-up's share of the time is taken to be that of its draws.
"""

import importlib.util
import time
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Normal
from torch.nn.functional import softplus

from jensen._targets import Target
from jensen.samplers.hmc import Chains, hamiltonian
from jensen.samplers.nuts import nuts
from measured import Row, in_turns, row

__all__ = ["gaussian", "logistic", "missing", "rows"]

CHAINS, DRAWS = 1000, 50
PEER_DRAWS, PEER_WARMUP = 300, 400


class Speed(NamedTuple):
    """Per second: gradients in all, effective draws after the warm-up, and effective draws of the whole time."""

    gradients: float
    sampling: float
    whole: float


def gaussian() -> Target:
    """Eight dimensions, all correlations 0.5."""
    covariance = torch.full((8, 8), 0.5).double() + 0.5 * torch.eye(8).double()
    precision = covariance.inverse()
    prior = Normal(torch.zeros(8).double(), 10.0)
    return Target(lambda x: ((x / 10).square() - (x @ precision) * x).sum(-1) / 2, prior)


def logistic(people: int = 532, variables: int = 7) -> Target:
    """An intercept and other variables, the last two of them strongly correlated, with weak priors."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(people, variables, generator=generator).double()
    x[:, 0] = 1
    x[:, -1] = 0.9 * x[:, -2] + 0.4 * x[:, -1]
    coefficients = torch.linspace(-1.0, 1.0, variables).double()
    y = torch.bernoulli((x @ coefficients).sigmoid(), generator=generator)
    sufficient = y @ x

    def log_likelihood(b: Tensor) -> Tensor:
        return b @ sufficient - softplus(b @ x.T).sum(-1)

    return Target(log_likelihood, Normal(torch.zeros(variables).double(), 10.0))


def ours(target: Target, seed: int) -> Speed:
    """The batch; the clock is read where the warm-up ends."""
    marks = [time.perf_counter()]

    def progress(done: int, total: int) -> None:
        if done in (total - DRAWS, total):
            marks.append(time.perf_counter())

    run = hamiltonian(target, chains=CHAINS, draws=DRAWS, seed=seed, progress=progress)
    return _speed(run, marks[2] - marks[1], marks[2] - marks[0])


def theirs(target: Target, seed: int) -> Speed:
    """Four chains."""
    begun = time.perf_counter()
    run = nuts(target, chains=4, draws=PEER_DRAWS, warmup=PEER_WARMUP, seed=seed)
    seconds = time.perf_counter() - begun
    return _speed(run, seconds * PEER_DRAWS / (PEER_WARMUP + PEER_DRAWS), seconds)


def missing() -> str:
    """How to get the peer where it is not there."""
    return "" if importlib.util.find_spec("nutpie") else 'nutpie: pip install "jensen[nuts]"'


def rows(repeats: int) -> Iterator[Row]:
    """Three numbers for each target."""
    for case, make in (("Gaussian, d = 8", gaussian), ("logistic regression, 532 x 7", logistic)):
        target = make()
        sides = {"jensen": lambda seed, target=target: ours(target, seed)}
        if not missing():
            sides["nutpie"] = lambda seed, target=target: theirs(target, seed)
        found = in_turns(sides, repeats)
        quantities = ("gradients/s", "min-ESS/s", "min-ESS/s with warm-up")
        for i, quantity in enumerate(quantities):
            mine, other = ([speed[i] for speed in found.get(each, [])] for each in ("jensen", "nutpie"))
            yield row(case, quantity, mine, other, less=False)


def _speed(run: Chains, sampling: float, whole: float) -> Speed:
    least = float(run.effective_sample_size.min())
    return Speed(run.evaluations / whole, least / sampling, least / whole)
