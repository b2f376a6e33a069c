r"""Every random number of a run follows from one seed.

The order of an epoch's data is a function of seed and epoch alone, so it needs no storage. Noise comes from torch's
global generators, which a run seeds for itself and hands back as they were: training inside a program does not change
the program's draws.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "NOISE",
    "ORDER",
    "VALIDATION",
    "derived_seed",
    "epoch_order",
    "isolated",
    "random_state",
    "restore_random_state",
]

NOISE, ORDER, VALIDATION = 0, 1, 2
"""First entry of the path of each kind of draw, for `derived_seed`."""


def derived_seed(seed: int, *path: int) -> int:
    """A seed for one purpose, independent of the seeds for others.

    Args:
        seed: the run's seed.
        path: what it is for: a kind, then an epoch or a process.

    Raises:
        ValueError: if a number is negative.

    Example:
        >>> derived_seed(0, ORDER, 3) == derived_seed(0, ORDER, 3)
        True
        >>> derived_seed(0, ORDER, 3) == derived_seed(1, ORDER, 2)
        False
    """
    if min((seed, *path)) < 0:
        raise ValueError(f"a seed must not be negative, got {seed} for {path}")
    return int(np.random.SeedSequence(seed, spawn_key=path).generate_state(1, np.uint64)[0]) >> 1


def epoch_order(length: int, *, seed: int, epoch: int) -> Tensor:
    """The order of the data in one epoch, a permutation `(length,)` that any process can work out.

    Example:
        >>> epoch_order(5, seed=0, epoch=7).sort().values
        tensor([0, 1, 2, 3, 4])
    """
    generator = torch.Generator().manual_seed(derived_seed(seed, ORDER, epoch))
    return torch.randperm(length, generator=generator)


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The states of the generators that a step on `device` draws from, as bytes.

    Example:
        >>> list(random_state(torch.device("cpu")))
        ['cpu']
    """
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_random_state(states: dict[str, Tensor], device: torch.device) -> None:
    """Put the generators back to where `random_state` found them."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


@contextmanager
def isolated(device: torch.device, *, seed: int) -> Iterator[None]:
    """Draws inside start from `seed`; draws after go on as if there had been none inside.

    Example:
        >>> with isolated(torch.device("cpu"), seed=0):
        ...     inside = torch.rand(3)
        >>> with isolated(torch.device("cpu"), seed=0):
        ...     torch.equal(torch.rand(3), inside)
        True
    """
    before = random_state(device)
    try:
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
    finally:
        restore_random_state(before, device)
