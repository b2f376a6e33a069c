"""The standard Gaussian is `DiagonalNormal(zero, zero)` in every answer, and torch's `Independent(Normal)`."""

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence
from torch.testing import assert_close

from jensen.distributions import DiagonalNormal, StandardNormal

SHAPES = [(3,), (2, 3), (4, 2, 3)]


def twins(shape):
    zero = torch.zeros(shape, dtype=torch.float64)
    return StandardNormal(zero), DiagonalNormal(zero, zero), Independent(Normal(zero, torch.ones_like(zero)), 1)


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_diagonal_gaussian_with_nothing_in_it(shape):
    standard, diagonal, independent = twins(shape)
    value = torch.randn(5, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for other in (diagonal, independent):
        assert (standard.batch_shape, standard.event_shape) == (other.batch_shape, other.event_shape)
        assert_close(standard.log_prob(value), other.log_prob(value), atol=1e-13, rtol=0)
        assert_close(standard.entropy(), other.entropy(), atol=1e-13, rtol=0)
        for moment in ("mean", "mode", "stddev", "variance"):
            assert_close(getattr(standard, moment), getattr(other, moment))


def test_a_value_of_fewer_axes_gets_the_batch_shape():
    standard, diagonal, _ = twins((4, 3))
    value = torch.arange(3, dtype=torch.float64)
    assert_close(standard.log_prob(value), diagonal.log_prob(value))


def test_the_gradient_of_the_log_density_is_minus_the_value():
    value = torch.tensor([[0.5, -2.0, 3.0]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(twins((3,))[0].log_prob(value).sum(), value)
    assert_close(gradient, -value.detach())


def test_draws_have_its_mean_and_variance():
    """A z-test at |z| < 4.56 for each of six moments; draws of twice the variance must fail it."""

    def z_scores(draws):
        n = len(draws)
        return torch.cat([draws.mean(0) * n**0.5, (draws.square().mean(0) - 1) * (n / 2) ** 0.5])

    torch.manual_seed(0)
    draws = StandardNormal(torch.zeros(3)).sample((20_000,))
    assert z_scores(draws).abs().max() < 4.56
    assert z_scores(draws * 2**0.5).abs().max() > 4.56


def test_expanded_it_is_the_same():
    expanded = StandardNormal(torch.zeros(3), validate_args=False).expand((4, 2))
    assert expanded.batch_shape == (4, 2)
    assert expanded.sample((5,)).shape == (5, 4, 2, 3)


def test_divergence_from_it_is_that_from_the_diagonal_gaussian():
    generator = torch.Generator().manual_seed(1)
    mean, log_scale = torch.randn(2, 6, 3, dtype=torch.float64, generator=generator)
    q = DiagonalNormal(mean, log_scale)
    standard, diagonal, _ = twins((3,))
    assert_close(kl_divergence(q, standard), kl_divergence(q, diagonal.expand((6,))))
    assert_close(standard.kl_per_unit(q), q.kl_per_unit(diagonal))


def test_it_refuses_scalars_and_values_that_are_not_numbers():
    with pytest.raises(ValueError, match="scalar"):
        StandardNormal(torch.tensor(0.0))
    with pytest.raises(ValueError, match="nan"):
        StandardNormal(torch.zeros(2), validate_args=True).log_prob(torch.tensor([0.0, float("nan")]))
