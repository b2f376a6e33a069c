"""Time of annealed importance sampling: all chains of all data in one batch, beside loops and a hand-written version.

A decoder of digits (20-100-100-64, tanh, Bernoulli pixels) with random weights. All methods make the same number of
transitions of five leapfrog steps with step sizes that are given; the time is per chain, datum and transition. The loop
over data takes them one by one, its chains together; the loop over both takes one chain at a time. The hand-written
version is plain PyTorch, vectorised, without metrics, checks and diagnostics. All take turns, in random order, and time
is that of the processor, which other processes do not lengthen; with more threads it is the sum over them.

    python benchmarks/ais.py [--data 50] [--chains 16] [--temperatures 20] [--repeats 5] [--threads 1]
"""

import argparse
import math
import random
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jensen.layers import BernoulliMLP, GaussianMLP
from jensen.models import VAE
from jensen.samplers import Transitions, annealed_importance, sigmoid_betas
from jensen.samplers.annealing import AnnealingPath

PIXELS, HIDDEN, LATENT = 64, 100, 20
STEPS, STEP_SIZE = 5, 0.2
OURS = "jensen, one batch"


def path_of(vae: VAE, x: Tensor) -> AnnealingPath:
    """One group of chains for each datum."""

    def terms(points: Tensor) -> Tensor:
        z = points.view(len(x), -1, LATENT).transpose(0, 1)
        return torch.stack([vae.likelihood(z).log_prob(x), vae.prior().log_prob(z)]).transpose(1, 2).flatten(1)

    slopes, offsets = torch.eye(2)
    return AnnealingPath(terms, slopes, offsets, lambda n, draw: torch.randn(n, LATENT, generator=draw))


def ours(vae: VAE, x: Tensor, chains: int, betas: tuple[float, ...]) -> None:
    """A batch of data."""
    G, draw = len(x), torch.Generator().manual_seed(0)
    fixed = Transitions((0.0, 1.0), torch.full((2, G), math.log(STEP_SIZE)), torch.zeros(2, G, LATENT), STEPS)
    path = path_of(vae, x)
    points = path.sample(G * chains, draw).view(G, chains, LATENT)
    annealed_importance(path, points, betas, transitions=fixed, generator=draw)


def by_hand(decoder: nn.Module, x: Tensor, chains: int, betas: tuple[float, ...]) -> Tensor:
    """What one writes without a library."""
    z, target = torch.randn(chains, len(x), LATENT), x.expand(chains, *x.shape)
    log_w = torch.zeros(chains, len(x), dtype=torch.float64)

    def log_likelihood(z: Tensor) -> Tensor:
        return -F.binary_cross_entropy_with_logits(decoder(z), target, reduction="none").sum(-1)

    def force(z: Tensor, beta: float) -> tuple[Tensor, Tensor]:
        z = z.detach().requires_grad_()
        with torch.enable_grad():
            value = log_likelihood(z)
            (gradient,) = torch.autograd.grad(value.sum(), z)
        return value.detach(), beta * gradient - z.detach()

    with torch.no_grad():
        value = log_likelihood(z)
        for before, beta in pairwise(betas):
            log_w += (beta - before) * value
            if beta == betas[-1]:
                break
            p = torch.randn_like(z)
            start = beta * value - z.square().sum(-1) / 2 - p.square().sum(-1) / 2
            new, (new_value, gradient) = z, force(z, beta)
            for _ in range(STEPS):
                p = p + STEP_SIZE / 2 * gradient
                new = new + STEP_SIZE * p
                new_value, gradient = force(new, beta)
                p = p + STEP_SIZE / 2 * gradient
            end = beta * new_value - new.square().sum(-1) / 2 - p.square().sum(-1) / 2
            accepted = torch.rand_like(start).log() < end - start
            z, value = torch.where(accepted.unsqueeze(-1), new, z), torch.where(accepted, new_value, value)
    return log_w


def methods(data: int, chains: int, betas: tuple[float, ...]) -> dict[str, tuple[Callable[[], object], float]]:
    """Each method, and the share of the work that it is timed on."""
    torch.manual_seed(0)
    encoder, decoder = GaussianMLP(PIXELS, (HIDDEN,), LATENT), BernoulliMLP(LATENT, (HIDDEN, HIDDEN), PIXELS)
    vae = VAE(encoder=encoder, decoder=decoder, latent=LATENT)
    x = torch.bernoulli(torch.full((data, PIXELS), 0.3))
    few = x[: max(1, data // 10)]
    alone = few[: max(1, len(few) // chains)]

    def each(batch: Tensor, count: int, times: int) -> Callable[[], object]:
        return lambda: [ours(vae, one.unsqueeze(0), count, betas) for one in batch for _ in range(times)]

    return {
        OURS: (lambda: ours(vae, x, chains, betas), 1.0),
        "by hand, one batch": (lambda: by_hand(decoder.network, x, chains, betas), 1.0),
        "jensen, a loop over data": (each(few, chains, 1), len(few) / data),
        "jensen, a loop over data and chains": (each(alone, 1, chains), len(alone) / data),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("data", 50), ("chains", 16), ("temperatures", 20), ("repeats", 5), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    every = methods(options.data, options.chains, sigmoid_betas(options.temperatures))
    times: dict[str, list[float]] = {name: [] for name in every}
    for repeat in range(options.repeats + 1):
        for name in random.sample(list(every), len(every)):
            run, share = every[name]
            begun = time.process_time()
            run()
            if repeat:
                times[name].append((time.process_time() - begun) / share)
    work = options.data * options.chains * (options.temperatures - 2)
    print(
        f"{options.data} data, {options.chains} chains, {options.temperatures} temperatures, {STEPS} leapfrog steps\n"
    )
    print(f"{'method':38} {'median':>12} {'least':>12} {'ratio':>7}   microseconds a transition")
    reference = statistics.median(times[OURS])
    for name, taken in times.items():
        median, least = statistics.median(taken), min(taken)
        print(f"{name:38} {1e6 * median / work:12.2f} {1e6 * least / work:12.2f} {median / reference:7.2f}")


if __name__ == "__main__":
    main()
