"""The tempered ensemble: its parts, and a linear regression whose evidence is known."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal, Normal
from torch.testing import assert_close

from jensen._targets import Draws, Target
from jensen.evidence.path import modified_path
from jensen.evidence.stepping_stone import generalized_stepping_stone, stepping_stone
from jensen.samplers.annealing import Reference, both_paths, fit_reference, path_from_prior, path_from_reference
from jensen.samplers.ladder import beta_quantiles
from jensen.samplers.tempered import temper

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


SMALL = {"temperatures": 16, "chains": 24, "draws": 60, "warmup": 40}


@pytest.fixture(scope="module")
def run():
    return temper(regression()[0], **SMALL, seed=1)


@pytest.mark.parametrize("method", [stepping_stone, modified_path])
def test_the_evidence_of_a_regression(run, method):
    found = method(run.log_ratio, run.betas)
    exact = regression()[0].exact
    assert found.std_error < 0.2
    assert abs(found.log_z - exact) < 4 * found.std_error
    assert abs(found.log_z - 1 - exact) > 4 * found.std_error


def test_columns_that_mix_slowly_are_named(run):
    assert run.problems() == ()
    slow = run.r_hat.clone()
    slow[-2:] = torch.tensor([1.05, 1.08])
    (said,) = run._replace(r_hat=slow).problems()
    assert f"above beta = {float(run.betas[-2]):.3g} (r_hat 1.080, above 1.041)" in said
    assert run._replace(r_hat=torch.full_like(slow, math.nan)).problems() == ()


def test_the_posterior(run):
    target, mean, covariance = regression()
    points = run.draws.points
    assert points.shape == (60, 24, 5)
    each = points.mean(0)
    assert ((each.mean(0) - mean) / (each.std(0) / math.sqrt(24))).abs().max() < 5
    assert (points.flatten(0, 1).T.cov().diagonal() / covariance.diagonal()).sub(1).abs().max() < 0.25
    assert_close(target.log_joint(points.flatten(0, 1)), run.draws.log_joint.flatten())
    assert torch.equal(run.log_ratio[-1], run.draws.log_likelihood)


def test_the_record(run):
    assert run.betas.shape == (16,)
    assert (run.betas[0], run.betas[-1]) == (0, 1)
    assert bool((run.betas.diff() > 0).all())
    assert run.r_hat.max() < 1.1
    assert bool(((run.swap_rates > 0.3) & (run.swap_rates <= 1)).all())
    assert run.acceptance[0] == 1
    assert bool((run.acceptance > 0.5).all())
    assert run.divergences == run.not_finite == 0


def test_neighbours_overlap_equally(run):
    """Those of a schedule of quantiles do not, and its worst are further apart than ours."""
    ours = torch.tensor(stepping_stone(run.log_ratio, run.betas).diagnostics["overlap"])
    assert (1 / ours - 1).max() / (1 / ours - 1).median() < 3
    given = temper(regression()[0], **SMALL, betas=beta_quantiles(16), seed=1)
    theirs = torch.tensor(stepping_stone(given.log_ratio, given.betas).diagnostics["overlap"])
    assert (1 / theirs - 1).max() / (1 / theirs - 1).min() > 100
    assert theirs.min() < ours.min() - 0.05
    assert torch.equal(given.betas, beta_quantiles(16))


def test_from_a_reference(run):
    target = regression()[0]
    near = temper(target, temperatures=4, chains=24, draws=40, warmup=30, reference=fit_reference(run.draws), seed=2)
    found = generalized_stepping_stone(near.log_ratio, near.betas)
    assert abs(found.log_z - target.exact) < 4 * found.std_error
    assert found.std_error < stepping_stone(run.log_ratio, run.betas).std_error
    joint = near.draws.log_joint.flatten()
    assert_close(target.log_joint(near.draws.points.flatten(0, 1)), joint)


def test_evaluations_are_counted():
    target, seen = regression()[0], [0]

    def counted(theta):
        seen[0] += len(theta)
        return target.log_terms(theta)[0]

    watched = Target(counted, target.prior)
    seen[0] = 0
    assert temper(watched, temperatures=3, chains=4, draws=3, warmup=3).evaluations == seen[0]


def test_the_same_seed_gives_the_same_run():
    runs = [temper(regression()[0], temperatures=3, chains=4, draws=3, warmup=3, seed=seed) for seed in (5, 5, 6)]
    assert torch.equal(runs[0].log_ratio, runs[1].log_ratio)
    assert not torch.equal(runs[0].log_ratio, runs[2].log_ratio)


def test_progress_is_told():
    said = []
    temper(regression()[0], temperatures=3, chains=4, draws=3, warmup=2, progress=lambda *each: said.append(each))
    assert said == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


def test_a_constant_likelihood_gives_zero():
    flat = Target(lambda x: 0 * x.sum(-1), Normal(torch.zeros(2, dtype=DOUBLE), 1.0))
    run = temper(flat, temperatures=4, chains=5, draws=10, warmup=5)
    assert abs(stepping_stone(run.log_ratio, run.betas).log_z) < 1e-12
    assert_close(run.betas, torch.linspace(0, 1, 4, dtype=DOUBLE))


def test_a_likelihood_that_is_zero_on_most_of_the_prior():
    """The integral of a normal density above 1, of which log-likelihoods of -inf at beta = 0 must not make NaN."""

    def log_likelihood(x):
        return torch.where(x[:, 0] > 1, -x[:, 0], -math.inf)

    target = Target(log_likelihood, Normal(torch.zeros(1, dtype=DOUBLE), 1.0))
    exact = 0.5 + math.log(float(torch.special.ndtr(torch.tensor(-2.0, dtype=DOUBLE))))
    run = temper(target, temperatures=6, chains=30, draws=60, warmup=30)
    assert not bool(run.log_ratio.isnan().any())
    assert bool((run.log_ratio[0] == -math.inf).any())
    assert run.log_ratio[1:].min() > -math.inf
    for method in (stepping_stone, modified_path):
        found = method(run.log_ratio, run.betas)
        assert abs(found.log_z - exact) < 4 * found.std_error


def test_weights_and_log_ratios_of_both_paths():
    target = regression()[0]
    reference = Reference(torch.ones(5, dtype=DOUBLE), 2 * torch.eye(5, dtype=DOUBLE))
    points = torch.randn(7, 5, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    beta = torch.tensor([0.3], dtype=DOUBLE)
    log_reference = MultivariateNormal(reference.mean, scale_tril=reference.scale_tril).log_prob(points)
    log_likelihood, log_prior = target.log_terms(points)
    plain, general = path_from_prior(target), path_from_reference(target, reference)
    for path, density, ratio in (
        (plain, 0.3 * log_likelihood + log_prior, log_likelihood),
        (both_paths(target, reference)[0], 0.3 * log_likelihood + log_prior, log_likelihood),
        (general, 0.3 * (log_likelihood + log_prior) + 0.7 * log_reference, log_likelihood + log_prior - log_reference),
    ):
        values = path.terms(points)
        assert_close((path.weights(beta) * values).sum(0), density)
        assert_close(path.log_ratio(values), ratio)


def test_a_fitted_reference():
    points = torch.randn(500, 4, 3, generator=torch.Generator().manual_seed(0), dtype=DOUBLE) * torch.tensor(
        [1.0, 2, 3]
    )
    fitted = fit_reference(Draws(points, points[..., 0], points[..., 0]))
    assert_close(fitted.scale_tril @ fitted.scale_tril.T, points.flatten(0, 1).T.cov())
    few = fit_reference(Draws(points[:1], points[:1, :, 0], points[:1, :, 0]))
    assert torch.equal(few.scale_tril, few.scale_tril.diagonal().diag())
    with pytest.raises(ValueError, match="two finite draws"):
        fit_reference(Draws(points[:1, :1], points[:1, :1, 0], points[:1, :1, 0]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperatures": 1}, "two temperatures"),
        ({"chains": 0}, "two temperatures"),
        ({"betas": torch.tensor([0.0, 0.5])}, "ascend"),
        ({"betas": torch.tensor([0.0, 0.7, 0.5, 1.0])}, "ascend"),
        ({"reference": Reference(torch.zeros(2), torch.eye(2))}, "dimension 5"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_input(settings, message):
    with pytest.raises(ValueError, match=message):
        temper(regression()[0], **settings)


def test_a_list_is_a_schedule():
    target = Target(lambda x: -(x**2).sum(-1) / 2, Normal(torch.zeros(1).double(), 3.0))
    settings = {"chains": np.int64(4), "draws": 8, "warmup": 4}
    listed, tensor = (temper(target, betas=betas, **settings) for betas in ([0, 0.5, 1], torch.tensor([0.0, 0.5, 1.0])))
    assert listed.betas.tolist() == [0, 0.5, 1]
    assert torch.equal(listed.log_ratio, tensor.log_ratio)
    for bad in ("a", ["a", "b"], 0.5):
        with pytest.raises(ValueError, match="betas must"):
            temper(target, betas=bad, **settings)


@pytest.mark.parametrize("setting", ["temperatures", "chains", "draws", "warmup"])
def test_settings_are_whole_and_the_target_is_one(setting):
    target = Target(lambda x: -(x**2).sum(-1) / 2, Normal(torch.zeros(1).double(), 3.0))
    for bad in (2.5, "a"):
        with pytest.raises(ValueError, match=f"{setting} must be a whole number, got {bad!r}"):
            temper(target, **{setting: bad})
    with pytest.raises(ValueError, match=r"target must be a Target.*got function"):
        temper(lambda x: x)


@pytest.mark.parametrize(("width", "edge"), [(1.0, 0.5), (0.02, 1.5)])
def test_points_without_a_likelihood_are_counted(width, edge):
    seen = []

    def log_likelihood(x):
        value = torch.where(x > edge, math.nan, -((x / width) ** 2) / 2).sum(-1)
        seen.append(int(value.isnan().sum()))
        return value

    target = Target(log_likelihood, Normal(torch.zeros(1).double(), 1.0))
    settings = {"betas": [0.0, 0.5, 1.0], "chains": 50, "draws": 10, "warmup": 0}
    found = temper(target, **settings, progress=lambda done, _: done == 1 and seen.append(-1))
    assert 0 < found.not_finite <= sum(count for count in seen if count > 0)
    assert found.not_finite >= sum(seen[seen.index(-1) + 1 :])
