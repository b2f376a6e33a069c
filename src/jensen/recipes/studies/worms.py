"""The neurons' parts: each a simulation, named by chance, by a point estimate and by two posteriors."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from jensen import bounds
from jensen.datasets import celegans, worms
from jensen.distributions.permutation_matrices import nearest_permutation
from jensen.models.birkhoff import RoundedPosterior, RowPosterior
from jensen.models.neurons import NeuronIdentities, RecordingMoments, point_estimate, recording_moments
from jensen.recipes.studies.permutations import Worms

__all__ = ["parts"]

POSTERIORS = {"rows only": RowPosterior, "rounded posterior": RoundedPosterior}
Values = dict[str, list[float]]


def parts(settings: Worms, *, seed: int) -> dict[str, Callable[[], Values]]:
    """A part for each simulation.

    Args:
        settings: the study's numbers.
        seed: of the first simulation; each of the others has the next.
    """
    every = [(count, i) for count in settings.worms for i in range(settings.simulations)]
    return {
        f"{_counted(count)}, simulation {i + 1}": partial(_simulation, settings, count, seed + i) for count, i in every
    }


def _simulation(settings: Worms, count: int, seed: int) -> Values:
    """The share of hidden names that each method finds."""
    torch.manual_seed(seed)
    connectome = celegans.load()
    connectome = connectome.part(torch.arange(len(connectome.names))[: settings.neurons])
    connected = connectome.connected & ~torch.eye(len(connectome.names), dtype=torch.bool)
    y, order = worms.simulate(connected, worms=count, instants=settings.instants)
    allowed, hidden = worms.candidates(connectome, order, tolerance=settings.tolerance, known=settings.known)
    moments = recording_moments(y)
    found = {
        "chance": nearest_permutation(torch.rand(allowed.shape).masked_fill(~allowed, -torch.inf)),
        "point estimate": point_estimate(moments, connected=connected, allowed=allowed, rounds=settings.rounds),
    }
    found |= {kind: _fitted(kind, settings, moments, connected, allowed) for kind in POSTERIORS}
    right = {kind: (x.argmax(-1) == order)[hidden].float().mean().item() for kind, x in found.items()}
    return {f"names found, {_counted(count)}, {kind}": [share] for kind, share in right.items()}


def _fitted(kind: str, settings: Worms, moments: RecordingMoments, connected: Tensor, allowed: Tensor) -> Tensor:
    """The nearest permutations of the means, by Adam whose rate falls in the last third."""
    posterior = POSTERIORS[kind](
        size=len(connected), problems=len(allowed), tau=settings.tau, scales=settings.scales, allowed=allowed
    )
    model = NeuronIdentities(posterior=posterior, connected=connected)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2 * settings.steps // 3], gamma=0.2)
    for _ in range(settings.steps):
        optimizer.zero_grad()
        (-bounds.elbo(model.log_weights(moments).total).sum() / moments.steps).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return nearest_permutation(model.posterior().centre.masked_fill(~allowed, -torch.inf))


def _counted(count: int) -> str:
    return f"{count} worm{'s' if count > 1 else ''}"
