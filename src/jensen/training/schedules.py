r"""Numbers that change while training: a learning rate, or the weight of the KL terms.

A schedule is a callable of the progress in epochs, a real number: 2.5 is the middle of the third epoch. Having no
memory, it resumes anywhere. A plain function `progress -> number` is a schedule as well.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["BlundellWeights", "Burda", "Constant", "Cosine", "Linear", "Product", "Schedule", "as_schedule"]

Schedule = Callable[[float], float]
"""A number for each progress in epochs."""


@dataclass(frozen=True)
class Constant:
    """The same number throughout.

    Attributes:
        value: the number.

    Example:
        >>> Constant(1e-3)(17.0)
        0.001
    """

    value: float

    def __call__(self, progress: float) -> float:
        """The number, whatever the progress."""
        return self.value


@dataclass(frozen=True)
class Linear:
    """From `start` to `end` in `epochs`, then `end`: warm-up of a KL weight or of a learning rate.

    Attributes:
        start: the number at the beginning.
        end: the number after `epochs`.
        epochs: how long the way takes; 0 is there at once.

    Raises:
        ValueError: if `epochs` is negative.

    Example:
        >>> warm_up = Linear(start=0.0, end=1.0, epochs=10)
        >>> warm_up(0.0), warm_up(2.5), warm_up(30.0)
        (0.0, 0.25, 1.0)
    """

    start: float
    end: float
    epochs: float

    def __post_init__(self) -> None:
        """Refuse a way back in time."""
        if not self.epochs >= 0:
            raise ValueError(f"epochs must not be negative, got {self.epochs}")

    def __call__(self, progress: float) -> float:
        """The number at a progress."""
        if progress >= self.epochs:
            return self.end
        return self.start + (self.end - self.start) * progress / self.epochs


@dataclass(frozen=True)
class Cosine:
    r"""Half a wave from `base` down to `final`: $\eta_T + \frac{1}{2} (\eta_0 - \eta_T) (1 + \cos \pi t / T)$.

    Attributes:
        base: the number at the beginning.
        epochs: when `final` is reached, $T$.
        final: the number from then on.

    Raises:
        ValueError: if `epochs` is not positive.

    Example:
        >>> schedule = Cosine(1e-3, epochs=10)
        >>> schedule(0), round(schedule(5), 6), schedule(10)
        (0.001, 0.0005, 0.0)

    References:
        | SGDR: Stochastic Gradient Descent with Warm Restarts (Loshchilov & Hutter, 2017), eq. 5
        | https://arxiv.org/abs/1608.03983v5
    """

    base: float
    epochs: float
    final: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a wave without length."""
        if not self.epochs > 0:
            raise ValueError(f"epochs must be positive, got {self.epochs}")

    def __call__(self, progress: float) -> float:
        """The number at a progress."""
        if progress >= self.epochs:
            return self.final
        return self.final + (self.base - self.final) * (1.0 + math.cos(math.pi * progress / self.epochs)) / 2.0


@dataclass(frozen=True)
class Burda:
    r"""That of the importance-weighted autoencoder: stage $i$ of 8 lasts $3^{i-1}$ epochs at $10^{-(i-1)/7}$ of `base`.

    The whole is 3,280 epochs; a shorter run is its first stages, a longer one stays in the last. The factor is rounded
    to two digits, as in the authors' program: 1, 0.72, 0.52, 0.37, 0.27, 0.19, 0.14, 0.1.

    Attributes:
        base: the learning rate of the first stage.

    Example:
        >>> schedule = Burda()
        >>> [round(schedule(progress), 6) for progress in (0.0, 1.0, 39.9, 3279.0)]
        [0.001, 0.00072, 0.00037, 0.0001]
        >>> Burda.ends()
        [1, 4, 13, 40, 121, 364, 1093, 3280]

    References:
        | Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), section 5
        | https://arxiv.org/abs/1509.00519v4
    """

    base: float = 1e-3

    def __call__(self, progress: float) -> float:
        """The learning rate at a progress."""
        stage = sum(progress >= end for end in self.ends()[:-1])
        return self.base / 10 * _TENTHS[stage]

    @staticmethod
    def ends() -> list[int]:
        """The number of epochs after which each stage is over."""
        return [(3**i - 1) // 2 for i in range(1, 9)]


_TENTHS = tuple(round(10 ** (1 - i / 7), 1) for i in range(8))


@dataclass(frozen=True)
class BlundellWeights:
    r"""Weights of the KL that fall by half from each minibatch of an epoch to the next, $M \pi_i$.

    $$\pi_i = \frac{2^{M - i}}{2^M - 1} = \frac{2^{-i}}{1 - 2^{-M}}, \qquad \sum_{i=1}^{M} \pi_i = 1$$

    The divergence counts once in an epoch, as it does with the weight 1 throughout, which is $\pi_i = 1 / M$: an
    objective divides it by the number of data and not by that of minibatches, hence the factor $M$. The first ten
    minibatches get 99.9 % of it, and the first alone $M / 2$ times the usual gradient of the KL, which optimizers with
    a memory of gradients, Adam among them, take badly. Each epoch needs an order of its own, as in `fit`.

    Attributes:
        batches: the number $M$ of minibatches in an epoch.

    Raises:
        ValueError: if `batches` is below 1.

    Example:
        >>> weights = BlundellWeights(batches=4)
        >>> [round(weights(7 + i / 4), 4) for i in range(4)]
        [2.1333, 1.0667, 0.5333, 0.2667]
        >>> BlundellWeights(batches=5000)(0.0)
        2500.0

    References:
        | Weight Uncertainty in Neural Networks (Blundell et al., 2015), section 3.4
        | https://arxiv.org/abs/1505.05424
    """

    batches: int

    def __post_init__(self) -> None:
        """Refuse an epoch without a minibatch."""
        if self.batches < 1:
            raise ValueError(f"an epoch has at least one minibatch, got batches={self.batches}")

    def __call__(self, progress: float) -> float:
        """The weight of the minibatch that starts at, or is under way at, a progress."""
        i = 1 + math.floor((progress % 1.0) * self.batches + 1e-6) % self.batches
        return self.batches * 2.0**-i / (1.0 - 2.0**-self.batches)


@dataclass(frozen=True)
class Product:
    """One schedule times another: warm-up of a KL that has weights of its own.

    Attributes:
        first: a schedule.
        second: another.

    Example:
        >>> Product(Linear(start=0.0, end=1.0, epochs=10), BlundellWeights(batches=2))(5.0)
        0.6666666666666666
    """

    first: Schedule
    second: Schedule

    def __call__(self, progress: float) -> float:
        """The product at a progress."""
        return self.first(progress) * self.second(progress)


def as_schedule(value: float | Schedule) -> Schedule:
    """A number as the schedule that stays there; a schedule as it is.

    Raises:
        ValueError: if the number is negative or not finite.

    Example:
        >>> as_schedule(0.1)
        Constant(value=0.1)
    """
    if callable(value):
        return value
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"a learning rate or KL weight must be finite and not negative, got {value}")
    return Constant(float(value))
