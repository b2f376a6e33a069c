"""Pixels of many levels and of several channels."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from jensen.distributions import (
    DiagonalNormal,
    DiscretizedLogistic,
    DiscretizedLogisticMixture,
    IndependentContinuousBernoulli,
    StandardNormal,
)
from jensen.evaluation.coding import BitsBack, Stack, compress, decompress
from jensen.evaluation.coding.pixels import levels_of, pop_pixels, push_pixels


def logistic(n=3, pixels=20, levels=17):
    draw = torch.Generator().manual_seed(0)
    mean = torch.rand(n, pixels, generator=draw, dtype=torch.float64)
    return DiscretizedLogistic(mean, torch.randn(n, pixels, generator=draw, dtype=torch.float64) - 2, levels=levels)


def mixture(n=3, places=6, *, channels=3, levels=256):
    draw = torch.Generator().manual_seed(1)
    shapes = (
        (n, places, 4),
        (n, places, 4, channels),
        (n, places, 4, channels),
        (n, places, 4, channels * (channels - 1) // 2),
    )
    logits, means, scales, coefficients = (torch.randn(s, generator=draw, dtype=torch.float64) for s in shapes)
    return DiscretizedLogisticMixture(logits, means.sigmoid(), scales - 3, coefficients=coefficients, levels=levels)


@pytest.mark.parametrize(
    "likelihood", [logistic(), logistic(levels=256), mixture(), mixture(channels=1), mixture(levels=5)]
)
def test_pixels_cost_their_log_probability(likelihood):
    torch.manual_seed(0)
    x = likelihood.sample()
    pixels = (x * (likelihood.levels - 1)).round().numpy().astype(np.int32)
    stack = Stack()
    push_pixels(stack, pixels, likelihood)
    expected = -float(likelihood.log_prob(x).sum()) / math.log(2)
    assert stack.content == pytest.approx(expected, rel=1e-3)
    np.testing.assert_array_equal(pop_pixels(stack, 3, likelihood), pixels)
    assert stack.bits == 0


def test_channels_do_depend_on_those_before(monkeypatch):
    """The negative control: a coder that forgets the channels before pays more."""
    likelihood = mixture()
    torch.manual_seed(0)
    x = likelihood.sample()
    pixels = (x * 255).round().numpy().astype(np.int32)
    expected = -float(likelihood.log_prob(x).sum()) / math.log(2)
    true = DiscretizedLogisticMixture.log_prob_of_channel
    forgetful = lambda self, before: true(self, before * 0)  # noqa: E731
    monkeypatch.setattr(DiscretizedLogisticMixture, "log_prob_of_channel", forgetful)
    stack = Stack()
    push_pixels(stack, pixels, likelihood)
    assert stack.content > 1.02 * expected


def test_the_first_rows_of_a_batch_count():
    likelihood, stack = mixture(), Stack()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 18)).astype(np.int32)
    push_pixels(stack, pixels, likelihood)
    np.testing.assert_array_equal(pop_pixels(stack, 2, likelihood), pixels)


def test_levels_are_those_of_the_likelihood():
    assert levels_of(logistic()) == 17
    assert levels_of(mixture()) == 256
    with pytest.raises(ValueError, match="IndependentContinuousBernoulli: it gives pixels no probabilities"):
        levels_of(IndependentContinuousBernoulli(torch.zeros(2, 4)))


class Fine(nn.Module):
    """Four pixels of 1,000 levels."""

    def __init__(self):
        super().__init__()
        self.zero = nn.Parameter(torch.zeros(2))

    def prior(self):
        return StandardNormal(self.zero)

    def posterior(self, x):
        return DiagonalNormal(x[..., :2], x[..., :2] * 0)

    def likelihood(self, z):
        mean = torch.cat([z, z], -1)
        return DiscretizedLogistic(mean, mean * 0, levels=1000)


def test_more_levels_than_a_byte_are_coded_but_not_written():
    pixels = np.random.default_rng(0).integers(0, 1000, (20, 4))
    codec = BitsBack(Fine(), pixels=4)
    np.testing.assert_array_equal(codec.decode(codec.encode(pixels), 20), pixels)
    with pytest.raises(ValueError, match="at most 256 levels, this model's have 1000"):
        compress(Fine(), pixels.reshape(20, 2, 2))


class Colours(nn.Module):
    """A model of colour images: two latents, and a mixture that they move."""

    def __init__(self, shape=(2, 3, 3)):
        super().__init__()
        draw = torch.Generator().manual_seed(2)
        self.places, self.pixels = math.prod(shape[:2]), math.prod(shape)
        self.encode = nn.Parameter(torch.randn(self.pixels, 2, generator=draw))
        self.decode = nn.Parameter(torch.randn(2, self.places * 4 * 10, generator=draw))

    def prior(self):
        return StandardNormal(self.encode.new_zeros(2))

    def posterior(self, x):
        mean = (x - 0.5) @ self.encode
        return DiagonalNormal(mean, torch.full_like(mean, -1.0))

    def likelihood(self, z):
        out = (z @ self.decode).unflatten(-1, (self.places, 4, 10))
        pieces = out[..., 0], out[..., 1:4].sigmoid(), out[..., 4:7] / 4 - 2, out[..., 7:] / 4
        return DiscretizedLogisticMixture(*pieces[:3], coefficients=pieces[3], levels=256)


@pytest.mark.parametrize("lanes", [1, 3])
def test_colour_images_come_back(lanes):
    images = np.random.default_rng(3).integers(0, 256, (10, 2, 3, 3))
    model = Colours()
    stream, coded = compress(model, images, lanes=lanes)
    assert stream.header.levels == BitsBack(model, pixels=18).levels == 256
    np.testing.assert_array_equal(decompress(model, stream), images)
    assert coded.net_bits == pytest.approx(coded.content, abs=64)
