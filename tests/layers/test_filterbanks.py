"""Laws of the Gaussian filterbanks, and the bugs of earlier ports that break them."""

import math

import pytest
import torch
from torch.testing import assert_close

from jensen.layers.filterbanks import Filters, Window, filterbank, read, window, write

NARROW = -40.0


def at(*, x, y, stride, log_variance=NARROW, log_intensity=0.0):
    numbers = (x, y, stride, log_variance, log_intensity)
    return Window(*(torch.tensor([float(n)], dtype=torch.float64) for n in numbers))


def images(B=1, height=28, width=28, C=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(B, height, width, C, generator=generator, dtype=torch.float64)


def random_filters(B=4, shape=(9, 7), size=5, seed=1):
    parameters = torch.randn(B, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return filterbank(window(parameters, shape=shape, size=size), shape=shape, size=size)


def by_the_book(parameters, shape, size, first=1):
    """The filters entry by entry, as the paper writes them, with rows, columns and filters numbered from `first`."""
    B, A = shape
    g_x, g_y, log_variance, log_stride, _ = parameters.tolist()
    stride = (max(A, B) - 1) / (size - 1) * math.exp(log_stride)
    banks = []
    for centre, pixels in (((B + 1) / 2 * (g_y + 1), B), ((A + 1) / 2 * (g_x + 1), A)):
        F = torch.zeros(size, pixels, dtype=torch.float64)
        for i in range(size):
            mean = centre + (i + first - size / 2 - 0.5) * stride
            for a in range(pixels):
                F[i, a] = math.exp(-((a + 1 - mean) ** 2) / (2 * math.exp(log_variance)))
        banks.append(F / F.sum(-1, keepdim=True))
    return Filters(*banks)


def ours(parameters, shape, size):
    return filterbank(window(parameters.unsqueeze(0), shape=shape, size=size), shape=shape, size=size)


PARAMETERS = torch.tensor([0.1, -0.3, 0.4, -0.8, 0.2], dtype=torch.float64)


@pytest.mark.parametrize(("shape", "size"), [((28, 28), 12), ((9, 14), 4), ((14, 9), 5)])
def test_every_entry_is_the_papers(shape, size):
    expected, found = by_the_book(PARAMETERS, shape, size), ours(PARAMETERS, shape, size)
    assert_close(found.y[0], expected.y, rtol=1e-12, atol=1e-15)
    assert_close(found.x[0], expected.x, rtol=1e-12, atol=1e-15)


def test_filters_numbered_from_zero_are_caught():
    expected, found = by_the_book(PARAMETERS, (28, 28), 12, first=0), ours(PARAMETERS, (28, 28), 12)
    assert (found.x[0] - expected.x).abs().max() > 0.1


def test_another_exponent_is_caught():
    """exp(-((a - mu) / (2 s^2))^2) is no Gaussian of variance s^2, except by luck of s."""
    found = ours(PARAMETERS, (28, 28), 12).x[0]
    log_variance = PARAMETERS[2]
    mean = (found * torch.arange(1, 29)).sum(-1)[6]  # a filter in the middle: its mean is where it lies
    a = torch.arange(1, 29, dtype=torch.float64)
    right = torch.softmax(-((a - mean) ** 2) / (2 * log_variance.exp()), -1)
    wrong = torch.softmax(-(((a - mean) / (2 * log_variance.exp())) ** 2), -1)
    assert_close(found[6], right, atol=1e-4, rtol=0)
    assert (found[6] - wrong).abs().max() > 0.05


def test_a_narrow_grid_of_stride_one_is_the_identity():
    bank = filterbank(at(x=14.5, y=14.5, stride=1), shape=(28, 28), size=28)
    assert_close(bank.x[0], torch.eye(28, dtype=torch.float64), atol=0, rtol=0)
    x = images()
    assert_close(read(x, bank), x, atol=0, rtol=0)
    assert_close(write(x, bank), x, atol=0, rtol=0)


def test_twelve_by_twelve_in_the_middle_is_the_middle():
    bank = filterbank(at(x=14.5, y=14.5, stride=1), shape=(28, 28), size=12)
    x = images()
    assert_close(read(x, bank), x[:, 8:20, 8:20], atol=0, rtol=0)
    painted = write(x[:, 8:20, 8:20], bank)
    assert_close(painted[:, 8:20, 8:20], x[:, 8:20, 8:20], atol=0, rtol=0)
    assert_close(painted.sum(), x[:, 8:20, 8:20].sum(), rtol=1e-14, atol=0)


def test_zeros_look_at_the_whole_image():
    whole = window(torch.zeros(1, 5, dtype=torch.float64), shape=(28, 28), size=12)
    assert (whole.centre_x, whole.centre_y) == (14.5, 14.5)
    assert_close(whole.stride, torch.tensor([27 / 11], dtype=torch.float64))
    bank = filterbank(whole._replace(log_variance=torch.full((1,), NARROW).double()), shape=(28, 28), size=12)
    nearest = bank.x[0].argmax(-1) + 1
    assert nearest[0] == 1
    assert nearest[-1] == 28
    assert_close(bank.x[0] @ torch.arange(1, 29).double(), torch.linspace(1, 28, 12).double(), atol=0.5001, rtol=0)


def test_the_centre_maps_minus_one_to_before_the_image_and_plus_one_to_after_it():
    for g, expected in ((-1.0, 0.0), (0.0, 10.5), (1.0, 21.0)):
        parameters = torch.tensor([[g, 0.0, 0.0, 0.0, 0.0]])
        assert window(parameters, shape=(9, 20), size=3).centre_x == expected


def test_one_filter_lies_at_the_centre_whatever_the_stride():
    for log_stride in (-3.0, 0.0, 2.0):
        parameters = torch.tensor([[0.2, -0.1, 0.0, log_stride, 0.0]], dtype=torch.float64)
        bank = filterbank(window(parameters, shape=(7, 7), size=1), shape=(7, 7), size=1)
        a = torch.arange(1, 8).double()
        assert_close(bank.x[0, 0], torch.softmax(-((a - 4.8) ** 2) / 2, -1))


@pytest.mark.parametrize("log_variance", [-1000.0, -40.0, -5.0, 0.0, 20.0, 1000.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("centre", [0.0, 3.0, -1e3, 1e6])
def test_rows_sum_to_one_at_any_width_and_distance(log_variance, dtype, centre):
    parameters = torch.tensor([[centre, -centre, log_variance, 0.3, 0.0]], dtype=dtype)
    for bank in filterbank(window(parameters, shape=(28, 20), size=5), shape=(28, 20), size=5):
        assert_close(bank.sum(-1), torch.ones(1, 5, dtype=dtype), atol=1e-6, rtol=0)
        assert (bank >= 0).all()


def test_a_row_divided_by_its_sum_and_a_small_number_is_caught():
    """Far from the image all exponentials underflow: the row would be zeros, and the gradient gone."""
    a = torch.arange(1, 29).float()
    exponent = -((a - 60.0) ** 2) / 2
    twin = exponent.exp() / (exponent.exp().sum() + 1e-8)
    assert twin.sum() == 0
    far = Window(*(torch.tensor([n]) for n in (60.0, 60.0, 1.0, 0.0, 0.0)))
    row = filterbank(far, shape=(28, 28), size=1).x[0, 0]
    assert_close(row.sum(), torch.tensor(1.0))
    assert row.argmax() == 27


def test_wide_filters_see_the_mean():
    x = images()
    bank = filterbank(at(x=14.5, y=14.5, stride=1, log_variance=40), shape=(28, 28), size=3)
    assert_close(read(x, bank), x.mean().expand(1, 3, 3, 1), rtol=1e-9, atol=0)


@pytest.mark.parametrize("C", [1, 3])
def test_write_is_the_adjoint_of_read(C):
    bank = random_filters()
    x, w = images(4, 9, 7, C), images(4, 5, 5, C, seed=2)
    assert_close((read(x, bank) * w).sum(), (x * write(w, bank)).sum(), rtol=1e-12, atol=0)


def test_writing_through_transposed_axes_is_caught():
    bank = random_filters(shape=(9, 9))
    x, w = images(4, 9, 9), images(4, 5, 5, seed=2)
    swapped = write(w, Filters(bank.x, bank.y))
    assert ((read(x, bank) * w).sum() - (x * swapped).sum()).abs() > 1e-3


def test_reading_is_the_product_for_each_channel():
    bank, x, w = random_filters(), images(4, 9, 7, 3), images(4, 5, 5, 3, seed=2)
    assert_close(read(x, bank), torch.einsum("bnh,bhwc,bmw->bnmc", bank.y, x, bank.x))
    assert_close(write(w, bank), torch.einsum("bnh,bnmc,bmw->bhwc", bank.y, w, bank.x))


@pytest.mark.parametrize("C", [1, 3])
def test_images_side_by_side_are_read_side_by_side(C):
    bank, x, error = random_filters(), images(4, 9, 7, C), images(4, 9, 7, C, seed=2)
    together = read(torch.cat([x, error], 2), bank)
    assert_close(together, torch.cat([read(x, bank), read(error, bank)], 2))


def test_a_shifted_window_sees_the_shifted_image():
    x = images(1, 30, 26)
    for down, right in ((1, 0), (0, 2), (-3, 1)):
        here = filterbank(at(x=13, y=15, stride=1.3, log_variance=-1), shape=(30, 26), size=5)
        there = filterbank(at(x=13 + right, y=15 + down, stride=1.3, log_variance=-1), shape=(30, 26), size=5)
        shifted = x.roll((down, right), (1, 2))
        assert_close(read(shifted, there), read(x, here), rtol=1e-6, atol=1e-9)
        assert (read(shifted, here) - read(x, here)).abs().max() > 1e-3
        patch = images(1, 5, 5, seed=3)
        assert_close(write(patch, there), write(patch, here).roll((down, right), (1, 2)), rtol=1e-6, atol=1e-9)


def test_gradients_are_those_of_differences():
    parameters = torch.randn(2, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    x, w = images(2, 6, 5, 2), images(2, 3, 3, 2, seed=4)

    def through(parameters, x, w):
        bank = filterbank(window(parameters, shape=(6, 5), size=3), shape=(6, 5), size=3)
        return read(x, bank), write(w, bank)

    assert torch.autograd.gradcheck(through, tuple(each.requires_grad_() for each in (parameters, x, w)))


def test_extreme_numbers_keep_values_and_gradients_finite():
    for value in (-1e4, 1e4):
        parameters = torch.full((1, 5), value, requires_grad=True)
        where = window(parameters, shape=(28, 28), size=5)
        bank = filterbank(where, shape=(28, 28), size=5)
        result = read(torch.ones(1, 28, 28, 1), bank) * where.log_intensity.exp() / where.log_intensity.neg().exp()
        result.sum().backward()
        assert result.isfinite().all()
        assert parameters.grad.isfinite().all()


@pytest.mark.parametrize("shape", [(5,), (2, 4), (2, 3, 5)])
def test_other_than_five_numbers_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected \(B, 5\), got"):
        window(torch.zeros(shape), shape=(8, 8), size=2)


def test_no_filter_and_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match="size is 0; a grid has at least one filter"):
        window(torch.zeros(1, 5), shape=(8, 8), size=0)
    bank = random_filters()
    with pytest.raises(ValueError, match=r"images have shape \(4, 7, 9, 1\); these filters expect \(4, 9, 7, chan"):
        read(images(4, 7, 9), bank)
    with pytest.raises(ValueError, match=r"patches have shape \(4, 4, 5, 1\); these filters expect \(4, 5, 5, chan"):
        write(images(4, 4, 5), bank)
