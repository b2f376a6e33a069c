"""Laplace's approximation of the evidence against conjugate models, Beta integrals and quadrature."""

import math

import pytest
import torch
from torch.distributions import Exponential, Gamma, Normal, Poisson, Uniform

from jensen._targets import Target
from jensen.asymptotics.posterior import laplace_log_integral
from jensen.evidence.laplace import laplace

DOUBLE = torch.float64


def vector(*values):
    return torch.tensor(values, dtype=DOUBLE)


def newton(function, start, steps=60):
    """The zero of the derivative, by hand: these tests do not lean on the samplers."""
    x = torch.as_tensor(start, dtype=DOUBLE)
    for _ in range(steps):
        gradient = torch.autograd.functional.jacobian(lambda u: function(u[None])[0], x)
        H = torch.autograd.functional.hessian(lambda u: function(u[None])[0], x)
        x = x - torch.linalg.solve(H, gradient)
    return x


def test_a_conjugate_gaussian_is_exact():
    y = vector(0.5, 1.5, 2.0, -0.3)
    target = Target(lambda mu: Normal(mu, 1.0).log_prob(y).sum(-1), Normal(vector(0.0), 10.0))
    for order in (1, 2):
        found = laplace(target, y.sum()[None] / 4.01, order=order)
        assert found.log_z == pytest.approx(-8.2607523023, abs=1e-9)
    assert found.kind == "approximation"
    assert found.method == "laplace"
    assert math.isnan(found.std_error)
    assert found.diagnostics["second_order_correction"] == pytest.approx(0, abs=1e-12)
    assert found.diagnostics["newton_decrement"] < 1e-10
    assert found.diagnostics["condition"] == 1
    assert found.warnings == ("An approximation: no standard error tells how far it is from log Z.",)


def test_a_constant_likelihood_with_a_gaussian_prior_gives_zero():
    prior = Normal(torch.zeros(40, dtype=DOUBLE), torch.linspace(0.1, 9, 40, dtype=DOUBLE))
    found = laplace(Target(lambda x: 0 * x.sum(-1), prior), torch.zeros(40, dtype=DOUBLE))
    assert found.log_z == pytest.approx(0, abs=1e-11)
    assert "second_order_correction" not in found.diagnostics


def test_poisson_gamma_is_stirlings_error():
    y = vector(3, 1, 4, 1, 5)
    target = Target(lambda rate: Poisson(rate).log_prob(y).sum(-1), Gamma(vector(2.0), vector(1.0)))
    mode = vector(16 / 6).log()
    exact = -10.5261851662
    first, second = (laplace(target, mode, order=order) for order in (1, 2))
    assert first.diagnostics["second_order_correction"] == pytest.approx(1 / (12 * 16), rel=1e-9)
    assert exact - first.log_z == pytest.approx(1 / (12 * 16), rel=1e-3)
    assert abs(exact - second.log_z) < 1e-6


def linkage(theta):
    return (125 * torch.log(2 + theta) + 38 * torch.log1p(-theta) + 34 * torch.log(theta)).sum(-1)


def test_linkage_in_both_coordinates():
    """The published error, .00617, is that of the flat-prior density of the recombination parameter itself."""
    exact = 65.3300670712
    own = laplace_log_integral(linkage, vector((15 + math.sqrt(53809)) / 394), order=2)
    assert own.leading == pytest.approx(65.336233, abs=5e-7)
    target = Target(linkage, Uniform(vector(0.0), vector(1.0)))
    real = laplace(target, newton(target.log_joint, [0.5]), order=2)
    for value, leading in ((own.log_value, own.leading), (real.log_z, 65.33)):
        assert abs(value - exact) < 0.1 * abs(own.leading - exact)
        assert abs(leading - exact) < 0.01


def jukes_cantor(theta):
    p = -0.75 * torch.expm1(-4 * theta / 3)
    return (90 * torch.log(p / 12) + 858 * torch.log((1 - p) / 4)).sum(-1)


def test_a_pair_of_sequences_in_both_coordinates():
    """The published value, -1712.895747, is that of the branch length; its logarithm does slightly better."""
    target = Target(jukes_cantor, Exponential(vector(10.0)))
    own = laplace_log_integral(
        lambda t: jukes_cantor(t) + Exponential(10.0).log_prob(t).sum(-1), vector(0.10033215750439467)
    )
    assert own.leading == pytest.approx(-1712.895747, abs=5e-7)
    mode = newton(target.log_joint, [-2.29])
    assert laplace(target, mode).log_z == pytest.approx(-1712.895299, abs=5e-7)
    assert laplace(target, mode, order=2).log_z == pytest.approx(-1712.8943621, abs=5e-7)


def test_a_log_jacobian_left_out_is_caught():
    target = Target(jukes_cantor, Exponential(vector(10.0)))

    def without(u):
        return target.log_joint(u) - target.log_jacobian(u)

    wrong = laplace_log_integral(without, newton(without, [-2.29]))
    assert abs(wrong.leading + 1712.8943621) > 1


def test_a_place_that_is_no_mode_is_warned_of():
    y = vector(0.5, 1.5, 2.0, -0.3)
    target = Target(lambda mu: Normal(mu, 1.0).log_prob(y).sum(-1), Normal(vector(0.0), 10.0))
    found = laplace(target, vector(2.0))
    assert found.diagnostics["newton_decrement"] == pytest.approx((2 - 3.7 / 4.01) * math.sqrt(4.01), rel=1e-9)
    assert "from the mode" in found.warnings[0]


def test_a_posterior_far_from_gaussian_is_warned_of():
    found = laplace(Target(lambda x: 0 * x.sum(-1), Gamma(vector(0.5), vector(1.0))), vector(0.5).log())
    assert found.diagnostics["second_order_correction"] == pytest.approx(1 / 6)
    assert "far from Gaussian" in found.warnings[0]


@pytest.mark.parametrize(
    ("mode", "options", "message"),
    [
        (torch.zeros(3), {}, r"mode has shape \(3,\); expected \(d,\) = \(1,\)"),
        (vector(0.0), {"order": 0}, "order must be"),
        (vector(-2.0), {}, "not negative definite"),
        (vector(math.nan), {}, "not finite"),
    ],
)
def test_bad_input(mode, options, message):
    def two_hills(x):
        return torch.logaddexp(-((x[:, 0] - 3) ** 2), -((x[:, 0] + 7) ** 2))

    target = Target.from_density(two_hills, Normal(vector(0.0), 10.0))
    with pytest.raises(ValueError, match=message):
        laplace(target, mode, **options)
