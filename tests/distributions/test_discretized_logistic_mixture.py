import itertools

import pytest
import torch
from torch.testing import assert_close

from jensen.distributions import DiscretizedLogistic, DiscretizedLogisticMixture

P, M, C, L = 2, 3, 3, 5


def mixture(logits, means, log_scales, a, *, levels=L, **options):
    return DiscretizedLogisticMixture(logits, means, log_scales, coefficients=a, levels=levels, **options)


def parameters(channels=C, dtype=torch.float64, batch=()):
    torch.manual_seed(1)
    shape = (*batch, P, M)
    return (
        torch.randn(shape, dtype=dtype),
        torch.rand(*shape, channels, dtype=dtype),
        torch.rand(*shape, channels, dtype=dtype) - 3,
        torch.tanh(2 * torch.randn(*shape, channels * (channels - 1) // 2, dtype=dtype)),
    )


@pytest.fixture
def image():
    return mixture(*parameters(), levels=L, validate_args=True)


def every_colour():
    return torch.tensor(list(itertools.product(range(L), repeat=C)), dtype=torch.float64) / (L - 1)


def test_all_colours_of_a_position_have_all_of_the_mass():
    one = mixture(*(each[:1] for each in parameters()), levels=L)
    assert_close(one.log_prob(every_colour()).exp().sum(), torch.tensor(1.0).double(), atol=1e-10, rtol=0)


def by_hand(logits, means, log_scales, a, x, *, half=0.5):
    """The sum over components of the product over red, green and blue, one position after another."""
    total = 0.0
    for p in range(P):
        r, g, _ = (v - half for v in x[p])
        shift = torch.stack([0 * r + torch.zeros(M), a[p, :, 0] * r, a[p, :, 1] * r + a[p, :, 2] * g], -1)
        terms = [
            logits[p].log_softmax(-1)[m]
            + DiscretizedLogistic(means[p, m] + shift[m], log_scales[p, m], levels=L).log_prob(x[p])
            for m in range(M)
        ]
        total = total + torch.logsumexp(torch.stack(terms), 0)
    return total


def test_it_equals_the_sum_over_components_by_hand(image):
    torch.manual_seed(2)
    x = torch.randint(0, L, (P, C)).double() / (L - 1)
    assert_close(image.log_prob(x.flatten()), by_hand(*parameters(), x))
    assert (image.log_prob(x.flatten()) - by_hand(*parameters(), x, half=0.0)).abs() > 1e-3, "a twin with another zero"


def test_channels_are_dependent_given_the_component_and_a_twin_without_that_differs(image):
    logits, means, log_scales, a = parameters()
    twin = mixture(logits, means, log_scales, 0 * a, levels=L)
    x = every_colour()[:100].repeat(1, P)
    assert (image.log_prob(x) - twin.log_prob(x)).abs().max() > 0.1


def test_channels_in_turn_have_the_probability_of_all(image):
    torch.manual_seed(2)
    k = torch.randint(0, L, (P, C))
    x = k.double() / (L - 1)
    in_turn = sum(image.log_prob_of_channel(x[:, :c]).gather(-1, k[:, c : c + 1]).sum() for c in range(C))
    assert_close(in_turn, image.log_prob(x.flatten()))
    assert_close(image.log_prob_of_channel(x[:, :1]).exp().sum(-1), torch.ones(P).double())


def test_with_one_channel_it_has_a_table_and_one_component_is_the_plain_family():
    logits, means, log_scales, a = parameters(channels=1)
    grey = mixture(logits, means, log_scales, a, levels=L)
    table = grey.log_prob_of_levels()
    assert table.shape == (P, L)
    x = torch.tensor([0.25, 1.0], dtype=torch.float64)
    assert_close(table[0, 1] + table[1, 4], grey.log_prob(x))
    one = mixture(logits[:, :1], means[:, :1], log_scales[:, :1], a[:, :1], levels=L)
    plain = DiscretizedLogistic(means[:, 0, 0], log_scales[:, 0, 0], levels=L)
    assert_close(one.log_prob(x), plain.log_prob(x))
    assert_close(one.mean, plain.mean)


def test_draws_have_the_probabilities_of_the_density():
    torch.manual_seed(5)
    one = mixture(*(each[:1].float() for each in parameters()), levels=L)
    n, colours = 40_000, every_colour().float()
    draws = (one.sample((n,)) * (L - 1)).round().long()
    code = draws @ torch.tensor([L * L, L, 1])
    frequency = torch.bincount(code, minlength=L**C) / n
    p = one.log_prob(colours).exp()
    often = p > 1e-3
    z = (frequency - p) / (p * (1 - p) / n).sqrt()
    assert z[often].abs().max() < 4.56
    independent = mixture(one.logits, one.means, one.log_scales, 0 * one.coefficients, levels=L)
    q = independent.log_prob(colours).exp()
    assert ((frequency - q) / (q * (1 - q) / n).sqrt())[often].abs().max() > 10


def test_the_mean_is_that_of_the_probabilities_where_nothing_is_cut_off():
    logits, means, log_scales, a = (each[:1] for each in parameters())
    one = mixture(logits, 0.4 + 0.2 * means, log_scales - 0.5, 0.3 * a, levels=L)
    exact = one.log_prob(every_colour()).exp() @ every_colour()
    assert_close(one.mean[0], exact[0], atol=1e-9, rtol=0)
    assert_close(one.mean, exact, atol=0.01, rtol=0)


def test_gradients_are_finite_far_from_the_data_in_single_precision():
    shape = (4, 5)
    means = torch.full((*shape, 3), 40.0, requires_grad=True)
    log_scales = torch.full((*shape, 3), -7.0, requires_grad=True)
    logits, a = torch.zeros(shape, requires_grad=True), torch.zeros(*shape, 3, requires_grad=True)
    image = mixture(logits, means, log_scales, a, levels=256)
    found = torch.autograd.grad(image.log_prob(torch.zeros(12)), (logits, means, log_scales, a))
    assert all(each.isfinite().all() for each in found)


def test_samples_broadcast_against_the_batch():
    image = mixture(*parameters(batch=(4,)), levels=L)
    x = image.sample((6,))
    assert x.shape == (6, 4, P * C)
    assert_close(image.log_prob(x)[2, 3], image.log_prob(x[2, 3].expand(4, -1))[3])
    assert image.mean.shape == (4, P * C)
    assert image.expand((6, 4)).log_prob(x).shape == (6, 4)


def test_bad_parameters_and_questions_are_refused(image):
    logits, means, log_scales, a = parameters()
    with pytest.raises(ValueError, match="do not fit"):
        mixture(logits, means, log_scales, a[..., :2], levels=L)
    with pytest.raises(ValueError, match="levels is 1"):
        mixture(logits, means, log_scales, a, levels=1)
    with pytest.raises(ValueError, match="depend on each other"):
        image.log_prob_of_levels()
    with pytest.raises(ValueError, match="there are only 3"):
        image.log_prob_of_channel(torch.zeros(P, 3).double())
    with pytest.raises(ValueError, match="levels k / 4"):
        image.log_prob(torch.full((P * C,), 0.3).double())
    for width in (C, P * C + 1):  # one position for all of them, or no whole positions
        with pytest.raises(ValueError, match="event_shape"):
            image.log_prob(torch.zeros(width).double())
