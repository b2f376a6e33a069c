"""Random draws that follow a generator of their own and leave the global ones as they were."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Generator

__all__ = ["seeded", "seeded_generator"]


def seeded_generator(seed: int, *, device: torch.device | str = "cpu") -> Generator:
    """A fresh generator.

    Raises:
        ValueError: if the seed is no integer, or negative.

    Example:
        >>> torch.rand(1, generator=seeded_generator(0))
        tensor([0.4963])
    """
    if not hasattr(seed, "__index__") or seed < 0:
        raise ValueError(f"a seed is an integer from 0 on, got {seed!r}")
    return Generator(device=device).manual_seed(int(seed))


@contextmanager
def seeded(generator: Generator | None) -> Iterator[None]:
    """Let the draws inside follow `generator`, which `torch.distributions` cannot take, and nothing else notice."""
    if generator is None:
        yield
        return
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    place = generator.device
    with torch.random.fork_rng([] if place.type == "cpu" else [place]):
        source = torch.default_generator if place.type == "cpu" else torch.cuda.default_generators[place.index or 0]
        source.manual_seed(seed)
        yield
