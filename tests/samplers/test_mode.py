"""Modes known in closed form, in both kinds of coordinates, and what is said where there is none."""

import math

import pytest
import torch
from torch.distributions import Dirichlet, Exponential, Gamma, Multinomial, Normal, Poisson, Uniform
from torch.testing import assert_close

from jensen._targets import Target
from jensen.samplers.mode import find_mode

DOUBLE = torch.float64


def vector(*values):
    return torch.tensor(values, dtype=DOUBLE)


def nothing(theta):
    return 0 * theta.sum(-1)


def linkage(theta):
    return (125 * torch.log(2 + theta) + 38 * torch.log1p(-theta) + 34 * torch.log(theta)).sum(-1)


def jukes_cantor(theta, sites=948, differences=90):
    p = -0.75 * torch.expm1(-4 * theta / 3)
    return (differences * torch.log(p / 12) + (sites - differences) * torch.log((1 - p) / 4)).sum(-1)


def test_poisson_gamma_in_both_coordinates():
    y = vector(3, 1, 4, 1, 5)
    target = Target(lambda rate: Poisson(rate).log_prob(y).sum(-1), Gamma(vector(2.0), vector(1.0)))
    own, real = find_mode(target, space="own"), find_mode(target)
    assert_close(own.point, vector(15 / 6), rtol=1e-9, atol=0)
    assert_close(real.point.exp(), vector(16 / 6), rtol=1e-9, atol=0)
    assert_close(own.hessian, vector(-15 / 2.5**2)[None], rtol=1e-8, atol=0)
    assert_close(real.hessian, vector(-16.0)[None], rtol=1e-8, atol=0)
    exact = -10.5261851662 + float(Gamma(vector(16.0), vector(6.0)).log_prob(vector(2.5)))
    assert own.log_density == pytest.approx(exact, abs=1e-9)
    assert own.gradient_norm < 1e-8
    assert own.is_interior
    assert own.is_negative_definite
    assert own.warnings == ()


@pytest.mark.parametrize(
    ("likelihood", "prior", "mode", "log_density"),
    [
        (linkage, Uniform(vector(0.0), vector(1.0)), (15 + math.sqrt(53809)) / 394, 67.384102),
        (jukes_cantor, Exponential(vector(10.0)), 0.10033216, -1709.2836),
    ],
)
def test_modes_of_the_literature(likelihood, prior, mode, log_density):
    found = find_mode(Target(likelihood, prior), space="own")
    assert float(found.point) == pytest.approx(mode, abs=1e-8)
    assert found.log_density == pytest.approx(log_density, abs=5e-5)


def test_a_gaussian_of_bad_scale_is_found_with_its_hessian():
    torch.manual_seed(0)
    scale = torch.logspace(-2, 2, 6, dtype=DOUBLE)
    factor = torch.linalg.qr(torch.randn(6, 6, dtype=DOUBLE))[0] * scale
    precision = torch.linalg.inv(factor @ factor.mT)
    centre = 100 * torch.randn(6, dtype=DOUBLE)

    def log_density(x):
        z = x - centre
        return -(z @ precision * z).sum(-1) / 2

    mode = find_mode(Target.from_density(log_density, Normal(torch.zeros(6, dtype=DOUBLE), 1e4)))
    assert_close(-mode.hessian, precision, rtol=1e-8, atol=1e-6)
    assert_close(mode.point, centre, rtol=0, atol=1e-5)
    assert mode.is_interior


def test_the_higher_of_two_modes_is_kept_and_a_start_decides_otherwise():
    def log_density(x):
        return torch.logaddexp(math.log(0.4) - (x[:, 0] + 5) ** 2 / 2, math.log(0.6) - (x[:, 0] - 5) ** 2 / 2)

    target = Target.from_density(log_density, Normal(vector(0.0), 5.0))
    assert float(find_mode(target).point) == pytest.approx(5, abs=1e-6)
    assert float(find_mode(target, start=vector(-4.0)).point) == pytest.approx(-5, abs=1e-6)
    assert float(find_mode(target, start=vector(-4.0, 3.0)[:, None]).point) == pytest.approx(5, abs=1e-6)


def test_a_curved_valley():
    def log_density(z):
        return -((1 - z[:, 0]) ** 2 + 100 * (z[:, 1] - z[:, 0] ** 2) ** 2)

    mode = find_mode(Target.from_density(log_density, Normal(torch.zeros(2, dtype=DOUBLE), 5.0)))
    assert_close(mode.point, torch.ones(2, dtype=DOUBLE), rtol=0, atol=1e-8)
    assert_close(mode.hessian, vector(-802, 400, 400, -200).reshape(2, 2), rtol=1e-7, atol=0)


def test_parameters_by_name_follow_their_order():
    priors = {"rate": Gamma(vector(2.0, 3.0), vector(1.0, 4.0)), "place": Normal(torch.tensor(7.0, dtype=DOUBLE), 2.0)}
    target = Target(lambda rate, place: nothing(rate) + 0 * place, priors)
    assert_close(find_mode(target, space="own").point, vector(1.0, 0.5, 7.0), rtol=1e-8, atol=0)
    assert_close(find_mode(target).point, vector(math.log(2), math.log(0.75), 7.0), rtol=0, atol=1e-8)


def test_a_maximum_on_the_boundary_is_said_to_be_there():
    def no_differences(theta):
        return jukes_cantor(theta, differences=0)

    target = Target(no_differences, Exponential(vector(10.0)))
    own, real = find_mode(target, space="own"), find_mode(target)
    assert float(own.point) < 1e-6
    assert not own.is_interior
    assert "boundary" in own.warnings[0]
    assert own.gradient_norm == pytest.approx(958, rel=1e-6)
    assert real.is_interior
    assert real.warnings == ()


def test_a_pole_at_zero_does_not_keep_other_parameters_from_their_modes():
    mode = find_mode(Target(nothing, Gamma(vector(0.5, 3.0), vector(2.0, 1.0))), space="own")
    assert not mode.is_interior
    assert not mode.is_negative_definite
    assert float(mode.point[0]) < 1e-30
    assert float(mode.point[1]) == pytest.approx(2.0, abs=1e-6)


def test_a_flat_direction_is_flagged():
    def log_density(x):
        return -((x[:, 0] - x[:, 1]) ** 2)

    mode = find_mode(Target.from_density(log_density, Normal(torch.zeros(2, dtype=DOUBLE), 1.0)))
    assert not mode.is_negative_definite
    assert "not negative definite" in " ".join(mode.warnings)


def test_places_where_the_density_is_nan_are_avoided():
    mode = find_mode(Target(lambda z: 3 * torch.log(z[:, 0]) - z[:, 0] ** 2, Normal(torch.zeros(2, dtype=DOUBLE), 1.0)))
    assert_close(mode.point, vector(1.0, 0.0), rtol=0, atol=1e-8)


def test_a_simplex_has_a_mode_in_real_coordinates_only():
    target = Target(lambda p: Multinomial(10, p).log_prob(vector(3, 4, 3)), Dirichlet(torch.ones(3, dtype=DOUBLE)))
    assert_close(target.constrain(find_mode(target).point), vector(4, 5, 4) / 13, rtol=0, atol=1e-8)
    with pytest.raises(ValueError, match="each coordinate is mapped alone"):
        find_mode(target, space="own")


def test_the_global_generator_is_left_alone_and_a_seed_repeats():
    target = Target(nothing, Normal(torch.zeros(3, dtype=DOUBLE), 1.0))
    before = torch.random.get_rng_state()
    first, second = find_mode(target, seed=3), find_mode(target, seed=3)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(first.point, second.point)
    assert first.evaluations == second.evaluations > 0


def test_evaluations_are_all_counted():
    calls = []

    def counted(x):
        calls.append(len(x))
        return -(x**4).sum(-1)

    target = Target(counted, Normal(torch.zeros(2, dtype=DOUBLE), 1.0))
    calls.clear()
    assert find_mode(target).evaluations == sum(calls)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"space": "log"}, "space must be"),
        ({"starts": 0}, "starts must be"),
        ({"start": torch.zeros(5)}, r"start has shape \(5,\)"),
        ({"start": vector(math.nan, 0.0)}, "not finite at start"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        find_mode(Target(nothing, Normal(torch.zeros(2, dtype=DOUBLE), 1.0)), **options)


def test_a_density_that_is_nowhere_finite():
    with pytest.raises(ValueError, match="not finite at any of 257 points"):
        find_mode(Target(lambda x: x.sum(-1) * math.nan, Normal(torch.zeros(2, dtype=DOUBLE), 1.0)))


def test_a_function_that_cannot_be_differentiated_twice():
    def cubic_distance(x):
        return -torch.cdist(x[:, None], torch.ones(len(x), 1, 2, dtype=DOUBLE), p=3.0).flatten()

    target = Target(cubic_distance, Normal(torch.zeros(2, dtype=DOUBLE), 1.0))
    with pytest.raises(ValueError, match="cannot differentiate the log-density twice"):
        find_mode(target)
