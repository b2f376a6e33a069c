import numpy as np
import pytest
from scipy.stats import norm

from jensen.evaluation.coding import GaussianBins, Stack
from jensen.evaluation.coding.ans import random_words
from jensen.evaluation.coding.bins import Gaussians

CASES = [(0.0, 1.0), (0.3, 0.05), (-2.5, 0.4), (1.0, 1e-3), (0.0, 3.0), (6.0, 0.5), (-30.0, 0.1)]


def every(bins, mean, scale):
    count = 1 << bins.bits
    return bins.mass(np.arange(count), Gaussians(np.full(count, mean), np.full(count, scale)))


@pytest.mark.parametrize(("mean", "scale"), CASES)
def test_masses_sum_to_one(mean, scale):
    assert every(GaussianBins(10), mean, scale).sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(("mean", "scale"), CASES[:5])
def test_a_mass_is_that_of_the_interval(mean, scale):
    edges = norm.ppf(np.arange(257) / 256)
    expected = np.diff(norm.cdf(edges, mean, scale))
    np.testing.assert_allclose(every(GaussianBins(8), mean, scale), expected, atol=1e-12)


def test_far_out_a_mass_is_still_accurate():
    """Where the difference of two distribution functions near one would be zero."""
    edges = norm.ppf(np.arange(257) / 256)
    expected = norm.sf(edges[-2:-1], -10.0) - 0.0
    assert 0 < expected[0] < 1e-30
    np.testing.assert_allclose(every(GaussianBins(8), -10.0, 1.0)[-1:], expected, rtol=1e-9)
    naive = norm.cdf(edges[-1], -10.0) - norm.cdf(edges[-2], -10.0)
    assert naive == 0.0


def test_under_the_prior_all_bins_are_equal():
    np.testing.assert_allclose(every(GaussianBins(12), 0.0, 1.0), 2.0**-12, rtol=1e-9)
    shifted = GaussianBins(6, Gaussians(np.array([2.0]), np.array([3.0])))
    np.testing.assert_allclose(every(shifted, 2.0, 3.0), 2.0**-6, rtol=1e-9)


def test_bins_come_back():
    noise = np.random.default_rng(2)
    bins, stack = GaussianBins(12), Stack(random_words(10))
    indices = noise.integers(0, 4096, (3, 7))
    mean, scale = noise.standard_normal((3, 7)), noise.uniform(0.01, 2, (3, 7))
    bins.push(stack, indices, Gaussians(mean, scale))
    np.testing.assert_array_equal(bins.pop(stack, Gaussians(mean, scale)), indices)
    np.testing.assert_array_equal(stack.words, random_words(10))


def test_a_bin_costs_its_mass():
    bins, stack, noise = GaussianBins(10), Stack(), np.random.default_rng(3)
    mean, scale = noise.standard_normal(2000), noise.uniform(0.05, 1, 2000)
    z = mean + scale * noise.standard_normal(2000)
    indices = np.clip((norm.cdf(z) * 1024).astype(int), 0, 1023)
    bins.push(stack, indices, Gaussians(mean, scale))
    expected = -np.log2(bins.mass(indices, Gaussians(mean, scale))).sum()
    assert stack.content == pytest.approx(expected, rel=1e-4)
    assert stack.bits == pytest.approx(expected, rel=1e-2)


def test_bins_popped_from_random_bits_are_draws():
    count, bins = 20_000, GaussianBins(4)
    mean, scale = np.full(count, 0.4), np.full(count, 0.6)
    drawn = bins.pop(Stack(random_words(4 * count)), Gaussians(mean, scale))
    expected = every(bins, 0.4, 0.6) * count
    chi_square = ((np.bincount(drawn, minlength=16) - expected) ** 2 / expected)[expected > 5].sum()
    assert chi_square < 45
    shifted = every(bins, 0.45, 0.6) * count  # the negative control
    assert ((np.bincount(drawn, minlength=16) - shifted) ** 2 / shifted)[shifted > 5].sum() > 45


def test_a_centre_lies_in_the_middle_of_its_bin():
    bins = GaussianBins(5, Gaussians(np.ones(1), np.full(1, 2.0)))
    np.testing.assert_allclose(norm.cdf(bins.centres(np.arange(32)), 1.0, 2.0), (np.arange(32) + 0.5) / 32)


@pytest.mark.parametrize("bits", [0, 21])
def test_a_number_of_bits_that_cannot_be_is_refused(bits):
    with pytest.raises(ValueError, match=f"between 1 and 20 bits each, got {bits}"):
        GaussianBins(bits)


def test_every_unit_of_every_image_may_have_a_prior_of_its_own():
    noise = np.random.default_rng(2)
    p = Gaussians(noise.standard_normal((5, 3)), np.exp(noise.standard_normal((5, 3))))
    bins, indices = GaussianBins(6, p), noise.integers(0, 64, (5, 3))
    np.testing.assert_allclose(bins.mass(indices, p), 2.0**-6)
    np.testing.assert_allclose(norm.cdf(bins.centres(indices), p.mean, p.scale), (indices + 0.5) / 64)
    others = GaussianBins(6, Gaussians(p.mean[::-1], p.scale))  # the negative control: the prior of another image
    assert np.abs(others.mass(indices, p) * 64 - 1).max() > 0.1
