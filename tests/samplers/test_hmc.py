"""Many chains at once find posteriors whose moments are known, and say where they did not."""

import math

import pytest
import torch
from torch.distributions import Dirichlet, Exponential, Gamma, Normal, Poisson, Uniform
from torch.testing import assert_close

from jensen._random import seeded_generator
from jensen._targets import Target
from jensen.samplers.hmc import hamiltonian

COUNTS = torch.tensor([3.0, 1.0, 4.0, 1.0, 5.0]).double()
WIDTHS = torch.tensor([0.1, 1.0, 10.0]).double()
CORRELATION = torch.tensor([[1.0, 0.7, 0.0], [0.7, 1.0, -0.5], [0.0, -0.5, 1.0]]).double()
COVARIANCE = CORRELATION * WIDTHS * WIDTHS.unsqueeze(-1)
MEAN = torch.tensor([1.0, -2.0, 30.0]).double()


def gaussian():
    precision = COVARIANCE.inverse()

    def log_density(x):
        return -(((x - MEAN) @ precision) * (x - MEAN)).sum(-1) / 2

    return Target.from_density(log_density, Normal(torch.zeros(3).double(), 20.0))


def poisson():
    return Target(
        lambda rate: Poisson(rate.unsqueeze(-1)).log_prob(COUNTS).sum(-1), Gamma(torch.tensor(2.0).double(), 1.0)
    )


def largest_z(x, expected):
    """Of the mean of x `(S, C, *)`, whose standard error is taken from chains as a whole."""
    means = x.mean(0)
    return float(((means.mean(0) - expected) / (means.std(0) / math.sqrt(len(means)))).abs().max())


@pytest.mark.parametrize("metric", ["diagonal", "dense"])
def test_a_correlated_gaussian(metric):
    run = hamiltonian(gaussian(), chains=128, metric=metric)
    x = run.draws.points
    apart = x - MEAN
    products = apart.unsqueeze(-1) * apart.unsqueeze(-2)
    assert run.problems() == ()
    assert largest_z(x, MEAN) < 4.56
    assert largest_z(products, COVARIANCE) < 4.56
    assert float(run.effective_sample_size.min()) > 1500
    assert run.draws.points.shape == (50, 128, 3)
    assert "chains=128, dim=3" in repr(run)


def test_a_gamma_posterior():
    target = poisson()
    run = hamiltonian(target)
    rate = target.constrain(run.draws.points)
    assert largest_z(rate, 16 / 6) < 4.56
    assert largest_z((rate - 16 / 6).square(), 16 / 36) < 4.56
    assert_close(run.draws.log_joint, target.log_joint(run.draws.points.flatten(0, 1)).view(50, 256))


def test_a_lost_jacobian_would_be_noticed():
    target = poisson()
    log_terms = target.log_terms
    target.log_terms = lambda u: log_terms(u) - torch.stack([0 * u[:, 0], target.log_jacobian(u)])
    assert largest_z(target.constrain(hamiltonian(target).draws.points), 16 / 6) > 10


def test_a_dirichlet_posterior():
    counts, prior = torch.tensor([3.0, 0.0, 9.0]).double(), torch.ones(3).double()
    target = Target(lambda p: (counts * p.log()).sum(-1), Dirichlet(prior))
    run = hamiltonian(target)
    p, a = target.constrain(run.draws.points), counts + prior
    assert largest_z(p, a / a.sum()) < 4.56
    assert largest_z(p.square(), a * (a + 1) / (a.sum() * (a.sum() + 1))) < 4.56


def test_one_chain():
    run = hamiltonian(gaussian(), chains=1, draws=600, warmup=400, start=MEAN)
    assert run.problems() == ()
    standard_error = run.draws.points.std((0, 1)) / run.effective_sample_size.sqrt()
    assert bool(((run.draws.points.mean((0, 1)) - MEAN).abs() < 4.56 * standard_error).all())


def test_two_modes_are_flagged():
    def log_density(x):
        return torch.logaddexp(-(x + 8).square().sum(-1) / 2, -(x - 8).square().sum(-1) / 2)

    target = Target.from_density(log_density, Normal(torch.zeros(2).double(), 8.0))
    run = hamiltonian(target, chains=100)
    assert float(run.r_hat.max()) > 1.5
    assert "The chains disagree" in run.problems()[0]


def test_chains_that_start_at_zero_density_are_replaced():
    target = Target(lambda x: torch.where(x > 1, 0 * x, -math.inf), Normal(torch.zeros(()).double(), 1.0))
    start = torch.tensor([[3.0]] * 4 + [[0.0]] * 60).double()
    run = hamiltonian(target, chains=64, start=start)
    assert run.restarted >= 60
    assert bool((run.draws.points > 1).all())
    assert bool((hamiltonian(target, chains=64).draws.points > 1).all())


def test_a_chain_left_far_out_in_the_prior_is_set_on_another():
    """On the logistic tail of a uniform prior nothing but the Jacobian pulls it in."""
    edge = torch.tensor([10.0, 10.0]).double()
    target = Target(lambda x: -50 * x.square().sum(-1), Uniform(-edge, edge))
    start = torch.zeros(64, 2).double()
    near = hamiltonian(target, chains=64, start=start)
    start[0] = torch.tensor([-1e4, 1e4])
    far = hamiltonian(target, chains=64, start=start)
    assert (near.restarted, far.restarted) == (0, 1)
    assert far.step_size == pytest.approx(near.step_size, rel=0.3)
    assert far.evaluations < 1.5 * near.evaluations
    assert float(far.r_hat.max()) < 1.05


def test_a_mode_of_lower_density_is_left_alone():
    def log_density(x):
        """Two modes of one mass, one of a tenth of the width."""
        narrow = Normal(-6.0, 0.1).log_prob(x).sum(-1)
        return torch.logaddexp(narrow, Normal(6.0, 1.0).log_prob(x).sum(-1))

    target = Target.from_density(log_density, Normal(torch.zeros(5).double(), 6.0))
    start = torch.full((64, 5), -6.0).double()
    start[:6] = 6.0
    run = hamiltonian(target, chains=64, start=start, warmup=60, draws=10)
    assert run.restarted == 0
    assert int((run.draws.points[-1, :, 0] > 0).sum()) == 6


def test_nan_is_counted():
    def log_likelihood(x):
        return torch.where(x > 0, -x, math.nan)

    run = hamiltonian(Target(log_likelihood, Normal(torch.zeros(()).double(), 1.0)), chains=64)
    assert run.not_finite > 0
    assert any("NaN or infinite" in each for each in run.problems())
    assert bool((run.draws.points > 0).all())


def test_the_same_seed_gives_the_same_draws_and_nothing_else_notices():
    before = torch.get_rng_state()
    runs = [hamiltonian(poisson(), chains=8, draws=4, warmup=20, seed=seed) for seed in (3, 3, 4)]
    assert torch.equal(runs[0].draws.points, runs[1].draws.points)
    assert not torch.equal(runs[0].draws.points, runs[2].draws.points)
    assert torch.equal(before, torch.get_rng_state())


def test_evaluations_are_all_that_happened():
    seen = []

    def log_likelihood(x):
        seen.append(len(x))
        return -x.square()

    target = Target(log_likelihood, Normal(torch.zeros(()).double(), 1.0))
    seen.clear()
    run = hamiltonian(target, chains=16, draws=5, warmup=20)
    assert run.evaluations == sum(seen)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"chains": 0}, "chains must be at least 1"),
        ({"draws": 3}, "draws must be at least 4"),
        ({"warmup": 5}, "warmup must be at least 20"),
        ({"metric": "round"}, "metric must be one of diagonal, dense"),
        ({"start": "mode"}, "start must be 'prior' or 'laplace' or a tensor"),
        ({"start": torch.zeros(7)}, r"start has shape \(7,\); expected \(1,\) or \(256, 1\)"),
        ({"start": torch.full((1,), math.nan)}, "not finite"),
        ({"seed": -1}, "a seed is an integer"),
    ],
)
def test_settings_that_do_not_fit(settings, message):
    with pytest.raises(ValueError, match=message):
        hamiltonian(poisson(), **settings)


@pytest.mark.parametrize("value", [-math.inf, math.nan])
@pytest.mark.parametrize("start", ["prior", torch.ones(1)])
def test_no_start_of_positive_density(value, start):
    target = Target(lambda x: x * 0 + value, Exponential(torch.ones(()).double()))
    with pytest.raises(ValueError, match=r"start=target.unconstrain\(parameters\)"):
        hamiltonian(target, chains=10, start=start)


def test_a_function_that_raises_names_the_point():
    def log_likelihood(x):
        if bool((x > 2.5).any()):
            raise RuntimeError("too large")
        return 0 * x

    with pytest.raises(ValueError, match=r"too large; first at theta = "):
        hamiltonian(Target(log_likelihood, Normal(torch.zeros(()).double(), 1.0)))


def test_an_interruption_comes_through():
    calls = []

    def progress(done, total):
        calls.append((done, total))
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hamiltonian(poisson(), chains=4, progress=progress)
    assert calls[-1] == (7, 1050)
    assert torch.is_grad_enabled()


def test_laplace_start():
    run = hamiltonian(gaussian(), chains=64, start="laplace", warmup=50, metric="dense")
    assert run.problems() == ()
    assert largest_z(run.draws.points, MEAN) < 4.56


def test_float32():
    target = Target(lambda x: -x.square().sum(-1), Normal(torch.zeros(3), 1.0))
    run = hamiltonian(target, chains=64, seed=1)
    assert run.draws.points.dtype == torch.float32
    assert largest_z(run.draws.points.double().square(), 1 / 3) < 4.56
    generator = seeded_generator(0)
    wrong = torch.randn(50, 64, 3, generator=generator) * 0.7
    assert largest_z(wrong.square(), 1 / 3) > 10


@pytest.mark.parametrize("setting", ["chains", "draws", "warmup"])
def test_numbers_of_draws_are_whole(setting):
    for bad in (2.5, "a"):
        with pytest.raises(ValueError, match=f"{setting} must be a whole number, got {bad!r}"):
            hamiltonian(poisson(), **{setting: bad})


def test_what_is_no_target_is_refused():
    with pytest.raises(ValueError, match=r"target must be a Target.*got function"):
        hamiltonian(lambda x: -(x**2).sum(-1))
