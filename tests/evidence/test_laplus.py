"""The Laplus approximations: exact on their own families, published values, boundaries, and their check by sampling."""

import math

import pytest
import torch
from scipy.integrate import quad
from torch.distributions import Exponential, Gamma, HalfCauchy, LogNormal, Normal, Poisson

from jensen._targets import Target
from jensen.evidence import laplus
from jensen.evidence._positive import BetaPrime, Line, beta_prime_on_line, gamma_on_line
from jensen.evidence.laplus import beta_prime_laplus, gamma_laplus, gamma_laplus_importance, lognormal_laplus

DOUBLE = torch.float64
METHODS = (gamma_laplus, beta_prime_laplus, lognormal_laplus)


def vector(*values):
    return torch.tensor(values, dtype=DOUBLE)


def nothing(theta):
    return 0 * theta.sum(-1)


def jukes_cantor(theta, differences=90):
    p = -0.75 * torch.expm1(-4 * theta / 3)
    return (differences * torch.log(p / 12) + (948 - differences) * torch.log((1 - p) / 4)).sum(-1)


def counts():
    y = vector(3, 1, 4, 1, 5)
    return Target(lambda rate: Poisson(rate).log_prob(y).sum(-1), Gamma(vector(2.0), vector(1.0)))


PAIR, PAIR_MODE, PAIR_EXACT = (
    Target(jukes_cantor, Exponential(vector(10.0))),
    vector(0.10033215750439467),
    -1712.8943621,
)


def test_gamma_is_exact_for_poisson_counts():
    found = gamma_laplus(counts(), vector(2.5))
    assert found.log_z == pytest.approx(-10.5261851662, abs=1e-9)
    assert found.kind == "approximation"
    assert math.isnan(found.std_error)
    assert found.diagnostics["on_boundary"] == 0
    assert found.diagnostics["effective_sample_share"] == pytest.approx(1, abs=1e-9)
    assert found.warnings == ("An approximation: no standard error tells how far it is from log Z.",)


def beta_prime(a, b):
    def log_density(x):
        return BetaPrime(a, b).log_prob(x).sum(-1)

    return Target.from_density(log_density, Gamma(torch.ones_like(a), torch.ones_like(a)))


FAMILIES = {
    "gamma": Target(nothing, Gamma(vector(3.0, 20.0, 1.5), vector(0.1, 3.0, 7.0))),
    "beta prime": beta_prime(vector(2.0, 5.0, 30.0), vector(3.0, 1.5, 40.0)),
    "lognormal": Target(nothing, LogNormal(vector(0.5, -3.0, 4.0), vector(0.3, 1.0, 0.1))),
}
MODES = {
    "gamma": vector(2 / 0.1, 19 / 3, 0.5 / 7),
    "beta prime": vector(1 / 4, 4 / 2.5, 29 / 41),
    "lognormal": vector(0.5 - 0.09, -4.0, 3.99).exp(),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", FAMILIES)
def test_each_is_exact_on_its_own_family_and_only_there(method, family):
    found = method(FAMILIES[family], MODES[family])
    own = method.__name__ == f"{family.replace(' ', '_')}_laplus"
    assert (abs(found.log_z) < 1e-9) == own
    if own:
        assert found.diagnostics["effective_sample_share"] == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize(
    ("method", "published"),
    [(gamma_laplus, -1712.894787), (lognormal_laplus, -1712.889986), (beta_prime_laplus, -1712.893815)],
)
def test_a_pair_of_sequences(method, published):
    assert method(PAIR, PAIR_MODE).log_z == pytest.approx(published, abs=6e-7)


def test_a_mode_with_the_jacobian_is_caught():
    """The mode of the logarithm of the branch length is another point, and the approximation is worse there."""
    wrong = gamma_laplus(PAIR, vector(math.exp(-2.287808928186996)))
    assert abs(wrong.log_z - PAIR_EXACT) > 3 * abs(gamma_laplus(PAIR, PAIR_MODE).log_z - PAIR_EXACT)
    assert wrong.diagnostics["newton_decrement"] > 0.05


def test_parameters_by_name():
    priors = {"a": Gamma(vector(2.0, 3.0), vector(1.0, 4.0)), "b": Gamma(vector(4.0)[0], vector(2.0)[0])}
    target = Target(lambda a, b: 0 * b, priors)
    assert gamma_laplus(target, vector(1.0, 0.5, 1.5)).log_z == pytest.approx(0, abs=1e-10)


def no_differences():
    target = Target(lambda theta: jukes_cantor(theta, differences=0), Exponential(vector(10.0)))

    def density(t):
        return 10 * math.exp(948 * math.log((1 + 3 * math.exp(-4 * t / 3)) / 4) - 10 * t)

    return target, math.log(quad(density, 0, 0.1, epsabs=0, epsrel=1e-12)[0]) - 948 * math.log(4)


@pytest.mark.parametrize("method", METHODS)
def test_equal_sequences_have_their_mode_at_the_boundary(method):
    target, exact = no_differences()
    found = method(target, vector(4e-14))
    assert found.diagnostics["on_boundary"] == 1
    assert found.log_z == pytest.approx(exact, abs=3e-4)
    assert len(found.warnings) == 1


@pytest.mark.parametrize("place", [1e-44, 1e-9])
def test_gammas_with_a_pole_and_exponentials_are_exact_too(place):
    prior = Gamma(vector(0.5, 3.0, 1.0), vector(2.0, 1.0, 0.1))
    found = gamma_laplus(Target(nothing, prior), vector(place, 2.0, 1e-9))
    assert found.diagnostics["on_boundary"] == 2
    assert found.log_z == pytest.approx(0, abs=1e-9)
    pole = beta_prime(vector(0.7, 1.0), vector(3.0, 1.5))
    assert beta_prime_laplus(pole, vector(place, 1e-9)).log_z == pytest.approx(0, abs=1e-9)


def test_a_rate_taken_for_the_slope_at_a_pole_is_caught():
    """What the authors' program does where the mode is below 1e-6: an exponential with rate |f'|."""
    place = 1e-9
    rate = 0.5 / place + 2.0
    log_density = float(Gamma(vector(0.5), vector(2.0)).log_prob(vector(place)))
    assert abs(log_density - math.log(rate) + rate * place) > 1


def test_a_negative_power_of_the_tail_is_fitted_anew():
    """A half-Gaussian pushed inward: the curvature asks for b < 0."""
    target = Target(lambda x: -((x - 0.3) ** 2).sum(-1) / 200, Exponential(vector(1e-3)))
    found = beta_prime_laplus(target, vector(0.2))
    assert math.isfinite(found.log_z)


def test_tails_that_are_not_covered_are_warned_of():
    found = gamma_laplus(Target(nothing, HalfCauchy(vector(2.0))), vector(1e-9))
    assert "do not cover" in found.warnings[0]
    assert found.diagnostics["effective_sample_share"] < 0.9
    far = gamma_laplus(FAMILIES["gamma"], MODES["gamma"] * vector(1.2, 1.0, 1.0))
    assert "from the mode" in far.warnings[0]


def test_importance_sampling_corrects_the_gammas():
    found = gamma_laplus_importance(PAIR, PAIR_MODE, samples=4000, seed=1)
    assert found.kind == "estimate"
    assert found.method == "gamma_laplus_importance"
    assert abs(found.log_z - PAIR_EXACT) < 4.56 * found.std_error < 1e-3
    assert found.diagnostics["gamma_laplus"] == gamma_laplus(PAIR, PAIR_MODE).log_z
    assert found.diagnostics["pareto_k"] < 0.7
    again = gamma_laplus_importance(PAIR, PAIR_MODE, samples=4000, seed=1)
    assert again.log_z == found.log_z


def test_the_error_of_importance_sampling_covers_the_exact_value():
    """60 seeds on a lognormal posterior; a count within 2 errors of at least 50 has a chance below 1e-3 to fail."""
    target, mode = Target(nothing, LogNormal(vector(-1.0), vector(0.25))), vector(-1.0625).exp()
    found = [gamma_laplus_importance(target, mode, samples=1000, seed=seed) for seed in range(60)]
    assert sum(abs(each.log_z) < 2 * each.std_error for each in found) >= 50
    halved = sum(abs(each.log_z) < 0.5 * each.std_error for each in found)
    assert halved < 40


def test_sampling_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    gamma_laplus_importance(counts(), vector(2.5), samples=50)
    gamma_laplus(counts(), vector(2.5))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("method", [*METHODS, gamma_laplus_importance])
def test_targets_that_are_not_positive_are_refused(method):
    with pytest.raises(ValueError, match="for positive parameters; theta of this target"):
        method(Target(nothing, Normal(vector(0.0), 1.0)), vector(1.0))


@pytest.mark.parametrize("mode", [vector(1.0, 2.0), vector(0.0), vector(-1.0), vector(math.nan), vector(math.inf)])
def test_bad_modes(mode):
    with pytest.raises(ValueError, match=r"mode must be \(d,\) = \(1,\) positive numbers"):
        gamma_laplus(counts(), mode)


def test_bad_samples_and_a_density_that_is_not_finite():
    with pytest.raises(ValueError, match="at least two samples"):
        gamma_laplus_importance(counts(), vector(2.5), samples=1)
    with pytest.raises(ValueError, match="log-density is"):
        gamma_laplus(Target(lambda x: torch.log(x - 1).sum(-1), Gamma(vector(5.0), vector(1.0))), vector(0.5))


def test_lines_of_other_shapes_fall_back():
    x = torch.logspace(-1, 1, 10, dtype=DOUBLE)
    rising = Line(x, x**2)
    exponential = gamma_on_line(rising)
    assert float(exponential.concentration) == 1
    assert isinstance(beta_prime_on_line(rising), Gamma)
    assert laplus.CHECKS == 1000
