import math

import pytest
import torch
from torch.testing import assert_close

from jensen._math import log_mean_exp, logit

INF = math.inf


@pytest.mark.parametrize("shift", [0.0, -90.0, -104.0, -750.0, 800.0, -1e6])
def test_log_mean_exp_does_not_depend_on_where_the_numbers_lie(shift):
    x = torch.tensor([0.0, math.log(3.0)], dtype=torch.float64)
    assert_close(
        log_mean_exp(x + shift), torch.tensor(math.log(2.0) + shift, dtype=torch.float64), rtol=1e-15, atol=1e-9
    )


def test_log_mean_exp_reduces_the_axis_it_is_given():
    x = torch.randn(3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for dim in (0, 1, 2, -1):
        assert_close(log_mean_exp(x, dim=dim), x.exp().mean(dim).log(), rtol=0, atol=1e-14)


def test_minus_infinity_is_a_term_of_nothing():
    x = torch.tensor([[-INF, -INF], [0.0, -INF]], dtype=torch.float64, requires_grad=True)
    mean = log_mean_exp(x)
    assert_close(mean.detach(), torch.tensor([-math.log(2.0), -INF], dtype=torch.float64))
    (gradient,) = torch.autograd.grad(mean.sum(), x)
    assert gradient[:, 0].tolist() == [0.0, 1.0]


def test_not_a_number_is_not_hidden():
    assert log_mean_exp(torch.tensor([0.0, math.nan])).isnan()


def test_logit_inverts_the_sigmoid_within_its_clip():
    probability = torch.linspace(0.001, 0.999, 7, dtype=torch.float64)
    assert_close(torch.sigmoid(logit(probability)), probability, rtol=0, atol=1e-15)


def test_logit_is_finite_at_the_ends():
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert_close(
        torch.sigmoid(logit(ends, clip=0.01)), torch.tensor([0.01, 0.99], dtype=torch.float64), rtol=0, atol=1e-15
    )
