"""Simulated recordings of worms that share their wiring, their neurons in an unknown order: a known answer."""

import torch
from torch import Generator, Tensor

from jensen.datasets.celegans import Connectome

__all__ = ["candidates", "simulate"]

STABILITY = 1.1
"""The largest eigenvalue of the weights has the absolute value `1 / STABILITY`."""


def simulate(
    connected: Tensor, *, worms: int, instants: int, generator: Generator | None = None
) -> tuple[Tensor, Tensor]:
    r"""Recordings of a linear system $y_t = W y_{t-1} + \epsilon_t$, with $W$ antisymmetric and drawn at the contacts.

    Args:
        connected: which neurons are in contact, boolean and symmetric `(N, N)`.
        worms: how many recordings $J$ of the same $W$.
        instants: their length $T$; they begin at zero.
        generator: of the random numbers.

    Returns:
        Recordings `(J, T, N)`, each in an order of its own, and that order: the name of each observed neuron `(J, N)`.

    Raises:
        ValueError: if no two neurons are in contact.

    Example:
        >>> ring = torch.eye(4).roll(1, 0).bool()
        >>> y, order = simulate(ring | ring.T, worms=2, instants=10)
        >>> y.shape, order.shape
        (torch.Size([2, 10, 4]), torch.Size([2, 4]))
    """
    size = len(connected)
    upper = torch.randn(size, size, generator=generator).triu(1) * connected
    if not upper.any():
        raise ValueError(f"no two of the {size} neurons are in contact; take a larger part of the map")
    weights = upper - upper.T
    weights = weights / (STABILITY * torch.linalg.eigvals(weights).abs().amax())
    y = torch.zeros(worms, instants, size)
    for t in range(1, instants):
        y[:, t] = y[:, t - 1] @ weights.T + torch.randn(worms, size, generator=generator)
    order = torch.rand(worms, size, generator=generator).argsort(-1)
    return y.gather(-1, order.unsqueeze(1).expand_as(y)), order


def candidates(
    connectome: Connectome, order: Tensor, *, tolerance: float, known: int, generator: Generator | None = None
) -> tuple[Tensor, Tensor]:
    """The matches that places and given names allow.

    Args:
        connectome: the map.
        order: the name of each observed neuron, `(J, N)`.
        tolerance: observed places are off by up to so many body lengths, uniformly.
        known: names that are given in each recording.
        generator: of the random numbers.

    Returns:
        The allowed matches, boolean `(J, N, N)`, and whose name is not given, boolean `(J, N)`.

    Example:
        >>> none = torch.zeros(3, 3)
        >>> three = Connectome(("A", "B", "C"), torch.tensor([0.1, 0.11, 0.9]), none, none)
        >>> candidates(three, torch.tensor([[0, 1, 2]]), tolerance=0.1, known=0)[0].shape
        torch.Size([1, 3, 3])
    """
    worms, size = order.shape
    allowed, hidden = torch.zeros(worms, size, size, dtype=torch.bool), torch.ones(worms, size, dtype=torch.bool)
    for j in range(worms):
        noise = 2 * torch.rand(size, generator=generator) - 1
        seen = connectome.positions[order[j]] + tolerance * noise
        allowed[j] = connectome.candidates(tolerance, positions=seen)
        fixed = torch.randperm(size, generator=generator)[:known]
        hidden[j, fixed] = False
        allowed[j, fixed] = False
        allowed[j][:, order[j, fixed]] = False
        allowed[j, fixed, order[j, fixed]] = True
    return allowed, hidden
