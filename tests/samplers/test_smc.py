"""Sequential Monte Carlo: its parts, and a linear regression whose evidence is known."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from jensen._targets import Target
from jensen.evidence.smc import smc
from jensen.samplers import smc as module
from jensen.samplers.annealing import fit_reference
from jensen.samplers.smc import next_step, sequential_monte_carlo, systematic_resampling

DOUBLE = torch.float64


def regression(d=5, n=20):
    """y = X theta + noise, theta ~ N(0, 4 I), noise of variance 1; the evidence is a normal density."""
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(n, d, generator=generator, dtype=DOUBLE)
    y = X @ torch.arange(1.0, d + 1, dtype=DOUBLE) / 2 + torch.randn(n, generator=generator, dtype=DOUBLE)
    exact = MultivariateNormal(torch.zeros(n, dtype=DOUBLE), torch.eye(n, dtype=DOUBLE) + 4 * X @ X.T).log_prob(y)
    precision = X.T @ X + torch.eye(d, dtype=DOUBLE) / 4
    mean = torch.linalg.solve(precision, X.T @ y)
    target = Target(
        lambda theta: Normal(theta @ X.T, 1.0).log_prob(y).sum(-1),
        Normal(torch.zeros(d, dtype=DOUBLE), 2.0),
        exact=float(exact),
    )
    return target, mean, torch.linalg.inv(precision)


def evidence(run):
    return smc(run.log_increments, ancestors=run.ancestors, betas=run.betas, acceptance=run.acceptance)


@pytest.fixture(scope="module")
def run():
    return sequential_monte_carlo(regression()[0], particles=400, runs=10, seed=1)


def test_the_evidence_of_a_regression(run):
    found = evidence(run)
    exact = regression()[0].exact
    assert found.std_error < 0.15
    assert abs(found.log_z - exact) < 4 * found.std_error
    assert abs(found.log_z - math.log(4) - exact) > 4 * found.std_error
    assert found.warnings == ()


def test_both_errors_agree(run):
    found = evidence(run)
    assert 0.4 < found.diagnostics["genealogy_std_error"] / found.std_error < 2.0


def test_the_particles_are_draws_of_the_posterior(run):
    target, mean, covariance = regression()
    assert run.draws.points.shape == (400, 10, 5)
    each = run.draws.points.mean(0)  # (R, d): independent means
    z = (each.mean(0) - mean) / (each.std(0) / math.sqrt(10))
    assert z.abs().max() < 5.5
    spread = run.draws.points.flatten(0, 1).T.cov()
    assert (spread.diagonal() / covariance.diagonal()).sub(1).abs().max() < 0.25
    flat = run.draws.points.flatten(0, 1)
    assert torch.allclose(target.log_joint(flat), run.draws.log_joint.flatten())


def test_the_record(run):
    K = len(run.log_increments)
    assert run.betas.shape == (K + 1, 10)
    assert bool((run.betas[0] == 0).all())
    assert bool((run.betas[-1] == 1).all())
    assert bool((run.betas.diff(dim=0) >= 0).all())
    before_last = run.betas[1:] < 1
    assert bool((run.effective_sample_size[before_last] / 400 - 0.5).abs().max() < 0.01)
    assert run.divergences == run.not_finite == 0
    assert run.evaluations > 400 * 10 * K


def test_the_same_seed_gives_the_same_run():
    target = regression()[0]
    one, same, other = (sequential_monte_carlo(target, particles=20, runs=2, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(one.draws.points, same.draws.points)
    assert not torch.equal(one.draws.points, other.draws.points)


def test_a_seed_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    sequential_monte_carlo(regression()[0], particles=20, runs=2, seed=3)
    assert torch.equal(torch.rand(1), expected)


def test_evaluations_are_counted():
    target, seen = regression()[0], [0]

    def counted(theta):
        seen[0] += len(theta)
        return target.log_terms(theta)[0]

    watched = Target(counted, target.prior)
    seen[0] = 0
    assert sequential_monte_carlo(watched, particles=20, runs=2).evaluations == seen[0]


def test_from_a_reference(run):
    target = regression()[0]
    near = sequential_monte_carlo(target, particles=200, runs=6, reference=fit_reference(run.draws))
    assert len(near.log_increments) == 1
    found = evidence(near)
    assert abs(found.log_z - target.exact) < 4 * found.std_error
    assert found.std_error < 0.05


def test_a_constant_likelihood_gives_zero():
    flat = Target(lambda x: 0 * x.sum(-1), Normal(torch.zeros(2, dtype=DOUBLE), 1.0))
    found = evidence(sequential_monte_carlo(flat, particles=20, runs=2))
    assert abs(found.log_z) < 1e-12
    assert found.std_error < 1e-12


def test_a_likelihood_that_is_zero_on_most_of_the_prior():
    """The probability that a standard normal is above 1."""

    def log_likelihood(x):
        return torch.where(x[:, 0] > 1, 0.0, -math.inf).double() + 0 * x.sum(-1)

    target = Target(log_likelihood, Normal(torch.zeros(1, dtype=DOUBLE), 1.0))
    run = sequential_monte_carlo(target, particles=1000, runs=8)
    found = evidence(run)
    assert abs(found.log_z - math.log(0.15865525393)) < 4 * found.std_error
    assert run.draws.points.min() > 1


def test_two_modes_keep_their_shares():
    """Half of the mass at -5 and half at 5, under a wide prior."""
    wide = Normal(torch.zeros(2, dtype=DOUBLE), 5.0)

    def log_density(x):
        parts = [Normal(centre, 1.0).log_prob(x).sum(-1) for centre in (-5.0, 5.0)]
        return torch.stack(parts).logsumexp(0) - math.log(2)

    run = sequential_monte_carlo(Target.from_density(log_density, wide), particles=500, runs=8)
    found = evidence(run)
    assert abs(found.log_z) < 4 * found.std_error
    assert 0.35 < float((run.draws.points[..., 0] > 0).double().mean()) < 0.65


def test_the_step_meets_its_threshold():
    log_ratio = 30 * torch.randn(4, 500, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    beta = torch.tensor([0.0, 0.1, 0.5, 1 - 1e-6], dtype=DOUBLE)
    step = next_step(log_ratio, beta, threshold=0.5)
    w = (step.unsqueeze(1) * log_ratio).softmax(1)
    effective = 1 / w.square().sum(1) / 500
    assert effective[:3].sub(0.5).abs().max() < 1e-6
    assert step[3] == 1 - beta[3]
    assert effective[3] > 0.5


def test_resampling_takes_every_particle_as_often_as_its_weight_says():
    log_w = torch.randn(3, 50, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    log_w[0, 7] = -math.inf
    expected = 50 * log_w.softmax(1)
    total = torch.zeros(3, 50, dtype=DOUBLE)
    generator = torch.Generator().manual_seed(1)
    for _ in range(2000):
        chosen = systematic_resampling(log_w, generator=generator)
        counts = torch.zeros(3, 50, dtype=DOUBLE).scatter_add_(1, chosen, torch.ones(3, 50, dtype=DOUBLE))
        assert bool((counts - expected).abs().max() < 1 + 1e-9)
        total += counts
    assert (total / 2000 - expected).abs().max() < 4.56 * math.sqrt(0.25 / 2000)
    assert total[0, 7] == 0


@pytest.mark.slow
def test_a_metric_that_holds_the_particle_itself_biases_the_evidence(monkeypatch):
    """In fifty dimensions with 500 particles: within 4.56 errors with the other half's metric, below with one's own."""
    d = 50
    target = Target(
        lambda x: Normal(x, 1.0).log_prob(torch.zeros(d, dtype=DOUBLE)).sum(-1),
        Normal(torch.zeros(d, dtype=DOUBLE), 1.0),
    )
    exact = -d / 2 * math.log(4 * math.pi)

    def z_score():
        run = sequential_monte_carlo(target, particles=500, runs=60, seed=1)
        relative = (run.log_increments.sum(0) - exact).exp()
        return float((relative.mean() - 1) / (relative.std() / math.sqrt(60)))

    assert abs(z_score()) < 4.56
    before = module._scale_of_other_half

    def own(halves):
        scale = before(halves)
        return scale.view(len(halves) // 2, 2, *scale.shape[1:]).flip(1).view_as(scale)

    monkeypatch.setattr(module, "_scale_of_other_half", own)
    assert z_score() < -4.56


@pytest.mark.parametrize(
    "settings", [{"particles": 9}, {"particles": 21}, {"runs": 0}, {"threshold": 1.0}, {"most_moves": 0}, {"seed": -1}]
)
def test_numbers_out_of_range(settings):
    with pytest.raises(ValueError, match="got"):
        sequential_monte_carlo(regression()[0], **settings)


def test_a_likelihood_that_is_zero_everywhere():
    nowhere = Target(lambda x: 0 * x.sum(-1) - math.inf, Normal(torch.zeros(1, dtype=DOUBLE), 1.0))
    with pytest.raises(ValueError, match="likelihood is zero"):
        sequential_monte_carlo(nowhere, particles=20, runs=2)


def test_points_without_a_likelihood_are_counted():
    seen = [0]

    def log_likelihood(x):
        value = torch.where(x > 0.5, math.nan, -(x**2) / 2).sum(-1)
        seen[0] += int(value.isnan().sum())
        return value

    target = Target(log_likelihood, Normal(torch.zeros(1).double(), 1.0))
    seen[0] = 0
    assert sequential_monte_carlo(target, particles=np.int64(100), runs=2).not_finite == seen[0] > 0


@pytest.mark.parametrize("setting", ["particles", "runs", "most_moves"])
def test_settings_are_whole_and_the_target_is_one(setting):
    target = Target(lambda x: -(x**2).sum(-1) / 2, Normal(torch.zeros(1).double(), 3.0))
    for bad in (2.5, "a"):
        with pytest.raises(ValueError, match=f"{setting} must be a whole number, got {bad!r}"):
            sequential_monte_carlo(target, **{setting: bad})
    with pytest.raises(ValueError, match=r"target must be a Target.*got function"):
        sequential_monte_carlo(lambda x: x)
