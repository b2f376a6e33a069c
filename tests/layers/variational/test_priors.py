"""Priors against torch's densities and divergences, and the scales they refuse."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import (
    AffineTransform,
    Categorical,
    Cauchy,
    Gumbel,
    HalfNormal,
    Laplace,
    MixtureSameFamily,
    Normal,
    Poisson,
    StudentT,
    TransformedDistribution,
    Uniform,
    kl_divergence,
)
from torch.testing import assert_close

from jensen.layers.variational import LaplacePrior, MeanField, NormalPrior, ScaleMixturePrior, Variational
from jensen.layers.variational.posteriors import FullGaussian
from jensen.layers.variational.priors import as_prior

DOUBLE = torch.float64
W = torch.linspace(-3, 3, 13, dtype=DOUBLE)
ZERO = torch.tensor(0.0, dtype=DOUBLE)


def test_densities_are_torchs():
    assert_close(NormalPrior(0.1).log_prob(W), Normal(ZERO, 0.1).log_prob(W))
    assert_close(LaplacePrior(0.1).log_prob(W), Laplace(ZERO, 0.1).log_prob(W))
    mixture = 0.25 * Normal(ZERO, 1.0).log_prob(W).exp() + 0.75 * Normal(ZERO, 0.5).log_prob(W).exp()
    assert_close(ScaleMixturePrior(0.25, 1.0, 0.5).log_prob(W), mixture.log())


def test_a_gaussian_divergence_is_torchs_also_through_a_distribution():
    log_scale = torch.linspace(-2, 1, 13, dtype=DOUBLE)
    q = Normal(W, log_scale.exp())
    assert_close(NormalPrior(0.7).kl(W, log_scale), kl_divergence(q, Normal(ZERO, 0.7)))
    shifted = Normal(ZERO + 1, 0.7)
    assert_close(as_prior(shifted).kl(W, log_scale), kl_divergence(q, shifted))
    assert_close(as_prior(shifted).log_prob(W), shifted.log_prob(W))


@pytest.mark.parametrize("prior", [ScaleMixturePrior(0.5, 1.0, 0.1), as_prior(Cauchy(0.0, 1.0))])
def test_without_closed_form_the_error_says_what_to_do(prior):
    with pytest.raises(ValueError, match=r"no closed form .* log_posterior\(draws\) - log_prior\(draws\)"):
        prior.kl(W, W)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize(
    "make",
    [
        NormalPrior,
        LaplacePrior,
        lambda scale: ScaleMixturePrior(0.5, scale, 1.0),
        lambda scale: ScaleMixturePrior(0.5, 1.0, scale),
        lambda scale: MeanField(initial_scale=scale),
        lambda scale: FullGaussian(initial_scale=scale),
    ],
)
def test_a_scale_that_is_not_positive_is_refused(make, scale):
    with pytest.raises(ValueError, match="positive and finite"):
        make(scale)


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (Uniform(-1.0, 1.0), r"support Interval.*a weight's is the whole line"),
        (HalfNormal(1.0), "support GreaterThanEq"),
        (Poisson(3.0), "support IntegerGreaterThan"),
        (Normal(0.0, 0.0, validate_args=False), r"density 0 or NaN at 'weight' of Linear; its scale must be positive"),
        (Normal(0.0, math.nan, validate_args=False), "density 0 or NaN at 'weight' of Linear"),
        (NormalPrior(1e-30), r"NormalPrior\(scale=1e-30\) has density 0 or NaN"),
    ],
)
def test_a_prior_without_a_density_at_the_weights_is_refused_when_a_layer_is_made(prior, message):
    with pytest.raises(ValueError, match=message):
        Variational(nn.Linear(3, 2), prior=prior)


@pytest.mark.parametrize(
    "prior",
    [
        Cauchy(0.0, 1.0),
        StudentT(3.0),
        Gumbel(0.0, 1.0),
        TransformedDistribution(Normal(0.0, 1.0), [AffineTransform(0.0, 2.0)]),
        MixtureSameFamily(Categorical(torch.ones(2)), Normal(torch.zeros(2), torch.tensor([1.0, 0.1]))),
    ],
)
def test_every_density_on_the_line_is_a_prior(prior):
    layer = Variational(nn.Linear(3, 2), prior=prior)
    assert layer.log_prior(layer.draw(4)).isfinite().all()


def test_what_is_no_prior_is_refused():
    with pytest.raises(ValueError, match=r"mix is 1\.5"):
        ScaleMixturePrior(1.5, 1.0, 0.1)
    with pytest.raises(ValueError, match=r"shape \(2,\).*single numbers"):
        as_prior(Normal(torch.zeros(2), 1.0))
    with pytest.raises(ValueError, match="give NormalPrior"):
        as_prior(0.1)
    with pytest.raises(ValueError, match="'log' or 'softplus'"):
        MeanField(parameterization="exp")
