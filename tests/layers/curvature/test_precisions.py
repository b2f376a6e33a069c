"""The precisions that make the evidence largest: roots, gradients, and a grid that finds nothing better."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from jensen.layers.curvature import DiagonalCurvature, FullCurvature, KroneckerCurvature, best_precisions, find_sites

DOUBLE = torch.float64


@pytest.fixture
def sites():
    torch.manual_seed(0)
    return find_sites(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double(), "all")


def filled(shape, sites):
    curvature = shape(sites)
    generator = torch.Generator().manual_seed(1)
    for name, buffer in curvature.named_buffers():
        if name == "rows":
            buffer.fill_(7)
        else:
            root = torch.randn(buffer.shape, dtype=DOUBLE, generator=generator)
            buffer.copy_(root.square() if shape is DiagonalCurvature else root @ root.mT)
    return curvature


def log_evidence(curvature, sites, prior, noise=1.0, squares=(0.0, 0)):
    """Up to a constant, from the curvature at noise 1."""
    norms = torch.stack([site.matrix.square().sum() for site in sites])
    counts = torch.tensor([site.count for site in sites], dtype=DOUBLE)
    log_det = curvature.covariance(prior * noise).log_det_precision - counts.sum().item() * math.log(noise)
    fit = -0.5 * squares[0] / noise - 0.5 * squares[1] * math.log(noise)
    return fit + 0.5 * float(counts @ prior.log() - prior @ norms) - 0.5 * log_det


@pytest.mark.parametrize("shape", [FullCurvature, KroneckerCurvature, DiagonalCurvature])
@pytest.mark.parametrize("per_layer", [False, True])
@pytest.mark.parametrize("squares", [None, (40.0, 25)])
def test_nothing_beside_it_is_better(sites, shape, per_layer, squares):
    curvature = filled(shape, sites)
    best = best_precisions(curvature, [site.matrix for site in sites], per_layer=per_layer, squares=squares)
    known = squares or (0.0, 0)
    top = log_evidence(curvature, sites, best.prior, best.noise, known)
    steps = [(1.01, 1.01), (0.99, 0.99), (3.0, 3.0), (0.3, 0.3)]
    steps += [(1.01, 1.0), (1.0, 1.01), (0.99, 1.0), (1.0, 0.99), (3.0, 1.0), (0.3, 1.0)] if per_layer else []
    for step in steps:
        prior = best.prior * torch.tensor(step, dtype=DOUBLE)
        assert log_evidence(curvature, sites, prior, best.noise, known) < top
    if squares:
        assert all(log_evidence(curvature, sites, best.prior, best.noise * f, known) < top for f in (0.98, 1.02, 3))
    else:
        assert best.noise == 1.0
    assert per_layer == (not torch.equal(best.prior[:1], best.prior[1:]))


@pytest.mark.parametrize("shape", [FullCurvature, KroneckerCurvature, DiagonalCurvature])
@pytest.mark.parametrize("per_layer", [False, True])
def test_mackays_equation_holds(sites, shape, per_layer):
    curvature = filled(shape, sites)
    prior, _ = best_precisions(curvature, [site.matrix for site in sites], per_layer=per_layer)
    pull = prior * torch.stack([site.matrix.square().sum() for site in sites])
    effective = curvature.covariance(prior).effective()
    if not per_layer:
        pull, effective = pull.sum(), effective.sum()
    assert_close(pull, effective, rtol=0, atol=1e-5)


def test_evidence_without_a_largest_value_is_refused(sites):
    weights = [site.matrix for site in sites]
    with pytest.raises(ValueError, match="the data determine none"):
        best_precisions(FullCurvature(sites), weights)
    with pytest.raises(ValueError, match="the data determine none"):
        best_precisions(FullCurvature(sites), weights, per_layer=True)
    curvature = filled(DiagonalCurvature, sites)
    curvature.diagonals[0].zero_()
    with pytest.raises(ValueError, match="they run to exp"):
        best_precisions(curvature, weights, per_layer=True)
    curvature = filled(FullCurvature, sites)
    with pytest.raises(ValueError, match="weights of zero"):
        best_precisions(curvature, [weights[0], 0 * weights[1]], per_layer=True)
    with pytest.raises(ValueError, match="meets every target"):
        best_precisions(curvature, weights, squares=(0.0, 5))
