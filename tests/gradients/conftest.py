"""The problems that estimators are checked on, and exact moments over every draw there is."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, OneHotCategorical

DOUBLE = torch.float64


class Case(NamedTuple):
    """An expectation whose value and gradient are known."""

    logits: Tensor  # (P,), without gradient
    q: Callable[[Tensor], Distribution]  # logits (*batch, P) -> a distribution with that batch shape
    f: Callable[[Tensor], Tensor]  # samples (K, *batch, *event) -> costs (K, *batch)
    states: Tensor  # (S, *event), all values
    value: float  # of E f, eight digits or more
    gradient: Tensor  # with respect to the logits


class Moments(NamedTuple):
    """Exact moments of an estimator over its noise."""

    value: Tensor
    gradient: Tensor  # (P,)
    variance: Tensor  # the trace of the gradient's covariance


@pytest.fixture(scope="session")
def four():
    """Four categories as one-hot rows, asymmetric; the trace variances of estimators of it are known."""
    w = torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=DOUBLE)
    return Case(
        logits=torch.tensor([0.6, -0.4, 0.1, -0.9], dtype=DOUBLE),
        q=lambda logits: OneHotCategorical(logits=logits),
        f=lambda z: (z @ w - 0.3) ** 2,
        states=torch.eye(4, dtype=DOUBLE),
        value=3.12468267,
        gradient=torch.tensor([-1.1989235, 0.36248516, 1.14964568, -0.31320734], dtype=DOUBLE),
    )


@pytest.fixture(scope="session")
def three_bits():
    """Three independent bits, asymmetric, a cost that couples them."""
    w = torch.tensor([0.9, -0.5, 0.7], dtype=DOUBLE)
    target = torch.tensor([0.6, 0.51, 0.48], dtype=DOUBLE)
    return Case(
        logits=torch.tensor([0.3, -0.6, 0.9], dtype=DOUBLE),
        q=lambda logits: Independent(Bernoulli(logits=logits), 1),
        f=lambda z: (z @ w - 0.4) ** 2 + (z - target).square().sum(-1),
        states=torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=DOUBLE)] * 3),
        value=1.30426,
        gradient=torch.tensor([0.11413, -0.08800, 0.09160], dtype=DOUBLE),
    )


@pytest.fixture(params=["four", "three_bits"])
def case(request):
    return request.getfixturevalue(request.param)


def _exact(case):
    """Value, gradient by enumeration, in full precision."""
    logits = case.logits.clone().requires_grad_()
    q = case.q(logits)
    value = (q.log_prob(case.states).exp() * case.f(case.states)).sum()
    return value.detach(), torch.autograd.grad(value, logits)[0]


@pytest.fixture(scope="session")
def exact():
    """`exact(case)`: value and gradient to the last digit."""
    return _exact


def _moments(estimate, parameter, probability):
    (gradient,) = torch.autograd.grad(estimate.sum(), parameter)
    mean = probability @ gradient
    return Moments(
        value=(probability * estimate).sum().detach(),
        gradient=mean,
        variance=probability @ gradient.square().sum(-1) - mean.square().sum(),
    )


@pytest.fixture(scope="session")
def moments():
    """`moments(estimate (N,), parameter (N, P), probability (N,))`: exact moments, one row for each possible draw."""
    return _moments


def _tuples(S, K):
    return torch.cartesian_prod(*[torch.arange(S)] * K).reshape(S**K, K).T


@pytest.fixture(scope="session")
def tuples():
    """`tuples(S, K)`: every K-tuple of S states as indices, `(K, S**K)`."""
    return _tuples


@pytest.fixture(scope="session")
def over_all_tuples():
    """`over_all_tuples(case, kernel, K)`: exact moments of `kernel(cost, log_q)` over all independent K-tuples."""

    def compute(case, kernel, K):
        index = _tuples(len(case.states), K)
        logits = case.logits.expand(index.shape[1], -1).clone().requires_grad_()
        z = case.states[index]  # (K, N, *event)
        log_q = case.q(logits).log_prob(z)  # (K, N)
        return _moments(kernel(case.f(z), log_q), logits, log_q.detach().sum(0).exp())

    return compute
