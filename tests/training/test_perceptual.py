"""Constraints by networks and patches, against numbers by hand."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from jensen._contracts import Inference, LogWeights
from jensen.distributions import DiagonalNormal
from jensen.training import (
    ClassificationError,
    Constrained,
    FeatureError,
    NegativeLogLikelihood,
    PatchCorrelation,
    PixelError,
    ReconstructionError,
)

GENERATOR = torch.Generator().manual_seed(0)
X = torch.rand(4, 12, generator=GENERATOR, dtype=torch.float64)
MEANS = torch.rand(3, 4, 12, generator=GENERATOR, dtype=torch.float64)


def inferred(means, log_likelihood=None):
    likelihood = DiagonalNormal(means, torch.zeros(means.shape[-1], dtype=means.dtype))
    zero = torch.zeros(means.shape[:2], dtype=means.dtype)
    log_likelihood = zero if log_likelihood is None else log_likelihood
    return Inference(LogWeights(log_likelihood, zero, zero), zero, likelihood, ())


def test_errors_of_pixels():
    squares = torch.stack([((X - mean) ** 2) for mean in MEANS])
    assert_close(ReconstructionError(0.5)(X, inferred(MEANS)), squares.sum(-1).mean(0) - 0.25)
    assert_close(PixelError(0.5)(X, inferred(MEANS)), squares.mean(-1).mean(0) - 0.25)


def test_errors_of_the_likelihood():
    log_likelihood = torch.tensor([[-3.0, -5.0], [-1.0, -1.0]])
    found = NegativeLogLikelihood(2.5)(torch.zeros(2, 1), inferred(torch.zeros(2, 2, 1), log_likelihood))
    assert found.tolist() == [-0.5, 0.5]
    with pytest.raises(ValueError, match="kappa is a tolerance in nats"):
        NegativeLogLikelihood(math.inf)


def test_errors_of_features():
    network = nn.Sequential(nn.Linear(12, 5), nn.Tanh()).double()
    expected = sum((network(X) - network(mean)).square().sum(-1) for mean in MEANS) / 3 - 0.04
    assert_close(FeatureError(network, kappa=0.2)(X, inferred(MEANS)), expected.detach())


def test_features_may_be_maps():
    network = nn.Sequential(nn.Unflatten(-1, (1, 3, 4)), nn.Conv2d(1, 2, 2)).double()
    found = FeatureError(network, kappa=0.2)(X, inferred(MEANS))
    assert_close(found, FeatureError(nn.Sequential(network, nn.Flatten()), kappa=0.2)(X, inferred(MEANS)))


def test_errors_of_classes():
    classifier = nn.Linear(12, 3).double()
    label = classifier(X).argmax(-1)
    expected = torch.stack([-classifier(mean).log_softmax(-1)[torch.arange(4), label] for mean in MEANS]).mean(0)
    assert_close(ClassificationError(classifier, kappa=0.1)(X, inferred(MEANS)), expected.detach() - 0.1)
    with pytest.raises(ValueError, match=r"the classifier gave \(4,\) for 4 data"):
        ClassificationError(lambda_module(lambda x: x.sum(-1)), kappa=0.1)(X, inferred(MEANS))


def lambda_module(function):
    module = nn.Module()
    module.forward = function
    return module


def test_the_network_is_a_fixed_copy_and_the_decoder_still_learns():
    network = nn.Sequential(nn.Linear(12, 5), nn.Dropout(0.5), nn.BatchNorm1d(5)).double()
    constraint = FeatureError(network, kappa=0.2)
    means = MEANS.clone().requires_grad_()
    violation = constraint(X, inferred(means))
    assert_close(constraint(X, inferred(means)), violation, atol=0, rtol=0)
    violation.sum().backward()
    assert means.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in Constrained(constraint).parameters())
    assert network.training
    assert all(p.requires_grad and p.grad is None for p in network.parameters())


def correlation_by_hand(x, mean, shape, patch):
    """Pearson's, over every patch with all of its channels."""
    x, mean = x.reshape(*shape, -1), mean.reshape(*shape, -1)
    found = []
    for i in range(shape[0] - patch + 1):
        for j in range(shape[1] - patch + 1):
            both = torch.stack([each[i : i + patch, j : j + patch].flatten() for each in (x, mean)])
            found.append(torch.corrcoef(both)[0, 1])
    return torch.stack(found).mean()


@pytest.mark.parametrize(("shape", "patch"), [((3, 4), 2), ((3, 4), 3), ((2, 3, 2), 2)])
def test_correlation_of_patches(shape, patch):
    found = PatchCorrelation(0.9, shape=shape, patch=patch)(X, inferred(MEANS))
    expected = [
        0.9 - torch.stack([correlation_by_hand(X[b], mean[b], shape[:2], patch) for mean in MEANS]).mean()
        for b in range(4)
    ]
    assert_close(found, torch.stack(expected), atol=5e-3, rtol=0)


def test_correlation_does_not_see_brightness_and_contrast_and_flat_patches_agree():
    constraint = PatchCorrelation(0.5, shape=(3, 4), patch=2)
    assert_close(constraint(X, inferred(3 * X[None] + 1)), torch.full((4,), -0.5, dtype=X.dtype), atol=2e-2, rtol=0)
    flat = torch.full((1, 12), 0.3, dtype=X.dtype)
    assert constraint(flat, inferred(2 * flat[None])).item() == pytest.approx(-0.5)
    assert constraint(flat, inferred(X[None, :1])).item() > 0.4
    assert (constraint(X, inferred(-X[None])) > 1.0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kappa": 1.0, "shape": (8, 8)}, "kappa is a correlation"),
        ({"kappa": 0.5, "shape": (8, 8), "patch": 9}, "has no patches of side 9"),
        ({"kappa": 0.5, "shape": (8,)}, "has no patches"),
        ({"kappa": 0.5, "shape": (8, 8), "patch": 1}, "has no patches of side 1"),
    ],
)
def test_impossible_patches_are_refused(options, message):
    kappa = options.pop("kappa")
    with pytest.raises(ValueError, match=message):
        PatchCorrelation(kappa, **options)


def test_pixels_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"data of 12 pixels are no images of shape \(4, 4\)"):
        PatchCorrelation(0.5, shape=(4, 4), patch=2)(X, inferred(MEANS))


@pytest.mark.parametrize("make", [FeatureError, ClassificationError])
def test_tolerances_of_nothing_are_refused(make):
    with pytest.raises(ValueError, match="kappa is a tolerance, a positive number"):
        make(nn.Linear(2, 2), kappa=0.0)
