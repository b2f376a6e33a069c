"""EM on the linkage counts and on a mixture of Gaussians, Louis' identity, and the spread of Monte Carlo EM."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from torch.distributions import Beta, Binomial, Normal
from torch.testing import assert_close

from jensen.samplers import em

DOUBLE = torch.float64
MODE = (15 + math.sqrt(53809)) / 394
ITERATES = [0.6082474227, 0.6243210504, 0.6264888791, 0.6267773223, 0.6268156321, 0.6268207190]
HALF = torch.tensor(0.5, dtype=DOUBLE)


def e_step(theta):
    return 125 * theta / (2 + theta)


def m_step(x):
    return (x + 34) / (x + 34 + 38)


def log_likelihood(theta):
    return 125 * torch.log(2 + theta) + 38 * torch.log1p(-theta) + 34 * torch.log(theta)


def latents(theta, count):
    return Binomial(125, theta / (2 + theta)).sample((count,))


def m_step_of_draws(x):
    return m_step(x.mean())


def complete(theta, x):
    return (x + 34) * theta.log() + 38 * torch.log1p(-theta)


def test_linkage():
    found = em.expectation_maximization(e_step, m_step, HALF, log_density=log_likelihood)
    assert found.converged
    assert float(found.parameters) == pytest.approx(0.6268214978709824, abs=1e-10)
    assert pytest.approx(0.6268214978709824, abs=1e-15) == MODE
    assert found.history[1:7].tolist() == pytest.approx(ITERATES, abs=6e-11)
    assert found.rate == pytest.approx(0.1327787, abs=1e-6)
    assert bool((found.log_density.diff() > -1e-12).all())
    assert found.iterations == len(found.history) - 1 < 20


def test_the_rate_is_the_derivative_of_the_map():
    slope = torch.autograd.functional.jacobian(lambda t: m_step(e_step(t)), torch.tensor(MODE, dtype=DOUBLE))
    assert float(slope) == pytest.approx(57.80095 / 435.31785, abs=1e-7)
    assert float(slope) == pytest.approx(0.1327787, abs=6e-8)


def test_the_mode_of_a_posterior():
    prior = Beta(torch.tensor(3.0, dtype=DOUBLE), 5.0)

    def posterior(theta):
        return log_likelihood(theta) + prior.log_prob(theta)

    found = em.expectation_maximization(e_step, lambda x: (x + 36) / (x + 36 + 42), HALF, log_density=posterior)
    root = brentq(lambda t: 125 / (2 + t) - 42 / (1 - t) + 36 / t, 0.01, 0.99, xtol=1e-15)
    assert float(found.parameters) == pytest.approx(root, abs=1e-10)
    assert float(found.parameters) < MODE


def test_a_prior_in_one_of_two_places_is_caught():
    start = torch.tensor(MODE, dtype=DOUBLE)
    with pytest.raises(ValueError, match="log_density has a prior exactly if the M-step has one"):
        em.expectation_maximization(e_step, lambda x: (x + 36) / (x + 36 + 42), start, log_density=log_likelihood)


@pytest.mark.parametrize(
    ("wrong_e", "wrong_m"),
    [(lambda t: 125 * t / (1 + t), m_step), (e_step, lambda x: (x + 34) / (x + 34 + 18)), (lambda t: t * 0, m_step)],
)
def test_a_wrong_step_falls_and_is_caught(wrong_e, wrong_m):
    start = torch.tensor(0.6, dtype=DOUBLE)
    with pytest.raises(ValueError, match="the log-density fell from"):
        em.expectation_maximization(wrong_e, wrong_m, start, log_density=log_likelihood)


def test_without_a_log_density_it_is_nan():
    found = em.expectation_maximization(e_step, m_step, HALF, max_iterations=3)
    assert found.log_density.isnan().all()
    assert not found.converged
    assert found.iterations == 3


def test_a_result_is_continued():
    whole = em.expectation_maximization(e_step, m_step, HALF, log_density=log_likelihood)
    part = em.expectation_maximization(e_step, m_step, HALF, log_density=log_likelihood, max_iterations=3)
    rest = em.expectation_maximization(e_step, m_step, part, log_density=log_likelihood)
    assert torch.equal(whole.history, rest.history)
    assert torch.equal(whole.log_density, rest.log_density)


def test_a_slow_ascent_is_not_taken_for_an_arrival():
    """A map of rate 0.999: the step falls below the tolerance when a thousand times as much is left."""

    def slow(theta):
        return 1 + 0.999 * (theta - 1)

    found = em.expectation_maximization(lambda t: t, slow, HALF, tolerance=1e-6, max_iterations=20_000)
    assert found.converged
    assert abs(float(found.parameters) - 1) < 2.1e-6
    assert found.rate == pytest.approx(0.999, abs=1e-6)
    last = float(found.history.diff()[-1])
    assert last < 1e-8


def exact_louis(theta):
    x = torch.arange(126, dtype=DOUBLE)
    return em.louis_information(complete, theta, x, weights=Binomial(125, theta / (2 + theta)).log_prob(x).exp())


def test_louis_identity_at_the_mode():
    louis = exact_louis(torch.tensor(MODE, dtype=DOUBLE))
    assert float(louis.complete) == pytest.approx(435.31785, abs=6e-6)
    assert float(louis.missing) == pytest.approx(57.80095, abs=6e-6)
    assert float(louis.observed) == pytest.approx(377.516900, abs=6e-7)
    assert float(louis.std_error) == pytest.approx(0.0514673, abs=6e-8)
    assert louis.rate == pytest.approx(0.1327787, abs=6e-8)


@pytest.mark.parametrize("theta", [0.2, 0.5, MODE, 0.9])
def test_louis_identity_is_the_observed_curvature_anywhere(theta):
    theta = torch.tensor(theta, dtype=DOUBLE)
    curvature = -torch.autograd.functional.hessian(log_likelihood, theta)
    assert float(exact_louis(theta).observed) == pytest.approx(float(curvature), rel=1e-10)


def test_a_second_moment_in_the_place_of_the_covariance_is_caught():
    theta, x = torch.tensor(0.5, dtype=DOUBLE), torch.arange(126, dtype=DOUBLE)
    weight = Binomial(125, theta / (2 + theta)).log_prob(x).exp()
    score = torch.autograd.functional.jacobian(lambda theta: complete(theta, x), theta)
    twin = exact_louis(theta).complete - (weight * score**2).sum()
    assert abs(float(twin) / float(exact_louis(theta).observed) - 1) > 0.5


def test_louis_by_draws():
    theta = torch.tensor(MODE, dtype=DOUBLE)
    torch.manual_seed(0)
    louis = em.louis_information(complete, theta, latents(theta, 20_000))
    assert float(louis.missing) == pytest.approx(57.80095, rel=4.56 * math.sqrt(2 / 20_000))
    assert float(louis.std_error) == pytest.approx(0.0514673, rel=5e-3)


DATA = torch.cat([Normal(-1.0, 0.7).icdf(torch.linspace(0.02, 0.98, 40, dtype=DOUBLE)),
                  Normal(1.5, 1.1).icdf(torch.linspace(0.02, 0.98, 60, dtype=DOUBLE))])  # fmt: skip


def mixture_terms(theta):
    """Log of weight times density of each component, `(2, N)`; theta = weight, two means, two variances."""
    weights = torch.stack([theta[0], 1 - theta[0]])
    return weights.log()[:, None] + Normal(theta[1:3, None], theta[3:5, None].sqrt()).log_prob(DATA)


def mixture_e(theta):
    return mixture_terms(theta).softmax(0)


def mixture_m(r):
    total = r.sum(1)
    mean = (r @ DATA) / total
    variance = (r * (DATA - mean[:, None]) ** 2).sum(1) / total
    return torch.cat([total[:1] / len(DATA), mean, variance])


def mixture_density(theta):
    return mixture_terms(theta).logsumexp(0).sum()


MIXTURE_START = torch.tensor([0.5, -0.5, 1.0, 1.0, 1.0], dtype=DOUBLE)


def test_a_mixture_of_gaussians_is_that_of_scikit_learn():
    from sklearn.mixture import GaussianMixture

    found = em.expectation_maximization(
        mixture_e, mixture_m, MIXTURE_START, log_density=mixture_density, tolerance=1e-9
    )
    peer = GaussianMixture(2, reg_covar=0, tol=1e-14, max_iter=5000, weights_init=[0.5, 0.5],
                           means_init=[[-0.5], [1.0]], precisions_init=[[[1.0]], [[1.0]]])  # fmt: skip
    peer.fit(DATA[:, None].numpy())
    theirs = np.concatenate([peer.weights_[:1], peer.means_[:, 0], peer.covariances_[:, 0, 0]])
    assert found.converged
    np.testing.assert_allclose(found.parameters, theirs, atol=2e-5)
    gradient = torch.autograd.functional.jacobian(mixture_density, found.parameters)
    assert float(gradient.abs().max()) < 1e-5


def test_the_rate_of_a_mixture_is_the_spectral_radius_of_its_map():
    found = em.expectation_maximization(mixture_e, mixture_m, MIXTURE_START, tolerance=1e-9)
    jacobian = torch.autograd.functional.jacobian(lambda theta: mixture_m(mixture_e(theta)), found.parameters)
    assert found.rate == pytest.approx(float(torch.linalg.eigvals(jacobian).abs().max()), abs=1e-5)


def test_louis_of_a_vector():
    """A mixture of few points: every assignment is summed over."""
    data, theta = DATA[[0, 20, 30, 80, 99]], torch.tensor([0.6, -1.3, 2.9, 0.7, 0.8], dtype=DOUBLE)

    def terms(theta):
        weights = torch.stack([theta[0], 1 - theta[0]])
        return weights.log()[:, None] + Normal(theta[1:3, None], theta[3:5, None].sqrt()).log_prob(data)

    kinds = torch.cartesian_prod(*[torch.arange(2)] * 5)  # (32, 5)
    weights = terms(theta).softmax(0)[kinds, torch.arange(5)].prod(1)
    louis = em.louis_information(
        lambda theta, kinds: terms(theta)[kinds, torch.arange(5)].sum(1), theta, kinds, weights=weights
    )
    curvature = -torch.autograd.functional.hessian(lambda theta: terms(theta).logsumexp(0).sum(), theta)
    assert_close(louis.observed, curvature, atol=1e-9, rtol=1e-9)


def spread_of_one_step(M):
    """Delta method: the standard deviation of one M-step at the mode."""
    p = MODE / (2 + MODE)
    return 38 / (125 * p + 72) ** 2 * math.sqrt(125 * p * (1 - p) / M)


def test_monte_carlo_em_wanders_as_predicted():
    samples = (10,) * 10 + (1000,) * 10 + (20_000,) * 180
    found = em.monte_carlo_em(
        latents, m_step_of_draws, HALF, samples=samples, average_from=20, log_density=log_likelihood
    )
    tail = found.history[21:]
    theory = spread_of_one_step(20_000) / math.sqrt(1 - 0.1327787**2)
    assert theory == pytest.approx(1.246e-4, abs=6e-8)
    assert 0.7 < float(tail.std()) / theory < 1.4
    assert abs(float(found.parameters) - MODE) < 4.56 * float(found.std_error)
    assert float(found.std_error) < theory / 8
    assert found.falls > 50


def test_few_draws_wander_further_than_the_prediction_for_many():
    few = em.monte_carlo_em(latents, m_step_of_draws, HALF, samples=(1000,) * 100)
    theory = spread_of_one_step(20_000) / math.sqrt(1 - 0.1327787**2)
    assert float(few.history[21:].std()) / theory > 1.4


def test_growing_samples_end_nearer_to_the_mode():
    def distance(samples):
        runs = [em.monte_carlo_em(latents, m_step_of_draws, HALF, samples=samples, seed=i) for i in range(12)]
        return np.mean([abs(float(run.history[-1]) - MODE) for run in runs])

    assert distance(em.growing_samples(30, first=10, most=20_000)) < distance((10,) * 30) / 5


def test_the_standard_error_of_the_average_is_calibrated():
    """100 runs of a linear map with noise, with the rate and the numbers of draws of a real one."""

    def noisy(theta, count):
        return 0.6 * theta + torch.randn(count, dtype=DOUBLE)

    z = []
    for seed in range(100):
        samples = em.growing_samples(150, first=5, most=50)
        run = em.monte_carlo_em(noisy, lambda x: x.mean(), torch.zeros((), dtype=DOUBLE), samples=samples, seed=seed)
        z.append(float(run.parameters / run.std_error))
    assert abs(np.mean(z)) < 4.56 * np.std(z) / 10
    assert 0.75 < np.std(z) < 1.35


def test_a_run_is_continued_as_if_it_had_not_been_interrupted():
    samples = em.growing_samples(12, most=100)
    whole = em.monte_carlo_em(latents, m_step_of_draws, HALF, samples=samples, seed=3, log_density=log_likelihood)
    part = em.monte_carlo_em(latents, m_step_of_draws, HALF, samples=samples[:5], seed=3, log_density=log_likelihood)
    rest = em.monte_carlo_em(latents, m_step_of_draws, part, samples=samples[5:], log_density=log_likelihood)
    assert torch.equal(whole.history, rest.history)
    assert torch.equal(whole.parameters, rest.parameters)
    assert whole.falls == rest.falls


def test_the_global_generator_is_left_alone_and_seeds_differ():
    before = torch.random.get_rng_state()
    first, same, other = (
        em.monte_carlo_em(latents, m_step_of_draws, HALF, samples=(10,) * 4, seed=seed).history for seed in (0, 0, 1)
    )
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_a_vector_has_a_standard_error_for_each_coordinate():
    def kinds(theta, count):
        return torch.distributions.Categorical(mixture_e(theta).T).sample((count,))

    def of_kinds(k):
        return mixture_m(torch.stack([(k == 0).double().mean(0), (k == 1).double().mean(0)]))

    found = em.monte_carlo_em(kinds, of_kinds, MIXTURE_START, samples=(200,) * 250, average_from=150)
    exact = em.expectation_maximization(mixture_e, mixture_m, MIXTURE_START).parameters
    assert found.std_error.shape == (5,)
    assert bool(((found.parameters - exact).abs() < 4.56 * found.std_error + 0.01).all())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: em.expectation_maximization(e_step, lambda x: x.repeat(2), HALF), r"returned \(2,\); expected \(\)"),
        (lambda: em.expectation_maximization(e_step, lambda x: x / 0, HALF), "iteration 1 went from 0.5 to inf"),
        (lambda: em.expectation_maximization(e_step, m_step, torch.tensor(1)), "finite floating point numbers"),
        (lambda: em.expectation_maximization(e_step, m_step, HALF * math.nan), "finite floating point numbers"),
        (lambda: em.expectation_maximization(e_step, m_step, HALF, tolerance=0), "must be positive, got 0"),
        (
            lambda: em.expectation_maximization(e_step, m_step, HALF, log_density=lambda t: t.repeat(2)),
            r"log_density returned \(2,\); expected one number",
        ),
        (lambda: em.monte_carlo_em(latents, m_step_of_draws, HALF, samples=()), "one for each iteration"),
        (lambda: em.monte_carlo_em(latents, m_step_of_draws, HALF, samples=(3, 0)), r"got \[3, 0\]"),
        (
            lambda: em.monte_carlo_em(latents, m_step_of_draws, HALF, samples=(3, 4), average_from=2),
            "average_from must lie between 0 and 1, got 2",
        ),
        (lambda: em.growing_samples(5, first=10, most=3), "1 <= first <= most, got 5, 10 and 3"),
        (
            lambda: em.louis_information(complete, HALF, torch.ones(3), weights=torch.ones(2)),
            r"weights have shape \(2,\); expected 3 numbers",
        ),
        (lambda: em.louis_information(complete, HALF, torch.ones(3), weights=-torch.ones(3)), "numbers from 0 on"),
        (lambda: em.louis_information(complete, HALF.expand(2, 2), torch.ones(3)), r"expected \(p,\) or \(\)"),
        (
            lambda: em.louis_information(lambda t, x: t.log(), HALF, torch.ones(3)),
            r"complete_log_density returned \(\); expected \(3,\)",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_point_that_is_no_maximum_has_no_information():
    with pytest.raises(ValueError, match="the point is no maximum"):
        em.louis_information(lambda t, x: x * t + t**2, HALF, torch.tensor([-1.0, 1.0], dtype=DOUBLE))


def test_one_draw_has_no_spread_and_one_certain_value_needs_none():
    with pytest.raises(ValueError, match="give two draws or more, or weights; got 1"):
        em.louis_information(complete, HALF, torch.ones(1))
    certain = em.louis_information(complete, HALF, torch.full((1,), 20.0, dtype=DOUBLE), weights=torch.ones(1))
    assert float(certain.missing) == 0
    assert certain.rate == 0


def test_numbers_start_as_well_as_tensors():
    assert_close(em.expectation_maximization(e_step, m_step, 0.5).parameters, torch.tensor(MODE, dtype=DOUBLE))
    found = em.monte_carlo_em(latents, m_step_of_draws, 0.5, samples=[10] * 4)
    assert_close(found.history, em.monte_carlo_em(latents, m_step_of_draws, HALF, samples=[10] * 4).history)
    for bad in ("a", None, {}):
        with pytest.raises(ValueError, match="the start must be a tensor or a number"):
            em.expectation_maximization(e_step, m_step, bad)


def _fails(*_):
    raise KeyError("y")


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: em.expectation_maximization(_fails, m_step, HALF), "e_step"),
        (lambda: em.expectation_maximization(e_step, _fails, HALF), "m_step"),
        (lambda: em.expectation_maximization(e_step, m_step, HALF, log_density=_fails), "log_density"),
        (lambda: em.monte_carlo_em(_fails, m_step_of_draws, HALF, samples=[2]), "sample_latents"),
        (lambda: em.monte_carlo_em(latents, _fails, HALF, samples=[2]), "m_step"),
        (lambda: em.louis_information(_fails, HALF, torch.ones(3)), "complete_log_density"),
    ],
)
def test_a_function_that_raises_is_named(call, name):
    with pytest.raises(ValueError, match=f"^{name} raised KeyError: 'y'") as caught:
        call()
    assert isinstance(caught.value.__cause__, KeyError)
