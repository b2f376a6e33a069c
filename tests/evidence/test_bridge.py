"""Bridge sampling against exact integrals, a published deterministic case, R's bridgesampling, and coverage."""

import math

import numpy as np
import pytest
import torch
from scipy.signal import lfilter
from scipy.special import gammaincinv, ndtr
from scipy.stats import t as student
from torch.distributions import Beta, Binomial, Dirichlet, MultivariateNormal, Normal, StudentT

from jensen._targets import Draws, Target
from jensen.evidence.bridge import bridge, bridge_from_ratios
from jensen.evidence.bridge_kernel import bridge_error, bridge_iteration

DOUBLE = torch.float64
Z_LIMIT = 4.56
PROPOSALS = ("normal", "warp3")
METHODS = dict(zip(PROPOSALS, ("bridge", "warp_bridge"), strict=True))


def real(*values):
    return torch.tensor(values, dtype=DOUBLE)


def normals(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def autoregressive(rho, *shape, seed=0):
    """Stationary chains of standard normals, `(S, *)`, each a step of AR(1) after the other."""
    noise = normals(*shape, seed=seed).numpy()
    noise[1:] *= math.sqrt(1 - rho**2)
    return torch.from_numpy(lfilter([1.0], [1.0, -rho], noise, axis=0).copy())


def log_gamma_draws(z):
    """Standard normals made logarithms of Gamma(2, 1)."""
    return torch.from_numpy(np.log(gammaincinv(2.0, ndtr(z.numpy()))))


def log_gamma(x):
    """Normalised: its integral is Gamma(2)^d = 1."""
    return (2 * x - x.exp()).sum(-1)


def student_t(x):
    return StudentT(real(5.0)).log_prob(x).sum(-1)


def bimodal(x):
    """Two unit Gaussians at -5 and 5 in every coordinate, normalised."""
    parts = torch.stack([Normal(real(at), 1.0).log_prob(x).sum(-1) for at in (-5.0, 5.0)])
    return torch.logsumexp(parts, 0) - math.log(2)


def funnel(x):
    v, rest = x[:, 0], x[:, 1:]
    return Normal(real(0.0), 3.0).log_prob(v) + Normal(real(0.0), (v / 2).exp()[:, None]).log_prob(rest).sum(-1)


def funnel_draws(count, dim):
    z = normals(count, dim)
    v = 3 * z[:, :1]
    return torch.cat([v, (v / 2).exp() * z[:, 1:]], 1)


def z_score(found, exact):
    return (found.log_z - exact) / found.std_error


L1 = real(0.1, 0.2, 0.3, 0.4) - real(0.02, 0.09, 0.1, 0.15)
L2 = real(0.05, 0.18, 0.22, 0.28) - real(0.01, 0.07, 0.11, 0.12)


class TestKernel:
    @pytest.mark.parametrize(("times", "error"), [(1, 0.02353233284705807), (4, 0.01052514482181162)])
    def test_the_published_case(self, times, error):
        found = bridge_iteration(L1.repeat(times), L2.repeat(times))
        assert found.log_z == pytest.approx(0.13248979618200290, abs=1e-12)
        assert bridge_error(found) == pytest.approx(error, abs=1e-12)
        assert found.converged
        assert not found.restarted

    def test_the_same_fixed_point_as_r(self):
        """Of bridgesampling 1.1-2 with neff = 37.5 and tolerance 1e-10."""
        u, v = (torch.arange(1, n + 1, dtype=DOUBLE).sub(0.5) / n for n in (60, 50))
        l1, l2 = 0.8 * torch.sin(7 * u) + u, torch.cos(5 * v) - 1.2 * v
        assert bridge_iteration(l1, l2, effective=37.5).log_z == pytest.approx(-0.13783779354766978, abs=1e-10)
        warp = math.log(6.0) - math.log(2)
        assert bridge_iteration(l1 + warp, l2 + warp, effective=37.5).log_z == pytest.approx(
            0.96077449512043978, abs=1e-10
        )
        far = bridge_iteration(l1 + 2.5, l2 - 2.5)
        assert far.log_z == pytest.approx(0.11265832742912041, abs=1e-9)
        assert far.iterations == pytest.approx(136, abs=2)

    def test_it_solves_the_equation_of_the_optimal_bridge(self):
        l1, l2 = normals(40, seed=1) + 1, normals(30, seed=2) - 1
        r = math.exp(bridge_iteration(l1, l2, effective=20.0).log_z)
        s1, s2 = 20 / 50, 30 / 50
        numerator = (l2.exp() / (s1 * l2.exp() + s2 * r)).mean()
        denominator = (1 / (s1 * l1.exp() + s2 * r)).mean()
        assert float(numerator / denominator) == pytest.approx(r, rel=1e-9)

    @pytest.mark.parametrize("shift", [-2000.0, 1e5])
    def test_shifts_pass_through(self, shift):
        here, there = bridge_iteration(L1, L2), bridge_iteration(L1 + shift, L2 + shift)
        assert there.log_z - shift == pytest.approx(here.log_z, abs=1e-10)
        assert bridge_error(there) == pytest.approx(bridge_error(here), rel=1e-9)

    @pytest.mark.parametrize("gap", [50.0, 2000.0])
    def test_a_restart_where_nothing_overlaps(self, gap):
        found = bridge_iteration(L1 + gap, L2 - gap)
        assert found.restarted
        assert found.converged
        expected = (torch.logsumexp(L2, 0) - torch.logsumexp(-L1, 0)).item() / 2
        assert found.log_z == pytest.approx(expected, abs=1e-6)

    def test_a_cap_that_is_met_twice_is_reported(self):
        found = bridge_iteration(L1 + 2.5, L2 - 2.4, cap=1)
        assert not found.converged
        assert found.iterations == 2

    def test_an_added_instead_of_a_subtracted_denominator_is_caught(self):
        """The recursion of a known peer, which adds the logarithm of the mixture to `l2`."""

        def twin(l1, l2):
            log_r = 0.0
            for _ in range(200):
                mixture = lambda x, r=log_r: torch.logaddexp(x, torch.full_like(x, r)) - math.log(2)  # noqa: E731
                log_r = float(torch.logsumexp(l2 + mixture(l2), 0) - torch.logsumexp(-mixture(l1), 0))
            return log_r

        log_g = Normal(real(0.0), 1.0)
        x, proposed = torch.from_numpy(student.ppf(ndtr(normals(4000).numpy()), 5)), normals(4000, seed=1)
        l1, l2 = (StudentT(real(5.0)).log_prob(each) - log_g.log_prob(each) for each in (x, proposed))
        found = bridge_iteration(l1, l2)
        assert abs(found.log_z) < Z_LIMIT * bridge_error(found)
        assert not abs(twin(l1, l2)) < Z_LIMIT * bridge_error(found)

    @pytest.mark.parametrize(
        ("l1", "l2", "message"),
        [
            (L1[:0], L2, "log_ratio_posterior must be a vector"),
            (L1, L2[:, None], r"log_ratio_proposal must be a vector of real numbers, got \(4, 1\)"),
            (L1, L2 + math.nan, "log_ratio_proposal holds NaN"),
            (L1 - math.inf, L2, "log_ratio_posterior holds -inf"),
            (L1, L2 - math.inf, "log_ratio_proposal is -inf everywhere"),
        ],
    )
    def test_bad_input(self, l1, l2, message):
        with pytest.raises(ValueError, match=message):
            bridge_iteration(l1, l2)


class TestExact:
    @pytest.mark.parametrize("proposal", PROPOSALS)
    def test_gaussian(self, proposal):
        found = bridge(normals(4000, 2), lambda x: -(x**2).sum(-1) / 2, proposal=proposal)
        assert found.method == METHODS[proposal]
        assert abs(z_score(found, math.log(2 * math.pi))) < Z_LIMIT
        assert found.std_error < 2e-3
        assert found.warnings == ()

    @pytest.mark.parametrize("proposal", PROPOSALS)
    @pytest.mark.parametrize("dim", [2, 8, 20])
    def test_skewed_and_heavy_tailed(self, dim, proposal):
        z = normals(4000, dim, seed=dim)
        for x, density in (
            (log_gamma_draws(z), log_gamma),
            (torch.from_numpy(student.ppf(ndtr(z.numpy()), 5)), student_t),
        ):
            found = bridge(x, density, proposal=proposal)
            assert abs(z_score(found, 0.0)) < Z_LIMIT
            assert found.std_error < 0.05
            assert found.warnings == ()

    @pytest.mark.parametrize("proposal", PROPOSALS)
    @pytest.mark.parametrize("dim", [1, 2, 10])
    def test_two_modes_on_both_sides_of_the_mean(self, dim, proposal):
        side = torch.where(normals(4000, 1, seed=1) > 0, 5.0, -5.0)
        found = bridge(normals(4000, dim) + side, bimodal, proposal=proposal)
        assert abs(z_score(found, 0.0)) < Z_LIMIT

    def test_the_mirror_halves_the_error_of_a_skewed_target(self):
        x = log_gamma_draws(normals(4000, 4))
        normal, warp = (bridge(x, log_gamma, proposal=each).std_error for each in PROPOSALS)
        assert warp < 0.65 * normal

    @pytest.mark.parametrize("proposal", PROPOSALS)
    def test_beta_binomial(self, proposal):
        target = Target(lambda p: Binomial(10, p).log_prob(torch.tensor(2.0)), Beta(*torch.ones(2, dtype=DOUBLE)))
        with torch.random.fork_rng():
            torch.manual_seed(0)
            draws = Beta(real(3.0), real(9.0)).sample((5000,))[:, 0]
        found = bridge(draws, target, proposal=proposal)
        assert abs(z_score(found, -math.log(11))) < Z_LIMIT
        assert found.std_error < 0.01

    def test_a_dirichlet_integrates_to_one_through_its_jacobian(self):
        prior = Dirichlet(real(2.0, 3.0, 4.0))
        target = Target(lambda p: p.new_zeros(len(p)), prior)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            draws = prior.sample((4000,))
        assert abs(z_score(bridge(draws, target), 0.0)) < Z_LIMIT
        without = bridge(target.unconstrain(draws), lambda u: prior.log_prob(target.constrain(u)))
        assert abs(without.log_z) > 1

    def test_a_constant_likelihood_under_a_gaussian_prior(self):
        target = Target(lambda x: x.new_zeros(len(x)), Normal(torch.zeros(3, dtype=DOUBLE), 2.0))
        found = bridge(2 * normals(4000, 3), target)
        assert abs(found.log_z) < 1e-2
        assert abs(z_score(found, 0.0)) < Z_LIMIT

    def test_a_proposal_that_is_the_posterior_leaves_no_error(self):
        found = bridge_from_ratios(torch.full((100,), 3.0, dtype=DOUBLE), torch.full((100,), 3.0, dtype=DOUBLE))
        assert found.log_z == pytest.approx(3.0, abs=1e-12)
        assert found.std_error == 0

    def test_many_dimensions(self):
        x = normals(200, 20, 200).cumsum(-1)
        log_det_free = lambda x: -0.5 * x.diff(dim=-1, prepend=torch.zeros(len(x), 1)).square().sum(-1)  # noqa: E731
        found = bridge(x, log_det_free)
        assert abs(z_score(found, 100 * math.log(2 * math.pi))) < Z_LIMIT
        assert found.std_error < 0.2

    def test_the_same_mean_over_proposals_as_r(self):
        """bridgesampling 1.1-2 on the same 2000 draws, mean and error over 400 sets of proposals; ours over 60."""
        u = torch.rand(2000, 2, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
        x = torch.from_numpy(np.log(gammaincinv(2.0, u.numpy())))
        for proposal, mean, spread in (("normal", 0.00444508, 0.00691801), ("warp3", 0.00226967, 0.00297764)):
            ours = [bridge(x, log_gamma, proposal=proposal, seed=seed).log_z for seed in range(60)]
            assert np.std(ours, ddof=1) == pytest.approx(spread, rel=0.3)
            assert abs(np.mean(ours) - mean) < Z_LIMIT * spread * math.sqrt(1 / 400 + 1 / 60)


def copied_error(found, effective):
    """The formula that is widely copied: the spectrum at zero, a variance, times the variance of the denominators."""
    numerator = (found.log_numerator - found.log_numerator.max()).exp()
    denominator = 2 * found.log_denominator.exp()  # of a normalised posterior, with equal shares
    n = len(denominator)
    spectrum = denominator.var() * n / effective
    squared = numerator.var() / numerator.mean() ** 2 + spectrum * denominator.var() / denominator.mean() ** 2
    return math.sqrt(float(squared) / n)


class TestCoverage:
    """The error bars of 200 replications on a skewed target; 92 to 98 of 100 is nominal, 90 the test's limit."""

    def replications(self, rho, *, S=1500, count=200):
        x = log_gamma_draws(autoregressive(rho, S, 2, count, 2))
        return [bridge(x[:, :, i], log_gamma, seed=i) for i in range(count)]

    @pytest.mark.parametrize("rho", [0.0, 0.9])
    def test_intervals_cover(self, rho):
        found = self.replications(rho)
        scores = np.array([z_score(each, 0.0) for each in found])
        ratios = np.exp([each.log_z for each in found])
        assert 0.90 <= np.mean(abs(scores) < 1.96) <= 0.99
        assert abs(ratios.mean() - 1) < Z_LIMIT * ratios.std(ddof=1) / math.sqrt(len(found))
        assert np.mean([each.std_error for each in found]) == pytest.approx(ratios.std(ddof=1), rel=0.2)

    def test_the_copied_formula_does_not_cover(self):
        count, covered = 150, []
        x = log_gamma_draws(autoregressive(0.9, 1600, count, 2, seed=3))
        proposal = MultivariateNormal(x[:100].flatten(0, 1).mean(0), torch.cov(x[:100].flatten(0, 1).T))
        noise = normals(count, 1500, 2, seed=4) @ proposal.scale_tril.T + proposal.mean
        for i in range(count):
            l1, l2 = (log_gamma(each) - proposal.log_prob(each) for each in (x[100:, i], noise[i]))
            ours = bridge_from_ratios(l1, l2)
            found = bridge_iteration(l1, l2)
            copied = copied_error(found, ours.diagnostics["effective_sample_size"])
            covered.append((abs(ours.log_z) < 1.96 * ours.std_error, abs(found.log_z) < 1.96 * copied))
        ours, copied = np.mean(covered, axis=0)
        assert 0.90 <= ours <= 0.99
        assert copied < 0.88

    def test_a_fit_to_the_very_draws_that_are_bridged_to_is_biased_low(self):
        def twin(x, density, seed):
            g = MultivariateNormal(x.mean(0), torch.cov(x.T))
            proposed = normals(len(x), x.shape[1], seed=10_000 + seed) @ g.scale_tril.T + g.mean
            return bridge_iteration(density(x) - g.log_prob(x), density(proposed) - g.log_prob(proposed)).log_z

        def score(log_z):
            return (np.mean(log_z) - 0.0) / (np.std(log_z, ddof=1) / math.sqrt(len(log_z)))

        gaussian = lambda x: Normal(real(0.0), 1.0).log_prob(x).sum(-1)  # noqa: E731
        x = normals(100, 80, 8)
        apart = [bridge(each, gaussian, seed=i).log_z for i, each in enumerate(x)]
        together = [twin(each, gaussian, i) for i, each in enumerate(x)]
        assert abs(score(np.exp(apart) - 1)) < Z_LIMIT
        assert score(np.exp(together) - 1) < -8


class TestDiagnostics:
    def test_a_funnel_is_flagged_where_its_error_fails(self):
        for proposal in PROPOSALS:
            found = bridge(funnel_draws(2000, 30), funnel, proposal=proposal)
            assert found.diagnostics["pareto_k"] > found.diagnostics["pareto_k_limit"]
            assert "Pareto k-hat" in found.warnings[0]

    def test_a_funnel_of_few_dimensions_is_still_right(self):
        found = bridge(funnel_draws(4000, 3), funnel)
        assert abs(z_score(found, 0.0)) < Z_LIMIT
        assert found.warnings == ()

    def test_a_large_k_does_no_harm_where_the_overlap_bounds_every_term(self):
        found = bridge(log_gamma_draws(normals(4000, 2, seed=2)), log_gamma, proposal="warp3")
        assert found.diagnostics["pareto_k"] > found.diagnostics["pareto_k_limit"]
        assert found.diagnostics["overlap"] > 0.9
        assert found.warnings == ()

    def test_the_overlap_of_two_gaussians(self):
        """Against the integral of p g / ((p + g) / 2), by quadrature."""
        here, there = Normal(real(0.0), 1.0), Normal(real(1.0), 1.5)
        grid = torch.linspace(-12, 12, 4001, dtype=DOUBLE)
        p, g = here.log_prob(grid).exp(), there.log_prob(grid).exp()
        exact = float(torch.trapezoid(2 * p * g / (p + g), grid))
        x, proposed = normals(20_000), 1.5 * normals(20_000, seed=1) + 1
        found = bridge_from_ratios(*(here.log_prob(each) - there.log_prob(each) for each in (x, proposed)))
        assert found.diagnostics["overlap"] == pytest.approx(exact, abs=0.02)

    def test_numbers_that_come_with_it(self):
        found = bridge(normals(1000, 2), lambda x: -(x**2).sum(-1), samples=300, share=0.4).diagnostics
        assert (found["draws"], found["proposals"]) == (600, 300)
        assert found["converged"]
        assert 400 < found["effective_sample_size"] < 900
        assert found["pareto_k"] == max(found["pareto_k_numerator"], found["pareto_k_denominator"])

    def test_draws_and_proposals_without_a_density_are_counted(self):
        x = normals(4000, 2)

        def holed(x):
            value = -(x**2).sum(-1) / 2
            value = torch.where(x[:, 0] > 2.5, math.nan, value)
            return torch.where(x[:, 1] > 2.5, -math.inf, value)

        found = bridge(x, holed)
        side = Normal(real(0.0), 1.0).cdf(real(2.5)).item()
        later = x[2000:]
        broken = int((later[:, 1].le(2.5) & later[:, 0].gt(2.5)).sum())
        assert found.diagnostics["nan_at_draws"] == broken > 0
        assert found.diagnostics["minus_inf_at_draws"] == int(later[:, 1].gt(2.5).sum())
        assert found.diagnostics["nan_at_proposals"] > 0
        assert abs(z_score(found, math.log(2 * math.pi) + 2 * math.log(side))) < Z_LIMIT
        assert "NaN or infinite at" in found.warnings[0]
        assert "cannot have come from this target" in found.warnings[1]

    def test_proposals_outside_the_support_are_no_fault(self):
        found = bridge(normals(8000, 1).abs(), lambda x: torch.where(x[:, 0] < 0, -math.inf, -(x[:, 0] ** 2) / 2))
        assert abs(z_score(found, math.log(math.pi / 2) / 2)) < Z_LIMIT
        assert found.diagnostics["minus_inf_at_proposals"] > 100
        assert found.warnings == ()

    def test_few_effective_draws_are_said(self):
        found = bridge(autoregressive(0.99, 1000, 1, 1), lambda x: -(x**2).sum(-1) / 2)
        assert any("independent draws" in each for each in found.warnings)


class TestDraws:
    def test_many_chains_are_dealt_out_and_few_are_cut_in_time(self):
        def log_z(x):
            return bridge(x, lambda x: -(x**2).sum(-1) / 2).log_z

        x = normals(100, 40, 2)
        assert log_z(x.flip(0)) == pytest.approx(log_z(x), abs=1e-4)
        assert log_z(x.roll(20, 1)) != pytest.approx(log_z(x), abs=1e-4)
        few = x[:, :4]
        assert log_z(few.flip(0)) != pytest.approx(log_z(few), abs=1e-4)
        assert log_z(few.flip(1)) == pytest.approx(log_z(few), abs=1e-4)

    def test_one_draw_of_each_of_many_chains(self):
        found = bridge(normals(1, 4000, 2), lambda x: -(x**2).sum(-1) / 2)
        assert abs(z_score(found, math.log(2 * math.pi))) < Z_LIMIT
        assert found.diagnostics["effective_sample_size"] == pytest.approx(2000)

    def test_log_densities_that_come_with_draws_are_not_computed_again(self):
        calls = []

        def log_likelihood(x):
            calls.append(len(x))
            return -(x**2).sum(-1)

        target = Target(log_likelihood, Normal(torch.zeros(2, dtype=DOUBLE), 1.0))
        points = normals(1000, 4, 2) / math.sqrt(3)
        terms = target.log_terms(points.flatten(0, 1)).reshape(2, 1000, 4)
        calls.clear()
        found = bridge(Draws(points, *terms), target)
        assert sum(calls) == 2000 + 4
        assert abs(z_score(found, -math.log(3))) < Z_LIMIT
        assert bridge(points, target.log_joint).log_z == pytest.approx(found.log_z, abs=1e-12)

    def test_the_seed_decides(self):
        x, density = normals(400, 2), lambda x: -(x**2).sum(-1)
        assert bridge(x, density, seed=1) == bridge(x, density, seed=1)
        assert bridge(x, density, seed=1).log_z != bridge(x, density, seed=2).log_z

    def test_proposals_are_no_copy_of_draws_made_with_the_same_seed(self):
        def score(i):
            return z_score(
                bridge(normals(1000, 2, seed=i), lambda x: -(x**2).sum(-1) / 2, seed=i), math.log(2 * math.pi)
            )

        scores = [score(i) for i in range(40)]
        assert np.mean(np.square(scores)) < 2

    @pytest.mark.parametrize(
        ("draws", "options", "message"),
        [
            (normals(1, 2), {}, "one draw cannot be cut"),
            (normals(6, 4), {}, "3 draws cannot give a Gaussian in 4 dimensions"),
            (normals(50, 1).repeat(1, 2), {}, "singular: coordinate 1 is a linear function"),
            (torch.ones(50, 2, dtype=DOUBLE), {}, "singular: coordinate 0 never moves"),
            (normals(50, 2) + real(0.0, math.nan), {}, "the draws are not finite; first at"),
            (normals(50), {}, r"got \(50,\) of torch.float64"),
            (normals(50, 2).long(), {}, "torch.int64"),
            (normals(50, 2), {"proposal": "warp"}, "proposal must be one of normal, warp3"),
            (normals(50, 2), {"share": 1.0}, "share is the part"),
            (normals(50, 2), {"samples": 1}, "samples must be at least 2"),
            (normals(50, 2), {"seed": -1}, "a seed is an integer"),
        ],
    )
    def test_bad_input(self, draws, options, message):
        with pytest.raises(ValueError, match=message):
            bridge(draws, lambda x: -(x**2).sum(-1), **options)

    def test_a_density_that_is_nowhere(self):
        with pytest.raises(ValueError, match="fewer than two posterior draws have a finite log-density, of 25"):
            bridge(normals(50, 2), lambda x: x[:, 0] * math.nan)
        with pytest.raises(ValueError, match=r"returned \(25, 2\) for points \(25, 2\); expected \(25,\)"):
            bridge(normals(50, 2), lambda x: x)
        with pytest.raises(ValueError, match="log-ratios have shapes"):
            bridge_from_ratios(normals(3, 3, 3), normals(3))
