"""The truncated harmonic mean: by hand, unbiased for 1/Z, covering on independent and on autocorrelated draws."""

import math

import pytest
import torch
from torch.testing import assert_close

from jensen._targets import Draws
from jensen.evidence.thames import thames

DOUBLE = torch.float64
LOG_Z = -3.7


def draws_of(points, log_density):
    return Draws(points, log_density - 1.0, torch.ones_like(log_density))


def normal_density(points):
    d = points.shape[-1]
    return LOG_Z - points.square().sum(-1) / 2 - d / 2 * math.log(2 * math.pi)


def autocorrelated(shape, *, rho, seed):
    """Stationary Gaussian draws `(S, ...)`, each `rho` of the one before."""
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)
    for s in range(1, shape[0]):
        noise[s] = rho * noise[s - 1] + math.sqrt(1 - rho**2) * noise[s]
    return noise


def many(replications, *, rho=0.0, d=2, seed=0, draws=600, chains=2):
    """Results of so many runs on a Gaussian target."""
    points = autocorrelated((draws, replications, chains, d), rho=rho, seed=seed)
    return [thames(draws_of(x, normal_density(x))) for x in points.unbind(1)]


def by_hand(points, log_density, radius):
    """One chain, the formula as it is printed."""
    half = len(points) // 2
    first, second = points[:half].numpy(), points[half:].numpy()
    mean = first.mean(0)
    away = first - mean
    covariance = away.T @ away / (half - 1)
    inverse = torch.linalg.inv(torch.tensor(covariance)).numpy()
    d = points.shape[1]
    volume = math.pi ** (d / 2) * radius**d * math.sqrt(torch.linalg.det(torch.tensor(covariance)).item())
    volume /= math.gamma(d / 2 + 1)
    terms = [
        math.exp(-density) if (x - mean) @ inverse @ (x - mean) <= radius**2 else 0.0
        for x, density in zip(second, log_density[half:].tolist(), strict=True)
    ]
    return math.log(volume) - math.log(sum(terms) / len(terms))


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("radius", [None, 1.3])
def test_the_formula(d, radius):
    points = autocorrelated((301, d), rho=0.0, seed=d)
    log_density = normal_density(points)
    found = thames(draws_of(points[:, None], log_density[:, None]), radius=radius)
    assert found.log_z == pytest.approx(by_hand(points, log_density, radius or math.sqrt(d + 1)), abs=1e-12)


def test_a_stretched_and_turned_space_has_the_same_evidence():
    points = autocorrelated((500, 2, 3), rho=0.5, seed=0)
    map_ = torch.tensor([[2.0, 0.0, 1.0], [0.3, -0.1, 0.0], [0.0, 5.0, 1.0]], dtype=DOUBLE)
    there = points @ map_.T + 7.0
    moved = thames(draws_of(there, normal_density(points) - torch.linalg.det(map_).abs().log()))
    found = thames(draws_of(points, normal_density(points)))
    assert moved.log_z == pytest.approx(found.log_z, abs=1e-9)
    assert moved.std_error == pytest.approx(found.std_error, rel=1e-9)


@pytest.mark.parametrize("level", [-1e5, 900.0])
def test_a_factor_of_the_density_is_one_of_the_evidence(level):
    points = autocorrelated((500, 2, 3), rho=0.0, seed=0)
    lifted = thames(draws_of(points, normal_density(points) + level))
    found = thames(draws_of(points, normal_density(points)))
    assert lifted.log_z - level == pytest.approx(found.log_z, abs=1e-9)
    assert lifted.std_error == pytest.approx(found.std_error, rel=1e-9)


def score_of(inverse):
    return float((inverse.mean() - 1) / inverse.std() * math.sqrt(len(inverse)))


def test_unbiased_on_the_scale_of_the_inverse():
    found = many(400)
    inverse = torch.tensor([LOG_Z - each.log_z for each in found], dtype=DOUBLE).exp()
    assert abs(score_of(inverse)) < 4.56
    of_inside_only = inverse / torch.tensor([each.diagnostics["inside"] for each in found])
    assert score_of(of_inside_only) > 20


@pytest.mark.parametrize(("rho", "draws"), [(0.0, 600), (0.9, 1000)])
def test_the_interval_covers(rho, draws):
    """Of 200 intervals of 95%, 176 or more do, at 4.56 deviations; without autocorrelation in the error far fewer."""
    found = many(200, rho=rho, draws=draws, chains=4)
    scores = torch.tensor([(each.log_z - LOG_Z) / each.std_error for each in found])
    assert int((scores.abs() < 1.96).sum()) >= 176
    assert 0.8 < float(scores.std()) < 1.25
    effective = torch.tensor([each.diagnostics["effective_sample_size"] for each in found])
    as_if_independent = scores * ((draws * 2) / effective).sqrt()
    assert (int((as_if_independent.abs() < 1.96).sum()) < 160) is (rho > 0)


def test_the_error_is_that_of_the_mean_matched_to_a_lognormal():
    found = many(1)[0]
    points = autocorrelated((600, 1, 2, 2), rho=0.0, seed=0)[:, 0]
    centre, factor = points[:300].flatten(0, 1).mean(0), torch.linalg.cholesky(points[:300].flatten(0, 1).T.cov())
    x = torch.linalg.solve_triangular(factor, (points[300:].flatten(0, 1) - centre).T, upper=False).T
    terms = torch.where(x.square().sum(-1) <= 3, (-normal_density(points[300:].flatten(0, 1))).exp(), 0.0)
    relative = terms.std() / terms.mean() / math.sqrt(found.diagnostics["effective_sample_size"])
    assert found.std_error == pytest.approx(math.sqrt(math.log1p(relative**2)), rel=2e-3)


def test_diagnostics_of_a_gaussian():
    found = many(1, d=2, draws=20_000)[0]
    assert found.warnings == ()
    assert found.method == "thames"
    assert found.diagnostics["inside"] == pytest.approx(1 - math.exp(-1.5), abs=0.02)
    assert found.diagnostics["peak"] == pytest.approx(1.0, abs=0.05)
    assert found.diagnostics["radius"] == math.sqrt(3)


def two_modes(distance, d):
    draws = torch.Generator().manual_seed(0)
    side = 2 * torch.randint(0, 2, (4000, 1, 1), generator=draws) - 1
    points = torch.randn(4000, 1, d, generator=draws, dtype=DOUBLE) + distance * side
    away = torch.stack([(points - sign * distance).square().sum(-1) for sign in (-1, 1)])
    log_density = torch.logsumexp(-away / 2, 0) - math.log(2) - d / 2 * math.log(2 * math.pi)
    return draws_of(points, log_density)


@pytest.mark.parametrize(
    ("distance", "d"), [(3.0, 2), (3.0, 5), (3.0, 10), *((far, d) for far in (5.0, 8.0) for d in (1, 2, 10))]
)
def test_two_modes_are_warned_of(distance, d):
    found = thames(two_modes(distance, d))
    assert "several modes" in found.warnings[0]


def test_two_modes_are_a_failure_indeed():
    found = thames(two_modes(8.0, 10))
    assert abs(found.log_z) > 4 * found.std_error


def test_heavy_tails_outside_of_the_ellipsoid_do_no_harm():
    draws = torch.Generator().manual_seed(0)
    normal = torch.randn(4000, 2, 3, generator=draws, dtype=DOUBLE)
    points = normal / (torch.randn(4000, 2, 5, generator=draws, dtype=DOUBLE).square().mean(-1, keepdim=True)).sqrt()
    constant = math.lgamma(4.0) - math.lgamma(2.5) - 1.5 * math.log(5 * math.pi)
    found = thames(draws_of(points, constant - 4 * (points.square().sum(-1) / 5).log1p()))
    assert found.warnings == ()
    assert abs(found.log_z) < 4.56 * found.std_error


def test_too_few_draws_are_warned_of():
    found = many(1, d=2, draws=30, chains=1)[0]
    assert any("give 10 d or more" in warning for warning in found.warnings)
    assert any("independent draws" in warning for warning in found.warnings)


def test_what_is_no_density_is_counted_and_left_out():
    points = autocorrelated((2000, 2, 2), rho=0.0, seed=0)
    log_density = normal_density(points)
    log_density[::10, 0] = math.nan
    log_density[5::10, 1] = -math.inf
    points[7, 0] = math.nan
    log_density[7, 0] = math.nan
    found = thames(draws_of(points, log_density))
    assert (found.diagnostics["nan"], found.diagnostics["minus_inf"]) == (201, 200)
    assert abs(found.log_z - LOG_Z) < 4.56 * found.std_error
    assert "401 of 4000 log-densities are NaN or -inf" in found.warnings[-1]


FLAT = torch.zeros(10, 1, dtype=DOUBLE)


@pytest.mark.parametrize(
    ("points", "log_density", "message"),
    [
        (torch.randn(10, 1, 6), FLAT, "5 draws of finite density in the first half do not span 6 dimensions"),
        (torch.randn(1, 40, 2), torch.zeros(1, 40), "two draws at least in each chain"),
        (torch.randn(10, 2), FLAT, r"got \(10, 2\) and \(10, 1\)"),
        (torch.randn(9, 1, 2), FLAT, r"got \(9, 1, 2\) and \(10, 1\)"),
        (torch.ones(10, 1, 2), FLAT, "singular"),
        (torch.randn(10, 1, 2), FLAT - math.inf, "0 draws of finite density"),
        (torch.randn(10, 1, 2), FLAT + math.inf, r"\+inf at 10 of 10"),
        (torch.randn(10, 1, 1) + 1e6 * (torch.arange(10) > 4)[:, None, None], FLAT, "halves do not agree"),
    ],
)
def test_bad_input_is_refused(points, log_density, message):
    with pytest.raises(ValueError, match=message):
        thames(Draws(points, log_density, torch.zeros_like(log_density)))


@pytest.mark.parametrize("radius", [0.0, -1.0, math.inf, math.nan])
def test_a_radius_is_positive(radius):
    points = autocorrelated((100, 1, 2), rho=0.0, seed=0)
    with pytest.raises(ValueError, match="radius"):
        thames(draws_of(points, normal_density(points)), radius=radius)


def test_single_precision_is_taken():
    points = autocorrelated((500, 2, 2), rho=0.0, seed=0)
    found = thames(draws_of(points.float(), normal_density(points).float()))
    assert_close(found.log_z, thames(draws_of(points, normal_density(points))).log_z, rtol=0, atol=1e-4)


def test_arrays_count_as_tensors_and_what_is_no_draws_is_refused():
    points = torch.randn(200, 2, 2, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    draws = Draws(points, normal_density(points), torch.zeros(200, 2, dtype=DOUBLE))
    assert thames(Draws(*(each.numpy() for each in draws))).log_z == thames(draws).log_z
    for bad in ([1.0, 2.0], points):
        with pytest.raises(ValueError, match=r"draws must be Draws\(points \(S, C, d\)"):
            thames(bad)
