import math

import pytest
import torch
from torch.testing import assert_close

from jensen.layers import PixelHead
from jensen.layers.pixels import LIKELIHOODS

NUMBERS = {
    "bernoulli": {},
    "continuous_bernoulli": {},
    "gaussian": {},
    "discretized_logistic": {"levels": 17},
    "discretized_logistic_mixture": {"levels": 17, "mixtures": 4},
}


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 3)])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_every_likelihood_is_of_the_flat_image_and_channels_last(likelihood, shape):
    torch.manual_seed(0)
    head = PixelHead(likelihood, shape, **NUMBERS[likelihood])
    output = torch.randn(7, 2, 15, head.features)
    pixels = head(output)
    assert (pixels.batch_shape, pixels.event_shape) == ((7, 2), (math.prod(shape),))
    x = (torch.rand(2, math.prod(shape)) > 0.5).float()
    plain = pixels.log_prob(x)
    channels = math.prod(shape[2:])
    with torch.no_grad():  # a change at position 4 moves the pixels of position 4 and of no other
        other = head(output + torch.eye(15)[4].unsqueeze(-1)).mean - pixels.mean
    assert plain.isfinite().all()
    moved = other.reshape(7, 2, 15, channels).abs().sum((0, 1, 3)) > 1e-6
    assert moved.tolist() == [p == 4 for p in range(15)]
    assert_close(head(output.flatten(-2)).log_prob(x), plain)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_pixels_start_at_the_means_of_the_data(likelihood):
    mean = torch.linspace(0.05, 0.95, 12)
    head = PixelHead(likelihood, (2, 2, 3), mean=mean, **NUMBERS[likelihood])
    found = head(torch.zeros(4, head.features))
    if likelihood == "continuous_bernoulli":
        assert_close(torch.sigmoid(found.logits), mean)
    elif likelihood.startswith("discretized"):
        narrow = torch.zeros(4, head.features)
        M = head.mixtures or 1
        start = M * (3 + 1) if head.mixtures else 3
        narrow[:, start : start + 3 * M] = -6.0
        assert_close(head(narrow).mean, (mean * 16).round() / 16, atol=0.02, rtol=0)
    else:
        assert_close(found.mean, mean)


def test_the_scale_of_gaussian_pixels_is_learned_fixed_or_conditional():
    learned, fixed = PixelHead("gaussian", (2, 2)), PixelHead("gaussian", (2, 2), scale=0.5)
    conditional = PixelHead("gaussian", (2, 2), scale="conditional")
    assert (learned.features, conditional.features) == (1, 2)
    assert learned.log_scale.requires_grad
    assert not fixed.log_scale.requires_grad
    assert_close(fixed(torch.zeros(4, 1)).stddev, torch.full((4,), 0.5))
    assert_close(conditional(torch.ones(4, 2)).stddev, torch.full((4,), math.e))


def test_a_scale_has_a_floor():
    head = PixelHead("discretized_logistic", (1, 1), levels=256)
    assert head(torch.tensor([[0.0, -50.0]])).log_scale == pytest.approx(-7 - math.log(2))


def test_bad_numbers_are_refused():
    with pytest.raises(ValueError, match="no likelihood 'poisson'"):
        PixelHead("poisson", (2, 2))
    with pytest.raises(ValueError, match="at least 2 levels"):
        PixelHead("discretized_logistic", (2, 2))
    with pytest.raises(ValueError, match="have no levels, got 4"):
        PixelHead("bernoulli", (2, 2), levels=4)
    with pytest.raises(ValueError, match="have a mixture, got 0"):
        PixelHead("discretized_logistic_mixture", (2, 2), levels=4)
    with pytest.raises(ValueError, match="have no mixture, got 2"):
        PixelHead("gaussian", (2, 2), mixtures=2)
    with pytest.raises(ValueError, match="expected \\(height, width\\)"):
        PixelHead("bernoulli", (4,))
    with pytest.raises(ValueError, match="one for each pixel"):
        PixelHead("bernoulli", (2, 2), mean=torch.zeros(3))
    with pytest.raises(ValueError, match=r"expected \(\*batch, 4, 1\)"):
        PixelHead("bernoulli", (2, 2))(torch.zeros(5, 3))
    with pytest.raises(ValueError, match="scale is 'none'"):
        PixelHead("gaussian", (2, 2), scale="none")
