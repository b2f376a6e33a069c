"""Simulated recordings: one system behind all of them, and candidates that hold the truth."""

import pytest
import torch
from torch import Generator
from torch.testing import assert_close

from jensen.datasets import worms
from jensen.datasets.celegans import Connectome


def ring(size):
    graph = torch.eye(size).roll(1, 0).bool()
    return graph | graph.T


def test_all_worms_have_one_antisymmetric_and_stable_system():
    y, order = worms.simulate(ring(6), worms=2, instants=40_000, generator=Generator().manual_seed(0))
    found = []
    for each, names in zip(y, order, strict=True):
        x = each[:, names.argsort()]  # in the order of the map
        found.append(torch.linalg.lstsq(x[:-1], x[1:]).solution.T)
    assert_close(found[0], found[1], atol=0.03, rtol=0)
    assert_close(found[0], -found[0].T, atol=0.03, rtol=0)
    assert_close(found[0] * ~ring(6), torch.zeros(6, 6), atol=0.03, rtol=0)
    assert_close(torch.linalg.eigvals(found[0]).abs().max(), torch.tensor(1 / 1.1), atol=0.02, rtol=0)
    wrong = torch.linalg.lstsq(y[0, :-1], y[0, 1:]).solution.T
    assert (wrong * ~ring(6)).abs().max() > 0.1, "the worm's own order is another"


def test_the_truth_is_among_the_candidates():
    places = torch.linspace(0, 1, 30)
    none = torch.zeros(30, 30)
    connectome = Connectome(tuple(map(str, range(30))), places, none, none)
    order = torch.rand(3, 30, generator=Generator().manual_seed(1)).argsort(-1)
    allowed, hidden = worms.candidates(connectome, order, tolerance=0.1, known=7, generator=Generator().manual_seed(2))
    assert allowed.gather(-1, order.unsqueeze(-1)).all()
    assert (allowed.sum(-1)[~hidden] == 1).all()
    assert (allowed.sum(-2).gather(-1, order)[~hidden] == 1).all()
    assert ((~hidden).sum(-1) == 7).all()
    assert (allowed[hidden].sum(-1) > 1).any()


def test_the_generator_fixes_everything():
    first, second, other = (
        worms.simulate(ring(5), worms=2, instants=9, generator=Generator().manual_seed(seed)) for seed in (3, 3, 4)
    )
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], other[0])


def test_neurons_without_a_contact_are_refused():
    with pytest.raises(ValueError, match="no two of the 4 neurons are in contact"):
        worms.simulate(torch.zeros(4, 4, dtype=torch.bool), worms=1, instants=5)
