"""What holds while a model is measured: no gradient, no dropout, draws from a seed; afterwards all is as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn

from jensen._contracts import Indexable, LatentLayer, LogWeights

__all__ = ["Layered", "Weighable", "bar", "check_counts", "draw_once", "measuring", "minibatches", "place_of"]


class Weighable(Protocol):
    """A model that can be evaluated: it gives log-weights."""

    def log_weights(self, x: Tensor, samples: int = ...) -> LogWeights:
        """The log-weights of `samples` draws for each datum, `(samples, B)`."""
        ...


class Layered(Protocol):
    """A model that tells what its stochastic layers know."""

    def latents(self, x: Tensor, samples: int = ...) -> list[LatentLayer]:
        """Posterior mean and divergence of each unit, one entry for each stochastic layer, lowest first."""
        ...


def place_of(model: object) -> tuple[torch.device | None, torch.dtype | None]:
    """The device and floating type of a model's first floating parameter or buffer; None twice where it has none."""
    if isinstance(model, nn.Module):
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.is_floating_point():
                return tensor.device, tensor.dtype
    return None, None


@contextmanager
def measuring(model: object, seed: int, *devices: torch.device | None) -> Iterator[None]:
    """Without gradient, in evaluation mode, generators seeded by `seed`; modes and generators are restored."""
    modes = [(module, module.training) for module in model.modules()] if isinstance(model, nn.Module) else []
    try:
        for module, _ in modes:
            module.training = False
        with torch.no_grad(), _seeded(seed, {device for device in devices if device is not None}):
            yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _seeded(seed: int, devices: set[torch.device]) -> Iterator[None]:
    cuda = sorted(device.index for device in devices if device.type == "cuda")
    mps = torch.mps.get_rng_state() if any(device.type == "mps" for device in devices) else None
    try:
        with torch.random.fork_rng(devices=cuda):
            torch.default_generator.manual_seed(seed)
            for index in cuda:
                torch.cuda.default_generators[index].manual_seed(seed)
            if mps is not None:
                torch.mps.manual_seed(seed)
            yield
    finally:
        if mps is not None:
            torch.mps.set_rng_state(mps)


def draw_once(data: Indexable) -> Tensor:
    """All of the data, `(N, *event)`: a tensor as it is, anything else drawn in one call.

    Raises:
        ValueError: if there are no data, or one holds NaN.
    """
    count = len(data)
    if count == 0:
        raise ValueError("there are no data to evaluate on: the data set is empty")
    x = data if isinstance(data, Tensor) else data[torch.arange(count)]
    if x.ndim < 2 or len(x) != count:
        raise ValueError(f"data must have the shape ({count}, pixels), got {tuple(x.shape)}; add the missing axis")
    bad = x.isnan().flatten(1).any(1)
    if bad.any():
        first = int(bad.nonzero()[0])
        raise ValueError(f"{int(bad.sum())} of {count} data hold NaN, the first is datum {first}; repair them")
    return x


def minibatches(model: object, x: Tensor, batch_size: int) -> Iterator[tuple[int, Tensor]]:
    """Each minibatch as the model wants it, behind the index of its first datum."""
    device, dtype = place_of(model)
    for first in range(0, len(x), batch_size):
        yield first, x[first : first + batch_size].to(device=device, dtype=dtype)


def check_counts(**counts: object) -> None:
    """Refuse what is not a whole number of at least 1.

    Raises:
        ValueError: naming the argument.
    """
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {count!r}")


def bar(show: bool) -> Progress:
    """A progress bar on standard error, silent unless `show`."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), disable=not show)
