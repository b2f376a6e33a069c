"""The z-tests below use the suite's budget |z| < 4.56, a false alarm in 200,000; nine of them make one test.

With 250,000 draws a level, a probability that is off by 0.01 is at least nine standard errors away.
"""

import pytest
import torch

from jensen import datasets
from jensen.datasets import DynamicBinarization, binarize, fixed_binarization

LEVELS = torch.linspace(0.1, 0.9, 9)
GREY = LEVELS.expand(250_000, 9).contiguous()


def largest_z(draws):
    error = (LEVELS.double() * (1 - LEVELS.double()) / len(draws)).sqrt()
    return ((draws.double().mean(0) - LEVELS.double()) / error).abs().max().item()


def twin_threshold(grey):
    return (grey > 0.5).float()


def twin_darker(grey):
    return torch.bernoulli(0.98 * grey)


def twin_half_precision(grey):
    return (torch.rand_like(grey, dtype=torch.bfloat16) < grey).float()


def test_a_dynamic_pixel_is_white_as_often_as_its_grey_level_says():
    torch.manual_seed(10)
    assert largest_z(DynamicBinarization(GREY)[torch.arange(len(GREY))]) < 4.56


def test_a_fixed_pixel_is_white_as_often_as_its_grey_level_says():
    assert largest_z(fixed_binarization(GREY, seed=11)) < 4.56


@pytest.mark.parametrize("twin", [twin_threshold, twin_darker, twin_half_precision])
def test_plausible_bugs_are_caught(twin):
    torch.manual_seed(12)
    assert largest_z(twin(GREY)) > 4.56


def correlation_z(first, second):
    """Under independence the sum of products of standardised draws is a sum of uncorrelated terms of variance one."""
    scale = (LEVELS * (1 - LEVELS)).sqrt()
    products = (first - LEVELS) / scale * (second - LEVELS) / scale
    return products.double().sum().item() / products.numel() ** 0.5


def test_two_uses_are_independent():
    torch.manual_seed(13)
    data, index = DynamicBinarization(GREY), torch.arange(len(GREY))
    assert abs(correlation_z(data[index], data[index])) < 4.56


def test_two_copies_in_one_batch_are_independent():
    torch.manual_seed(14)
    first, second = DynamicBinarization(GREY)[torch.arange(len(GREY)).repeat(2)].chunk(2)
    assert abs(correlation_z(first, second)) < 4.56


def test_one_draw_used_twice_is_caught():
    draw = fixed_binarization(GREY, seed=15)
    assert correlation_z(draw, draw) > 4.56


@pytest.mark.parametrize(("uniform", "expected"), [(0.0, [0, 1, 1, 1]), (1 - 2**-24, [0, 0, 0, 1])])
def test_black_stays_black_and_white_stays_white_at_either_end_of_the_noise(monkeypatch, uniform, expected):
    grey = torch.tensor([[0.0, 2**-24, 0.999, 1.0]])
    monkeypatch.setattr(torch, "rand_like", lambda like: torch.full_like(like, uniform))
    monkeypatch.setattr(torch, "rand", lambda shape, *, generator, dtype: torch.full(shape, uniform, dtype=dtype))
    assert DynamicBinarization(grey)[torch.tensor([0])].tolist() == [expected]
    assert fixed_binarization(grey, seed=0).tolist() == [expected]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_are_zeros_and_ones_of_the_same_type(dtype):
    grey = torch.rand(20, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    before = grey.clone()
    for draw in (DynamicBinarization(grey)[torch.tensor([3, 3, 7])], fixed_binarization(grey, seed=0)):
        assert draw.dtype == dtype
        assert set(draw.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(grey, before)


def test_a_stored_generator_state_gives_the_same_draws_again():
    data, index = DynamicBinarization(GREY[:100]), torch.arange(100)
    state = torch.get_rng_state()
    first, second = data[index], data[index]
    assert not torch.equal(first, second)
    torch.set_rng_state(state)
    assert torch.equal(data[index], first)
    assert torch.equal(data[index], second)


def test_a_fixed_draw_depends_on_the_seed_alone_and_leaves_the_global_generator():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = fixed_binarization(GREY[:100], seed=5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(fixed_binarization(GREY[:100], seed=5), first)
    assert not torch.equal(fixed_binarization(GREY[:100], seed=6), first)


def test_making_and_moving_dynamic_data_draws_nothing():
    before = torch.get_rng_state()
    data = DynamicBinarization(GREY[:10])
    moved = data.to("meta")
    assert torch.equal(torch.get_rng_state(), before)
    assert (len(data), data.device, moved.device) == (10, torch.device("cpu"), torch.device("meta"))
    assert moved[torch.arange(3, device="meta")].shape == (3, 9)
    assert data.grey.device == torch.device("cpu")


def test_slices_and_whole_sets_are_uses_too():
    data = DynamicBinarization(GREY[:10])
    assert data[:4].shape == (4, 9)
    assert data[torch.arange(10)].shape == (10, 9)
    with pytest.raises(IndexError):
        data[torch.tensor([10])]


def test_modes():
    grey = GREY[:10]
    assert isinstance(binarize(grey), DynamicBinarization)
    assert torch.equal(binarize(grey, "fixed", seed=3), fixed_binarization(grey, seed=3))
    assert binarize(grey, "grey") is grey
    with pytest.raises(ValueError, match="unknown mode 'dynamik'; did you mean 'dynamic'"):
        binarize(grey, "dynamik")


@pytest.mark.parametrize("mode", ["dynamic", "fixed", "grey"])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.tensor([[0.5, float("nan")]]), "must lie in"),
        (torch.tensor([[0.5, -0.01]]), r"must lie in \[0, 1\], got \[-0.01, 0.5\]"),
        (torch.tensor([[0.5, 255.0]]), r"got \[0.5, 255\]"),
        (torch.zeros(0, 4), "give at least one image"),
        (torch.tensor(0.5), r"must be \(N, pixels\), got \(\)"),
        (torch.zeros(2, 2, dtype=torch.uint8), "got torch.uint8"),
        (torch.zeros(2, 2, dtype=torch.bfloat16), "got torch.bfloat16"),
        ([[0.5]], "got list"),
    ],
)
def test_bad_grey_levels_are_refused(mode, bad, message):
    with pytest.raises(ValueError, match=message):
        binarize(bad, mode)


def test_real_digits_binarise_to_their_mean():
    torch.manual_seed(17)
    grey = datasets.load("digits").train
    draws = DynamicBinarization(grey)[torch.arange(len(grey)).repeat(20)].double()
    variance = (grey * (1 - grey)).double().sum() / (20 * grey.numel() ** 2)
    z = (draws.mean() - grey.double().mean()) / variance.sqrt()
    assert abs(z) < 4.56
    assert (twin_threshold(grey).double().mean() - grey.double().mean()).abs() / variance.sqrt() > 4.56
