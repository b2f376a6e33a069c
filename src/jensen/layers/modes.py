"""The mode of a network for a while: evaluation, and afterwards what it was."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

__all__ = ["evaluating"]


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode within it, and then every module's own mode again.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 1), nn.Dropout().eval())
        >>> with evaluating(net):
        ...     net.training
        False
        >>> net.training, net[1].training
        (True, False)
    """
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
