"""The course of learning rate and KL weight that a network's recipe asks for."""

from dataclasses import dataclass

from jensen.recipes.network_recipe import NetworkOptimizer
from jensen.training import BlundellWeights, Constant, Cosine, Product
from jensen.training.schedules import Schedule

__all__ = ["Ramp", "make_kl_weight", "make_learning_rate"]


@dataclass(frozen=True)
class Ramp:
    """One number until an epoch, from there in a line to another, which then stays.

    Attributes:
        start: the number until epoch `since`.
        end: the number from epoch `until` on.
        since: where the line begins.
        until: where it ends.

    Example:
        >>> warm_up = Ramp(0.0, 1.0, since=5, until=20)
        >>> [warm_up(epoch) for epoch in (0, 5, 12.5, 20, 200)]
        [0.0, 0.0, 0.5, 1.0, 1.0]
    """

    start: float
    end: float
    since: float
    until: float

    def __call__(self, progress: float) -> float:
        """The number at a progress in epochs."""
        if progress >= self.until:
            return self.end
        if progress <= self.since:
            return self.start
        return self.start + (self.end - self.start) * (progress - self.since) / (self.until - self.since)


def make_learning_rate(optimizer: NetworkOptimizer, *, epochs: int) -> Schedule:
    """The learning rate in so many epochs.

    Example:
        >>> make_learning_rate(NetworkOptimizer(schedule="linear", flat=100), epochs=200)(150)
        0.0005
    """
    if optimizer.schedule == "cosine":
        return Cosine(optimizer.learning_rate, epochs=epochs)
    if optimizer.schedule == "linear" and optimizer.flat < epochs:
        return Ramp(optimizer.learning_rate, 0.0, since=optimizer.flat, until=epochs)
    return Constant(optimizer.learning_rate)


def make_kl_weight(optimizer: NetworkOptimizer, *, batches: int) -> Schedule:
    """The weight of the KL term, whose mean over the `batches` of an epoch is that of the warm-up.

    Example:
        >>> make_kl_weight(NetworkOptimizer(kl_start=5, kl_end=20), batches=600)(10)
        0.3333333333333333
    """
    warm_up = Ramp(0.0, 1.0, since=optimizer.kl_start, until=optimizer.kl_end) if optimizer.kl_end else Constant(1.0)
    if optimizer.kl_weights == "uniform":
        return warm_up
    weights = BlundellWeights(batches=batches)
    return Product(warm_up, weights) if optimizer.kl_end else weights
