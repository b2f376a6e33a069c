"""What a network costs: numbers in memory, bytes in a file, operations and time of one prediction."""

import statistics
import time
from dataclasses import dataclass

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from jensen.layers.modes import evaluating

__all__ = ["Cost", "cost", "file_bytes"]


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    Attributes:
        parameters: how many numbers it is trained by, biases too.
        nonzero: how many of them are not zero.
        bytes: the size of its safetensors file.
        flops: floating-point operations of one call with the example, two for each multiplication with its addition;
            those of matrix products and convolutions, as `torch.utils.flop_counter` counts.
        latency: seconds of such a call, the median of the repeats.
    """

    parameters: int
    nonzero: int
    bytes: int
    flops: int
    latency: float


def cost(net: nn.Module, example: Tensor, *, repeats: int = 30) -> Cost:
    """Measure a network, in evaluation mode and without gradients.

    Args:
        net: any module; its mode is as before afterwards.
        example: an input, on the network's device.
        repeats: how many calls are timed, after a few that are not.

    Returns:
        What it costs.

    Raises:
        ValueError: if `repeats` is below 1.

    Example:
        >>> measured = cost(torch.nn.Linear(784, 10), torch.zeros(1, 784), repeats=3)
        >>> measured.parameters, measured.flops
        (7850, 15680)
    """
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; time at least one call")
    with evaluating(net), torch.no_grad():
        with FlopCounterMode(display=False) as counter:
            net(example)
        latency = _latency(net, example, repeats)
    parameters = list(net.parameters())
    return Cost(
        parameters=sum(each.numel() for each in parameters),
        nonzero=sum(int(each.count_nonzero()) for each in parameters),
        bytes=file_bytes(net),
        flops=counter.get_total_flops(),
        latency=latency,
    )


def file_bytes(net: nn.Module) -> int:
    """The size of a network's safetensors file, in bytes.

    Example:
        >>> file_bytes(torch.nn.Linear(784, 10)) - 4 * 7850 < 200
        True
    """
    state = {name: value.detach().cpu().contiguous().clone() for name, value in net.state_dict().items()}
    return len(safetensors.torch.save(state))


def _latency(net: nn.Module, example: Tensor, repeats: int) -> float:
    times = []
    for _ in range(repeats + 3):
        _wait(example)
        start = time.perf_counter()
        net(example)
        _wait(example)
        times.append(time.perf_counter() - start)
    return statistics.median(times[3:])


def _wait(example: Tensor) -> None:
    if example.is_cuda:
        torch.cuda.synchronize(example.device)
