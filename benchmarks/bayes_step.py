"""Time of one training step of a Bayesian network, beside a plain one, hand-written PyTorch and three peers.

The same network (784-400-400-10, ReLU), the same batch of 128, one draw of the noise, forward, divergence, backward,
Adam. All methods take turns in one process, in random order and in short bursts; a ratio is the median over the turns
of a burst's time to that of the deterministic network with `torch.optim.Adam` in the same turn. With glibc's default
allocator the steps wait for pages; `make bench` raises its thresholds for all of them.

Two of the peers ask for torchvision, which is not needed here and clashes with a CPU build of torch, so that they are
no extra of this package. Peers that are not installed are named and left out:

    pip install --no-deps bayesian-torch==0.5.0 torchbnn==1.2
    pip install --no-deps blitz-bayesian-pytorch==0.2.8
    python benchmarks/bayes_step.py [--seconds 60] [--threads 1]

What the peers call a divergence differs: bayesian-torch averages over each tensor and sums the averages, BLiTZ
estimates it from the draw, torchbnn sums it. Their arithmetic is timed as it is.
"""

import argparse
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jensen.datasets import Pairs
from jensen.layers import CategoricalLikelihood
from jensen.layers.variational import (
    MeanField,
    ScaleMixturePrior,
    bayesianize,
    draw_weights,
    forward_and_kl,
    forward_with,
    log_posterior,
    log_prior,
)
from jensen.models import BayesianNetwork
from jensen.training import Adam, FreeEnergy, Stepper

Step = Callable[[Tensor, Tensor], object]
Loss = Callable[[Tensor, Tensor], Tensor]
SIZES = (784, 400, 400, 10)
BATCH, DATA, SCALE, STEPS = 128, 60_000, 0.02, 5
REFERENCE = "deterministic, Adam()"
INITIAL_RHO = -3.9


def mlp(linear: Callable[[int, int], nn.Module] = nn.Linear) -> nn.Sequential:
    """The network from any kind of linear layer."""
    layers = [linear(inputs, outputs) for inputs, outputs in pairwise(SIZES)]
    return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])


def stepper(network: nn.Module, loss: Loss, optimizer: Callable[..., torch.optim.Optimizer]) -> Step:
    """A step of an optimizer on a loss."""
    adam = optimizer(list(network.parameters()), lr=1e-3)

    def step(x: Tensor, y: Tensor) -> None:
        adam.zero_grad()
        loss(x, y).backward()
        adam.step()

    return step


def deterministic(optimizer: Callable[..., torch.optim.Optimizer]) -> Step:
    """No random weights."""
    network = mlp()
    return stepper(network, lambda x, y: F.cross_entropy(network(x), y), optimizer)


class HandWritten(nn.Module):
    """What one writes by hand: softplus scales, closed divergence from a standard normal, autograd for the rest."""

    def __init__(self, inputs: int, outputs: int, *, local: bool) -> None:
        super().__init__()
        self.local = local
        self.mean = nn.Parameter(torch.randn(outputs, inputs) * inputs**-0.5)
        self.rho = nn.Parameter(torch.full((outputs, inputs), INITIAL_RHO))
        self.bias_mean = nn.Parameter(torch.zeros(outputs))
        self.bias_rho = nn.Parameter(torch.full((outputs,), INITIAL_RHO))

    def forward(self, x: Tensor) -> Tensor:
        """The output, and the divergence on the side."""
        scale, bias_scale = F.softplus(self.rho), F.softplus(self.bias_rho)
        self.kl = self.divergence(self.mean, scale) + self.divergence(self.bias_mean, bias_scale)
        if self.local:
            mean = F.linear(x, self.mean, self.bias_mean)
            variance = F.linear(x.square(), scale.square(), bias_scale.square())
            return mean + (variance + 1e-16).sqrt() * torch.randn_like(mean)
        weight = self.mean + scale * torch.randn_like(scale)
        return F.linear(x, weight, self.bias_mean + bias_scale * torch.randn_like(bias_scale))

    @staticmethod
    def divergence(mean: Tensor, scale: Tensor) -> Tensor:
        """From a standard normal."""
        return (0.5 * (scale.square() + mean.square() - 1) - scale.log()).sum()


def hand_written(*, local: bool) -> Step:
    """The usual implementation with the usual optimizer."""
    network = mlp(lambda inputs, outputs: HandWritten(inputs, outputs, local=local))

    def loss(x: Tensor, y: Tensor) -> Tensor:
        nll = F.cross_entropy(network(x), y)
        return nll + sum(layer.kl for layer in network if isinstance(layer, HandWritten)) / DATA

    return stepper(network, loss, torch.optim.Adam)


def ours(estimator: str, *, parameterization: str = "log") -> Step:
    """This library with the closed-form divergence."""
    family = MeanField(SCALE, parameterization)
    network = bayesianize(mlp(), posterior=family, estimator=estimator)

    def loss(x: Tensor, y: Tensor) -> Tensor:
        output, kl = forward_and_kl(network, x)
        return F.cross_entropy(output, y) + kl / DATA

    return stepper(network, loss, Adam())


def whole(estimator: str) -> Step:
    """This library as it trains: a Bayesian network, the free energy as its objective, and the loop's own stepper."""
    network = bayesianize(mlp(), posterior=MeanField(SCALE), estimator=estimator)
    stepper = Stepper(BayesianNetwork(network, likelihood=CategoricalLikelihood()), FreeEnergy(DATA))
    return lambda x, y: stepper.step(Pairs(x, y))


def ours_by_monte_carlo() -> Step:
    """Bayes by Backprop as in the paper: a scale mixture, and a divergence estimated from the draw."""
    prior = ScaleMixturePrior(0.5, 1.0, 0.0025)
    network = bayesianize(mlp(), prior=prior, posterior=MeanField(SCALE))

    def loss(x: Tensor, y: Tensor) -> Tensor:
        weights = draw_weights(network, 1)
        kl = (log_posterior(network, weights) - log_prior(network, weights))[0]
        return F.cross_entropy(forward_with(network, x, weights)[0], y) + kl / DATA

    return stepper(network, loss, Adam())


def bayesian_torch(name: str) -> Step:
    """bayesian-torch 0.5.0: each layer returns its output and its divergence."""
    from bayesian_torch import layers

    network = mlp(lambda inputs, outputs: getattr(layers, name)(inputs, outputs, posterior_rho_init=INITIAL_RHO))

    def loss(x: Tensor, y: Tensor) -> Tensor:
        total: Tensor | float = 0.0
        for layer in network:
            if isinstance(layer, nn.ReLU):
                x = layer(x)
            else:
                x, kl = layer(x)
                total = total + kl
        return F.cross_entropy(x, y) + total / DATA

    return stepper(network, loss, torch.optim.Adam)


def blitz() -> Step:
    """BLiTZ 0.2.8 with its own `sample_elbo`."""
    from blitz.modules import BayesianLinear
    from blitz.utils import variational_estimator

    @variational_estimator
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = mlp(lambda inputs, outputs: BayesianLinear(inputs, outputs, posterior_rho_init=INITIAL_RHO))

        def forward(self, x: Tensor) -> Tensor:
            return self.layers(x)

    network = Network()
    weight = 1 / DATA

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return network.sample_elbo(x, y, F.cross_entropy, sample_nbr=1, complexity_cost_weight=weight)

    return stepper(network, loss, torch.optim.Adam)


def torchbnn() -> Step:
    """The divergence of torchbnn 1.2 is summed, which is not its default."""
    import torchbnn as bnn

    network = mlp(lambda inputs, outputs: bnn.BayesLinear(0, SCALE, inputs, outputs))
    divergence = bnn.BKLLoss(reduction="sum")
    return stepper(
        network, lambda x, y: F.cross_entropy(network(x), y) + divergence(network).sum() / DATA, torch.optim.Adam
    )


MAKERS: dict[str, Callable[[], Step]] = {
    REFERENCE: lambda: deterministic(torch.optim.Adam),
    "deterministic, Adam(fused=True)": lambda: deterministic(Adam()),
    "local, by hand": lambda: hand_written(local=True),
    "local, jensen": lambda: ours("local"),
    "local, jensen, free energy": lambda: whole("local"),
    "local, jensen, softplus": lambda: ours("local", parameterization="softplus"),
    "sampled, by hand": lambda: hand_written(local=False),
    "sampled, bayesian-torch": lambda: bayesian_torch("LinearReparameterization"),
    "sampled, torchbnn": torchbnn,
    "sampled, jensen": lambda: ours("sampled"),
    "sampled, jensen, softplus": lambda: ours("sampled", parameterization="softplus"),
    "sampled, mixture, BLiTZ": blitz,
    "sampled, mixture, jensen": ours_by_monte_carlo,
    "flipout, bayesian-torch": lambda: bayesian_torch("LinearFlipout"),
    "flipout, jensen": lambda: ours("flipout"),
    "flipout, jensen, softplus": lambda: ours("flipout", parameterization="softplus"),
}


def methods() -> dict[str, Step]:
    """Every step that can be timed here."""
    steps = {}
    for name, make in MAKERS.items():
        try:
            steps[name] = make()
        except ImportError as error:
            print(f"left out: {name} ({error}); the lines to install it are at the top of this file")
    return steps


def batch() -> tuple[Tensor, Tensor]:
    """New data for every step, so that no method comes to work on vanishing, denormal gradients."""
    return torch.bernoulli(torch.full((BATCH, SIZES[0]), 0.13)), torch.randint(SIZES[-1], (BATCH,))


def burst(step: Step) -> float:
    """Seconds for each of a few steps, after one that is not timed."""
    batches = [batch() for _ in range(STEPS + 1)]
    step(*batches[0])
    start = time.perf_counter()
    for each in batches[1:]:
        step(*each)
    return (time.perf_counter() - start) / STEPS


def measure(steps: dict[str, Step], seconds: float) -> dict[str, list[float]]:
    """Seconds of a step in each burst; all methods in every turn, in random order."""
    times: dict[str, list[float]] = defaultdict(list)
    for step in steps.values():
        burst(step)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name in random.sample(list(steps), len(steps)):
            times[name].append(burst(steps[name]))
    return times


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    random.seed(0)
    steps = methods()
    times = measure(steps, options.seconds)
    turns = len(times[REFERENCE])
    print(f"torch {torch.__version__}, {options.threads} thread(s), float32, {turns} turns of {STEPS} steps each")
    print(f"{'':34s}{'median ms':>10s}{'min ms':>8s}{'x turn':>8s}{'quartiles':>14s}{'x min':>7s}")
    for name in steps:
        ratios = [mine / plain for mine, plain in zip(times[name], times[REFERENCE], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        line = f"{name:34s}{1e3 * statistics.median(times[name]):10.2f}{1e3 * min(times[name]):8.2f}{middle:8.2f}"
        print(f"{line}{f'{low:.2f} - {high:.2f}':>14s}{min(times[name]) / min(times[REFERENCE]):7.2f}")


if __name__ == "__main__":
    main()
