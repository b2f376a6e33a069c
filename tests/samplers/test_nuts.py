"""The adapter to nutpie: the same posterior as ours, errors that come through, and one line where it is absent."""

import importlib
import math

import pytest
import torch
from torch.distributions import Beta, Gamma, Normal, Poisson

from jensen._targets import Target
from jensen.samplers.nuts import nuts

COUNTS = torch.tensor([3.0, 1.0, 4.0, 1.0, 5.0]).double()


def poisson(log_likelihood=lambda rate: Poisson(rate.unsqueeze(-1)).log_prob(COUNTS).sum(-1)):
    return Target(log_likelihood, Gamma(torch.tensor(2.0).double(), 1.0))


@pytest.fixture
def nutpie():
    return pytest.importorskip("nutpie")


def test_a_gamma_posterior(nutpie):
    threads, target = torch.get_num_threads(), poisson()
    run = nuts(target, chains=2, draws=500, warmup=200)
    rate = target.constrain(run.draws.points)
    size = float(run.effective_sample_size.min())
    assert run.draws.points.shape == (500, 2, 1)
    assert size > 100
    assert abs(float(rate.mean()) - 16 / 6) < 4.56 * (4 / 6) / math.sqrt(size)
    assert run.evaluations > 1000
    assert torch.get_num_threads() == threads


def test_a_lost_jacobian_would_be_noticed(nutpie):
    target = poisson()
    log_joint = target.log_joint
    target.log_joint = lambda u: log_joint(u) - target.log_jacobian(u)
    run = nuts(target, chains=2, draws=500, warmup=200)
    wrong = target.constrain(run.draws.points).mean() - 16 / 6
    assert abs(float(wrong)) > 3 * (4 / 6) / math.sqrt(float(run.effective_sample_size.min()))


def test_nan_is_counted(nutpie):
    target = Target(lambda x: torch.where(x > 0, -x, math.nan), Normal(torch.zeros(()).double(), 1.0))
    run = nuts(target, chains=1, draws=100, warmup=100)
    assert run.not_finite > 0
    assert bool((run.draws.points > 0).all())


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_function_that_raises(nutpie, error):
    calls = []

    def log_likelihood(p):
        calls.append(1)
        if len(calls) > 40:
            raise error("too many")
        return 0 * p

    target = Target(log_likelihood, Beta(*torch.ones(2).double()))
    expected = ValueError if error is RuntimeError else error
    with pytest.raises(expected, match="too many"):
        nuts(target, chains=2, draws=20, warmup=20)


def test_settings_that_do_not_fit():
    with pytest.raises(ValueError, match="draws >= 4"):
        nuts(poisson(), draws=3)


def test_nutpie_is_absent(monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(ValueError, match=r'pip install "jensen\[nuts\]"'):
        nuts(poisson())
