"""The rate carved up: exact on two Gaussians by quadrature, on linear-Gaussian codes by a determinant, at both ends."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import nn
from torch.distributions import Bernoulli, Independent, Normal
from torch.testing import assert_close

from jensen.distributions import DiagonalNormal, StandardNormal
from jensen.evaluation import LatentInformation, has_one_code, latent_information


class Linear(nn.Module):
    """q(z | x) is Gaussian around `gain * x` with one scale for each unit, p(z) standard."""

    def __init__(self, gain, scale):
        super().__init__()
        self.register_buffer("gain", torch.as_tensor(gain, dtype=torch.float64))
        self.register_buffer("log_scale", torch.as_tensor(scale, dtype=torch.float64).log())

    def posterior(self, x):
        return DiagonalNormal(self.gain * x, self.log_scale)

    def prior(self):
        return StandardNormal(torch.zeros_like(self.log_scale))


class Joint(Linear):
    """The same without units of its own."""

    def posterior(self, x):
        return Independent(Normal(self.gain * x, self.log_scale.exp()), 1)

    def prior(self):
        return Independent(Normal(torch.zeros_like(self.log_scale), 1.0), 1)


class Still(Linear):
    """The same, its draws always one deviation above the mean."""

    def posterior(self, x):
        q = super().posterior(x)
        q.sample = lambda: q.mean + q.stddev
        return q


def normal(z, mean, scale):
    return math.exp(-0.5 * ((z - mean) / scale) ** 2) / (scale * math.sqrt(2 * math.pi))


def by_quadrature(mean, scale):
    """Information and marginal divergence of the two posteriors at plus and minus `mean`."""

    def aggregate(z):
        return (normal(z, mean, scale) + normal(z, -mean, scale)) / 2

    def information(z):
        return normal(z, mean, scale) * math.log(normal(z, mean, scale) / aggregate(z))

    def divergence(z):
        return aggregate(z) * math.log(aggregate(z) / normal(z, 0, 1))

    reach = mean + 9 * scale
    limits = {"epsabs": 1e-12, "limit": 200}
    return quad(information, mean - 9 * scale, reach, **limits)[0], quad(divergence, -reach, reach, **limits)[0]


@pytest.mark.parametrize(("mean", "scale"), [(1.0, 0.5), (0.3, 0.8), (0.7, 1.0)])
def test_two_gaussians_agree_with_quadrature(mean, scale):
    x = torch.tensor([[mean], [-mean]], dtype=torch.float64)
    found = latent_information(Linear([1.0], [scale]), x, samples=3000, seed=1)
    information, divergence = by_quadrature(mean, scale)
    z = (found.mutual_information - information) / found.mc_error
    assert abs(z) < 4.56
    assert abs(found.marginal_divergence - divergence) < 4.56 * 2 * found.mc_error
    exact_rate = 0.5 * (scale**2 + mean**2 - 1) - math.log(scale)
    assert information + divergence == pytest.approx(exact_rate, abs=1e-8)
    assert found.rate == pytest.approx(exact_rate, abs=0.1)
    assert abs(found.leave_one_out - information) > 15 * found.mc_error  # the control: another quantity


def test_each_unit_alone_is_what_it_is_in_a_model_of_its_own():
    x = torch.tensor([[1.0, 0.3], [-1.0, -0.3]], dtype=torch.float64)
    found = latent_information(Linear([1.0, 1.0], [0.5, 0.8]), x, samples=2000)
    exact = [by_quadrature(1.0, 0.5), by_quadrature(0.3, 0.8)]
    assert_close(torch.tensor(found.unit_information), torch.tensor([e[0] for e in exact]), atol=0.05, rtol=0)
    assert_close(torch.tensor(found.unit_divergence), torch.tensor([e[1] for e in exact]), atol=0.05, rtol=0)
    assert sum(found.unit_information) > found.mutual_information + 0.05  # the units tell the same thing twice


def test_a_posterior_without_units_is_measured_as_a_whole():
    x = torch.randn(40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    arguments = [1.0, 0.5, 0.0], [0.5, 0.7, 1.0]
    whole, units = (latent_information(kind(*arguments), x, samples=50) for kind in (Joint, Linear))
    assert whole.unit_information == ()
    assert whole.mutual_information == pytest.approx(units.mutual_information, abs=6 * units.mc_error)
    assert len(units.unit_information) == 3


@pytest.mark.parametrize("batch_size", [1, 7, 50, 100])
def test_minibatches_make_no_difference(batch_size):
    x = torch.randn(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found, once = (latent_information(Still([1.0, 2.0], [0.3, 0.6]), x, batch_size=b) for b in (batch_size, 1000))
    assert found.mutual_information == pytest.approx(once.mutual_information, abs=1e-12)
    assert found.leave_one_out == pytest.approx(once.leave_one_out, abs=1e-12)
    assert found.unit_divergence == pytest.approx(once.unit_divergence, abs=1e-12)
    assert math.isnan(latent_information(Linear([1.0, 2.0], [0.3, 0.6]), x, samples=1).mc_error)


def test_a_collapsed_posterior_knows_nothing():
    x = torch.randn(64, 2, dtype=torch.float64)
    found = latent_information(Linear([0.0, 0.0], [0.5, 0.5]), x)
    assert found.mutual_information == pytest.approx(0, abs=1e-12)
    assert found.unit_information == pytest.approx((0, 0), abs=1e-12)
    exact = 2 * (0.5 * (0.25 - 1) - math.log(0.5))
    assert found.marginal_divergence == pytest.approx(exact, abs=0.2)
    assert found.leave_one_out == pytest.approx(0, abs=1e-12)


def test_posteriors_that_do_not_overlap_know_which_datum_and_no_more():
    x = torch.arange(30, dtype=torch.float64)[:, None] * 100
    found = latent_information(Linear([1.0], [0.1]), x)
    assert found.mutual_information == pytest.approx(math.log(30), abs=1e-12)
    assert found.ceiling == math.log(30)
    assert found.leave_one_out > 1e4
    assert found.upper == found.leave_one_out < found.rate
    assert LatentInformation(0.02, -0.01, 0.03, data=50).upper == 0.02


def linear_gaussian(n, seed):
    """Codes of a standard Gaussian population: the information is half a log-determinant."""
    gain, scale = np.array([1.0, 0.6]), np.array([0.4, 0.8])
    exact = 0.5 * np.log1p(gain**2 / scale**2)
    x = torch.randn(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return latent_information(Linear(gain, scale), x, samples=2, seed=1000 + seed), exact


def test_the_population_lies_between_the_bounds_and_each_unit_close_to_both():
    found = [linear_gaussian(200, seed) for seed in range(20)]
    exact = found[0][1].sum()
    lower, upper = (np.array([getattr(each, name) for each, _ in found]) for name in ("mutual_information", "upper"))
    error = lower.std(ddof=1) / math.sqrt(len(found))
    assert lower.mean() < exact + 4.56 * error
    assert upper.mean() > exact - 4.56 * upper.std(ddof=1) / math.sqrt(len(found))
    assert exact - lower.mean() < 0.1
    units = np.array([each.unit_information for each, _ in found]).mean(0)
    assert np.abs(units - found[0][1]).max() < 0.03


def test_an_aggregate_without_the_posterior_itself_is_no_lower_bound():
    found = [linear_gaussian(30, seed) for seed in range(40)]
    twin = np.array([each.leave_one_out for each, _ in found])
    error = twin.std(ddof=1) / math.sqrt(len(found))
    assert twin.mean() > found[0][1].sum() + 4.56 * error


def test_more_data_tighten_the_lower_bound():
    lower = [np.mean([linear_gaussian(n, seed)[0].mutual_information for seed in range(10)]) for n in (5, 50, 500)]
    exact = linear_gaussian(2, 0)[1].sum()
    assert lower[0] < lower[1] < lower[2] < exact + 0.05
    assert lower[0] < math.log(5)


def test_the_reported_error_is_that_of_other_draws():
    x = torch.randn(60, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = [latent_information(Linear([1.0, 0.6], [0.4, 0.8]), x, samples=3, seed=seed) for seed in range(60)]
    spread = np.std([each.mutual_information for each in found], ddof=1)
    claimed = np.mean([each.mc_error for each in found])
    assert 0.7 < spread / claimed < 1.4  # 60 seeds: a ratio outside is five standard errors off


class Bits(nn.Module):
    def posterior(self, x):
        return Independent(Bernoulli(x), 1)

    def prior(self):
        return Independent(Bernoulli(torch.full((2,), 0.5)), 1)


def test_bits_are_measured_too():
    x = torch.tensor([[1.0, 0.5], [0.0, 0.5]]).clamp(1e-6, 1 - 1e-6)
    found = latent_information(Bits(), x, samples=200)
    assert found.mutual_information == pytest.approx(math.log(2), abs=1e-3)
    assert found.marginal_divergence == pytest.approx(0, abs=1e-3)


def test_the_draws_come_from_the_seed_and_the_model_stays_as_it_was():
    x, model = torch.randn(9, 2, dtype=torch.float64), Linear([1.0, 1.0], [0.5, 0.5])
    before = torch.get_rng_state()
    first, again, other = (latent_information(model, x, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    assert model.training
    assert torch.equal(torch.get_rng_state(), before)


def test_json_holds_everything():
    found = LatentInformation(1.0, 0.5, math.inf, math.nan, (0.5,), (0.25,), 7, 1)
    again = LatentInformation.from_json(found.to_json())
    assert again.leave_one_out == math.inf
    assert again.unit_information == (0.5,)
    with pytest.raises(ValueError, match="an information must be"):
        LatentInformation.from_json("{}")


def test_models_without_one_code_are_refused():
    class Two(Linear):
        def latents(self, x, samples=1):
            return [None, None]

    class Narrow(Linear):
        def prior(self):
            return StandardNormal(torch.zeros(1, dtype=torch.float64))

    x = torch.randn(4, 2, dtype=torch.float64)
    for model in (nn.Linear(2, 2), Two([1.0, 1.0], [1.0, 1.0]), Narrow([1.0, 1.0], [1.0, 1.0])):
        assert not has_one_code(model, x)
        with pytest.raises(ValueError, match="no posterior"):
            latent_information(model, x)
    with pytest.raises(ValueError, match="there is 1 datum"):
        latent_information(Linear([1.0, 1.0], [1.0, 1.0]), x[:1])
    with pytest.raises(ValueError, match="samples must be"):
        latent_information(Linear([1.0, 1.0], [1.0, 1.0]), x, samples=0)
