"""Time of one training step of an importance weighted autoencoder, beside hand-written PyTorch and Pyro.

The same network (784-200-200-50, tanh, Bernoulli pixels), the same batch, forward, backward and Adam. All methods take
turns in one process, in random order; the table has the median and the minimum of each, and the ratios of both to the
hand-written step with `Adam(fused=True)`. With glibc's default allocator large steps wait for pages, some methods more
than others by chance; `make bench` raises its thresholds for all of them.

    python benchmarks/iwae_step.py [--seconds 20] [--threads 2] [--sizes 1x100,5x20,50x20,50x100] [--compiled]
"""

import argparse
import math
import random
import statistics
import time
from collections.abc import Callable

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from jensen.layers import BernoulliMLP, GaussianMLP
from jensen.models import IWAE
from jensen.training import Stepper, objectives

Step = Callable[[Tensor], object]
PIXELS, HIDDEN, LATENT = 784, 200, 50
REFERENCE = "hand-written, Adam(fused=True)"
ENCODER = PIXELS * HIDDEN + HIDDEN * HIDDEN + HIDDEN * 2 * LATENT
DECODER = LATENT * HIDDEN + HIDDEN * HIDDEN + HIDDEN * PIXELS


class Plain(nn.Module):
    """What one writes by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(PIXELS, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh())
        self.mean, self.log_scale = nn.Linear(HIDDEN, LATENT), nn.Linear(HIDDEN, LATENT)
        self.decoder = nn.Sequential(
            nn.Linear(LATENT, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, PIXELS)
        )

    def loss(self, x: Tensor, samples: int) -> Tensor:
        """Minus the bound, constants left out."""
        hidden = self.encoder(x)
        mean, log_scale = self.mean(hidden), self.log_scale(hidden)
        noise = torch.randn(samples, *mean.shape)
        z = mean + log_scale.exp() * noise
        logits = self.decoder(z)
        log_likelihood = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)
        log_w = log_likelihood - 0.5 * (z * z).sum(-1) + 0.5 * (noise * noise).sum(-1) + log_scale.sum(-1)
        return -(torch.logsumexp(log_w, 0) - math.log(samples)).mean()


def plain(samples: int, *, fused: bool) -> Step:
    """The hand-written step."""
    model = Plain()
    adam = torch.optim.Adam(model.parameters(), 1e-3, fused=fused)

    def step(x: Tensor) -> Tensor:
        adam.zero_grad(set_to_none=True)
        loss = model.loss(x, samples)
        loss.backward()
        adam.step()
        return loss

    return step


def iwae() -> IWAE:
    """The same network in this library."""
    return IWAE(
        encoders=[GaussianMLP(PIXELS, (HIDDEN, HIDDEN), LATENT)],
        decoders=[BernoulliMLP(LATENT, (HIDDEN, HIDDEN), PIXELS)],
        latents=[LATENT],
    )


def pyro_renyi(samples: int) -> Step | None:
    """Pyro's `RenyiELBO(alpha=0)`, which is the same bound, or its `Trace_ELBO` for one sample."""
    try:
        import pyro
        from pyro import distributions as dist
        from pyro.infer import SVI, RenyiELBO, Trace_ELBO
    except ImportError:
        return None
    network = Plain()

    def model(x: Tensor) -> None:
        pyro.module("decoder", network.decoder)
        with pyro.plate("data", x.shape[0]):
            z = pyro.sample("z", dist.Normal(torch.zeros(LATENT), torch.ones(LATENT)).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=network.decoder(z)).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        for name in ("encoder", "mean", "log_scale"):
            pyro.module(name, getattr(network, name))
        hidden = network.encoder(x)
        with pyro.plate("data", x.shape[0]):
            pyro.sample("z", dist.Normal(network.mean(hidden), network.log_scale(hidden).exp()).to_event(1))

    pyro.clear_param_store()
    settings = {"num_particles": samples, "vectorize_particles": True, "max_plate_nesting": 1}
    bound = RenyiELBO(alpha=0, **settings) if samples > 1 else Trace_ELBO(**settings)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 1e-3}), loss=bound)
    return svi.step


def matmuls(samples: int, batch: int) -> Step:
    """The matrix products of the step and nothing else."""
    shapes = [
        (PIXELS, HIDDEN),
        (HIDDEN, HIDDEN),
        (HIDDEN, 2 * LATENT),
        (LATENT, HIDDEN),
        (HIDDEN, HIDDEN),
        (HIDDEN, PIXELS),
    ]
    rows = [batch] * 3 + [samples * batch] * 3
    layers = [(torch.randn(r, i), torch.randn(i, o), torch.randn(r, o)) for r, (i, o) in zip(rows, shapes, strict=True)]

    def step(x: Tensor) -> None:
        for position, (inputs, weight, gradient) in enumerate(layers):
            inputs @ weight
            inputs.T @ gradient
            if position > 0:
                gradient @ weight.T

    return step


def flops(samples: int, batch: int) -> float:
    """Floating-point operations of those products."""
    return batch * (6 * ENCODER - 2 * PIXELS * HIDDEN) + samples * batch * 6 * DECODER


def machine_rate(repeats: int = 20) -> float:
    """Operations per second of the best 1024-cubed float32 product."""
    a, b = torch.randn(2, 1024, 1024)
    return 2 * 1024**3 / min(_seconds(lambda _: a @ b, a) for _ in range(repeats))


def _bf16() -> Fabric:
    return Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")


def methods(samples: int, batch: int, *, compiled: bool) -> dict[str, Step]:
    """Every step that is timed, by name."""
    bound, resampled = objectives.ImportanceWeighted(samples), objectives.Resampled(samples)
    steps: dict[str, Step | None] = {
        REFERENCE: plain(samples, fused=True),
        "hand-written, Adam()": plain(samples, fused=False),
        "jensen": Stepper(iwae(), bound).step,
        "jensen, compiled": Stepper(iwae(), bound, compile=True).step if compiled else None,
        "jensen, bf16": Stepper(iwae(), bound, fabric=_bf16()).step,
        "jensen, resampled": Stepper(iwae(), resampled).step,
        "jensen, resampled, bf16": Stepper(iwae(), resampled, fabric=_bf16()).step,
        "Pyro": pyro_renyi(samples),
        "matrix products alone": matmuls(samples, batch),
    }
    if samples == 1:
        steps = {name: step for name, step in steps.items() if "resampled" not in name}
    return {name: step for name, step in steps.items() if step is not None}


def measure(samples: int, batch: int, *, seconds: float, compiled: bool) -> dict[str, list[float]]:
    """Seconds of each step, the methods in turn and in random order: the allocator remembers who came before."""
    steps = methods(samples, batch, compiled=compiled)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        for _ in range(5):
            step(noise_images(batch))
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name in random.sample(list(steps), len(steps)):
            times[name] += [_seconds(steps[name], noise_images(batch)) for _ in range(4)][1:]
    return times


def noise_images(batch: int) -> Tensor:
    """New images for every step, so that no method comes to work on vanishing, denormal gradients."""
    return torch.bernoulli(torch.full((batch, PIXELS), 0.13))


def _seconds(step: Step, x: Tensor) -> float:
    start = time.perf_counter()
    step(x)
    return time.perf_counter() - start


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each size")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sizes", default="1x100,5x20,50x20,50x100", help="samples x batch")
    parser.add_argument("--compiled", action="store_true", help="also with torch.compile, half a minute for each size")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    random.seed(0)
    rate = machine_rate()
    print(f"torch {torch.__version__}, {options.threads} threads, float32 matrix products at {rate / 1e9:.0f} GFLOP/s")
    for size in options.sizes.split(","):
        samples, batch = map(int, size.split("x"))
        times = measure(samples, batch, seconds=options.seconds, compiled=options.compiled)
        print_table(samples, batch, times, rate)


def print_table(samples: int, batch: int, times: dict[str, list[float]], rate: float) -> None:
    """One size: a line for each method."""
    reference = times[REFERENCE]
    work = flops(samples, batch)
    print(f"\nk = {samples}, batch = {batch}: {work / 1e9:.3f} GFLOP of matrix products, {len(reference)} steps each")
    print(f"{'':32s}{'median ms':>10s}{'min ms':>8s}{'x median':>10s}{'x min':>7s}{'% of rate':>11s}")
    for name, t in times.items():
        medians = f"{statistics.median(t) / statistics.median(reference):10.2f}"
        share = "" if "resampled" in name else f"{work / min(t) / rate:.0%}"
        line = f"{name:32s}{1e3 * statistics.median(t):10.2f}{1e3 * min(t):8.2f}{medians}{min(t) / min(reference):7.2f}"
        print(f"{line}{share:>11s}")


if __name__ == "__main__":
    main()
