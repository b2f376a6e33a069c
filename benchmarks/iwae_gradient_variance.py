"""Variance of the importance-weighted bound's gradients: what one resampled backward pass costs, what `dreg` saves.

An importance weighted autoencoder on scikit-learn's digits, before and after training; total variance (sum over
parameters) of the gradient of one minibatch, over repeated draws of the noise, as a ratio to `bounds.iwae`.

    python benchmarks/iwae_gradient_variance.py [--samples 50] [--steps 2000] [--repeats 300]
"""

import argparse
from collections.abc import Callable

import torch
from torch import Tensor

from jensen import bounds, datasets
from jensen.layers import BernoulliMLP, GaussianMLP
from jensen.models import IWAE
from jensen.training import Stepper, objectives

Bound = Callable[[IWAE, Tensor, int], Tensor]


def estimators() -> dict[str, Bound]:
    """The bounds of equal value whose gradients differ."""
    return {
        "iwae": lambda model, x, k: bounds.iwae(model.log_weights(x, k).total),
        "dreg": lambda model, x, k: bounds.dreg(model.log_weights(x, k, path_derivative=True)),
        "resampled_iwae": lambda model, x, k: bounds.resampled_iwae(
            lambda noise: model.log_weights(x, len(noise), noise=noise).total, model.noise(x, k)
        ),
    }


def variances(model: IWAE, x: Tensor, bound: Bound, samples: int, repeats: int) -> tuple[float, float]:
    """Total gradient variance of the encoders' and of the decoders' parameters."""
    groups = [list(model.encoders.parameters()), list(model.decoders.parameters())]
    first, second = ([torch.zeros_like(p) for group in groups for p in group] for _ in range(2))
    parameters = [p for group in groups for p in group]
    for _ in range(repeats):
        gradients = torch.autograd.grad(bound(model, x, samples).mean(), parameters)
        for m, s, g in zip(first, second, gradients, strict=True):
            m += g / repeats
            s += g.square() / repeats
    spread = [float((s - m.square()).sum()) * repeats / (repeats - 1) for m, s in zip(first, second, strict=True)]
    return sum(spread[: len(groups[0])]), sum(spread[len(groups[0]) :])


def table(title: str, model: IWAE, x: Tensor, samples: int, repeats: int) -> None:
    """Print the ratios."""
    log_w = model.log_weights(x, samples).total.detach()
    print(f"\n{title}: effective sample size {bounds.effective_sample_size(log_w).mean():.1f} of {samples}")
    print(f"{'':16s}{'encoder':>10s}{'decoder':>10s}")
    measured = {name: variances(model, x, bound, samples, repeats) for name, bound in estimators().items()}
    for name, (encoder, decoder) in measured.items():
        print(f"{name:16s}{encoder / measured['iwae'][0]:9.2f}x{decoder / measured['iwae'][1]:9.2f}x")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=300)
    options = parser.parse_args()
    torch.manual_seed(0)
    grey = datasets.load("digits").train
    data = datasets.DynamicBinarization(grey)
    model = IWAE(
        encoders=[GaussianMLP(64, (100, 100), 20)],
        decoders=[BernoulliMLP(20, (100, 100), 64, mean=grey.mean(0))],
        latents=[20],
    )
    x = data[torch.arange(20)]
    table("untrained", model, x, options.samples, options.repeats)
    stepper = Stepper(model, objectives.ImportanceWeighted(options.samples))
    for _ in range(options.steps):
        stepper.step(data[torch.randint(len(data), (20,))])
    table(f"after {options.steps} steps", model, x, options.samples, options.repeats)


if __name__ == "__main__":
    main()
