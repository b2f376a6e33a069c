"""Looking at data: once before training, and after each epoch at what was held out."""

import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from jensen._contracts import Indexable, Pairs
from jensen.training.nonfinite import not_finite_data
from jensen.training.seeds import isolated

__all__ = ["accumulator", "check_data", "sum_of_bounds"]

CHUNK = 1000


@torch.no_grad()
def check_data(model: nn.Module, data: Indexable, *, name: str = "data") -> None:
    """Refuse data that a run would choke on later, by `model.check` where there is one. No draw is used up.

    Raises:
        ValueError: if there are no data, a value is not finite, or the model refuses them.

    Example:
        >>> check_data(nn.Linear(2, 1), torch.zeros(0, 2))
        Traceback (most recent call last):
        ValueError: data is empty; give at least one datum
    """
    if len(data) == 0:
        raise ValueError(f"{name} is empty; give at least one datum")
    check: Callable[[Tensor | Pairs], None] = getattr(model, "check", _check_finite)
    where = _device(data)
    home = next((p.device for p in model.parameters()), where)
    with isolated(where, seed=0), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for start in range(0, len(data), CHUNK):
            stop = min(start + CHUNK, len(data))
            check(data[torch.arange(start, stop, device=where)].to(home))
    for message, category in {str(w.message): w.category for w in caught}.items():
        warnings.warn(message, category, stacklevel=3)


def accumulator(device: torch.device) -> Tensor:
    """A zero to add many numbers to, in float64 where the device has it.

    Example:
        >>> accumulator(torch.device("cpu")).dtype
        torch.float64
    """
    return torch.zeros((), dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)


def sum_of_bounds(
    bound: Callable[[Tensor | Pairs], Tensor],
    data: Indexable,
    *,
    batch_size: int,
    device: torch.device,
    part: int = 0,
    parts: int = 1,
    stop: Callable[[], bool] = lambda: False,
) -> Tensor | None:
    """Sum of a bound over data, and their number, as a tensor `(2,)`; None if it was told to stop.

    Args:
        bound: `(B, *event) -> (B,)`, or from `Pairs`.
        data: the data.
        batch_size: data at a time.
        device: where `bound` takes them.
        part: which of `parts` processes this is: it takes every `parts`-th batch.
        parts: the number of processes.
        stop: asked between batches.
    """
    total, count = accumulator(device), 0
    for index in _batches(len(data), batch_size, _device(data), part, parts):
        if stop():
            return None
        total += bound(data[index].to(device)).sum()
        count += len(index)
    return torch.stack([total, torch.full_like(total, count)])


def _batches(length: int, batch_size: int, device: torch.device, part: int, parts: int) -> Iterator[Tensor]:
    for start in range(part * batch_size, length, parts * batch_size):
        yield torch.arange(start, min(start + batch_size, length), device=device)


def _device(data: Indexable) -> torch.device:
    return torch.device(getattr(data, "device", "cpu"))


def _check_finite(x: Tensor | Pairs) -> None:
    if found := not_finite_data(x):
        raise ValueError(f"the {found[0]} hold NaN or infinity; remove these data or replace the values first")
