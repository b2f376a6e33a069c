import math
import warnings

import pytest
import torch
from torch.distributions import Bernoulli, ContinuousBernoulli, Independent

from jensen.distributions import (
    DiagonalNormal,
    DiscretizedLogistic,
    DiscretizedLogisticMixture,
    IndependentBernoulli,
    IndependentContinuousBernoulli,
)
from jensen.layers import BernoulliMLP, GaussianMLP, check_chain, check_observations

ZERO = torch.zeros(2)
BINARY = [IndependentBernoulli(ZERO), Independent(Bernoulli(logits=ZERO), 1)]
GREY = [IndependentContinuousBernoulli(ZERO), Independent(ContinuousBernoulli(logits=ZERO), 1)]
REAL = [DiagonalNormal(ZERO, ZERO)]


def named(likelihood):
    return type(likelihood).__name__


@pytest.mark.parametrize("likelihood", BINARY + GREY + REAL, ids=named)
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(3, 4), r"shape \(3, 4\); this model expects \(B, 2\)"),
        (torch.zeros(2), r"shape \(2,\); this model expects \(B, 2\)"),
        (torch.zeros(3, 2, 1), r"shape \(3, 2, 1\); this model expects \(B, 2\)"),
        (torch.zeros(0, 2), r"empty, shape \(0, 2\)"),
        (torch.zeros(3, 2, dtype=torch.uint8), "dtype torch.uint8; convert"),
        (torch.tensor([[0.0, 1.0], [0.0, math.nan]]), "datum 1 has the value nan at position 1"),
        (torch.tensor([[-math.inf, 1.0]]), "datum 0 has the value -inf at position 0"),
    ],
)
def test_no_likelihood_takes_it(likelihood, x, message):
    with pytest.raises(ValueError, match=message):
        check_observations(likelihood, x)


@pytest.mark.parametrize("likelihood", BINARY + GREY, ids=named)
@pytest.mark.parametrize("pixel", [-0.01, 1.01, 255.0])
def test_pixels_outside_the_unit_interval_are_refused(likelihood, pixel):
    with pytest.raises(ValueError, match=rf"value {pixel:g} at position 0, outside the support \[0, 1\]; scale"):
        check_observations(likelihood, torch.tensor([[0.0, 1.0], [pixel, 0.0]]))


@pytest.mark.parametrize("likelihood", BINARY, ids=named)
def test_grey_pixels_under_a_bernoulli_are_warned_of(likelihood):
    with pytest.warns(UserWarning, match="binarise the images or use a continuous Bernoulli"):
        check_observations(likelihood, torch.tensor([[0.0, 0.5]]))


@pytest.mark.parametrize(
    ("likelihoods", "x"), [(BINARY, [0.0, 1.0]), (GREY, [0.0, 0.5]), (GREY, [0.0, 1.0]), (REAL, [-3.0, 255.0])]
)
def test_data_in_the_support_pass_in_silence(likelihoods, x):
    with warnings.catch_warnings(action="error"):
        for likelihood in likelihoods:
            check_observations(likelihood, torch.tensor([x]))


def test_images_with_axes_are_placed_by_all_of_them():
    likelihood = Independent(Bernoulli(logits=torch.zeros(2, 3)), 2)
    x = torch.zeros(4, 2, 3)
    x[3, 1, 2] = 7
    with pytest.raises(ValueError, match=r"datum 3 has the value 7 at position \(1, 2\)"):
        check_observations(likelihood, x)


def levelled(levels):
    zeros = torch.zeros(2, 1, 1)
    mixture = DiscretizedLogisticMixture(zeros[..., 0], zeros, zeros, coefficients=zeros[..., :0], levels=levels)
    return [DiscretizedLogistic(ZERO, ZERO, levels=levels), mixture]


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("which", [0, 1])
def test_pixels_between_two_levels_are_refused(levels, which):
    """They would be rounded, and what is called their probability is that of other data."""
    likelihood = levelled(levels)[which]
    check_observations(likelihood, (torch.arange(2.0 * levels) % levels / (levels - 1)).reshape(-1, 2))
    between = 0.4 / (levels - 1)
    with pytest.raises(ValueError, match=rf"datum 1 has the value {between:g} at position 0, between two of {levels} "):
        check_observations(likelihood, torch.tensor([[0.0, 1.0], [between, 1.0]]))
    with pytest.raises(ValueError, match=r"value 1\.5 at position 0, outside the support"):
        check_observations(likelihood, torch.tensor([[1.5, 0.0]]))


def test_a_chain_of_layers_of_other_widths_is_refused():
    decoders = [BernoulliMLP(4, (), 9), GaussianMLP(3, (), 4), GaussianMLP(2, (), 3)]
    check_chain(decoders, ZERO, sizes=[4, 3, 2])
    decoders[2] = GaussianMLP(2, (), 1)
    with pytest.raises(ValueError, match=r"decoders\[2\] returns events of shape \(1,\); expected \(3,\)"):
        check_chain(decoders, ZERO, sizes=[4, 3, 2])
