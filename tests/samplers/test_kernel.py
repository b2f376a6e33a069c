"""A transition of many chains: reversible, exact on average, and unmoved by what is not finite."""

import math

import pytest
import torch
from torch.testing import assert_close

from jensen._random import seeded_generator
from jensen.samplers import kernel
from jensen.samplers.kernel import hmc, log_density, start

ONE = torch.ones(1, 1).double()
COVARIANCE = torch.tensor([[1.0, 0.6], [0.6, 2.0]]).double()
PRECISION = COVARIANCE.inverse()
SCALES = {"diagonal": torch.tensor([[0.7, 1.3]]).double(), "dense": torch.linalg.cholesky(COVARIANCE)[None]}


def normal(x):
    return -((x @ PRECISION) * x).sum(-1).unsqueeze(0) / 2


def quartic(x):
    return -(x**4).sum(-1).unsqueeze(0) / 4


def settings(step_size=0.4, steps=5, scale=None, seed=0):
    scale = SCALES["diagonal"] if scale is None else scale
    sizes = torch.full((len(scale),), step_size).double()
    return {"step_size": sizes, "steps": steps, "scale": scale, "generator": seeded_generator(seed)}


def exact_draws(count, seed=1):
    noise = torch.randn(1, count, 2, generator=seeded_generator(seed)).double()
    return noise @ torch.linalg.cholesky(COVARIANCE).mT


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_a_trajectory_run_back_comes_to_where_it_began(scale, monkeypatch):
    points = exact_draws(50)
    there = hmc(start(normal, points, ONE), normal, ONE, **settings(scale=scale))[1]
    factor = scale.diag_embed() if scale.ndim == 2 else scale
    p = torch.linalg.solve_triangular(factor, there.velocity.mT, upper=False).mT
    monkeypatch.setattr(torch, "randn", lambda *_, **__: -p)
    back = hmc(start(normal, there.proposal, ONE), normal, ONE, **settings(scale=scale))[1]
    assert_close(back.proposal, points, atol=1e-12, rtol=0)


def test_the_energy_error_falls_with_the_square_of_the_step():
    def error(steps):
        chains = start(quartic, exact_draws(400), ONE)
        moves = hmc(chains, quartic, ONE, **settings(0.8 / steps, steps))[1]
        return float(moves.acceptance.log().abs().max())

    ratios = [error(steps) / error(2 * steps) for steps in (32, 64)]
    assert all(3.7 < ratio < 4.3 for ratio in ratios)


def drift_of_moments(transition, n=100_000, target=normal, points=None):
    """The largest |z| of the second moments' change from exact draws in three transitions."""
    points = exact_draws(n) if points is None else points
    chains, given = start(target, points, ONE), settings(0.9, 3)
    for _ in range(3):
        chains = transition(chains, target, ONE, **given)
    products = [(each.unsqueeze(-1) * each.unsqueeze(-2)).flatten(-2) for each in (chains.points[0], points[0])]
    change = products[0] - products[1]
    return float((change.mean(0) / change.std(0) * math.sqrt(n)).abs().max())


def honest(*args, **given):
    return hmc(*args, **given)[0]


def without_metropolis(chains, terms, weights, **given):
    return start(terms, hmc(chains, terms, weights, **given)[1].proposal, weights)


def with_the_sign_of_the_energy_wrong(chains, terms, weights, **given):
    moves = hmc(chains, terms, weights, **given)[1]
    new = start(terms, moves.proposal, weights)
    log_ratio = log_density(chains.terms, weights) - log_density(new.terms, weights)
    u = torch.rand(log_ratio.shape, generator=given["generator"]).double()
    keep = (u.log() < log_ratio).unsqueeze(-1)
    return start(terms, torch.where(keep, new.points, chains.points), weights)


def test_exact_draws_stay_exact():
    assert drift_of_moments(honest) < 4.56


@pytest.mark.parametrize("twin", [without_metropolis, with_the_sign_of_the_energy_wrong])
def test_a_wrong_transition_is_caught(twin):
    assert drift_of_moments(twin) > 10


def quartic_draws(count):
    """x^4 / 4 is a Gamma(1/4): exact draws."""
    g = torch.distributions.Gamma(torch.tensor(0.25).double(), 1.0)
    with torch.random.fork_rng():
        torch.manual_seed(4)
        size = (4 * g.sample((count, 2))) ** 0.25
        return (size * torch.sign(torch.randn(count, 2).double())).unsqueeze(0)


def test_exact_draws_of_a_quartic_stay_exact_with_a_false_gradient():
    """Any force keeps the draws exact, as Metropolis corrects it: here one that is NaN on half the plane."""

    def holey(x):
        return quartic(x) + 0 * torch.where(x[:, 0] > 0, x[:, 0].sqrt(), 0.0)

    points = quartic_draws(60_000)
    chains = start(holey, points, ONE)
    assert torch.equal(chains.gradient[..., 0] != 0, points[..., 0] > 0)
    assert drift_of_moments(honest, 60_000, holey, points) < 4.56
    moves = hmc(chains, holey, ONE, **settings(0.9, 3))[1]
    assert moves.divergent.float().mean() > 0.5
    assert moves.accepted[moves.divergent].float().mean() > 0.1


def test_groups_are_independent_runs_of_their_own_density():
    def terms(x):
        return torch.cat([normal(x), -(x - 1).square().sum(-1).unsqueeze(0) / 2])

    weights = torch.tensor([[0.0, 0.5, 1.0], [1.0, 1.0, 1.0]]).double()
    centre = torch.stack([(w * PRECISION + torch.eye(2)).inverse() @ torch.ones(2).double() for w in weights[0]])
    factor = torch.stack([torch.linalg.cholesky((w * PRECISION + torch.eye(2)).inverse()) for w in weights[0]])
    noise = torch.randn(3, 40_000, 2, generator=seeded_generator(2)).double()
    points = centre.unsqueeze(1) + noise @ factor.mT
    chains = start(terms, points, weights)
    moved, moves = hmc(chains, terms, weights, **settings(0.5, 4, factor))
    change = moved.points - points
    assert float((change.mean(1) / change.std(1) * 200).abs().max()) < 4.56
    assert_close(moved.gradient, start(terms, moved.points, weights).gradient)
    assert_close(moved.terms, start(terms, moved.points, weights).terms)
    assert bool((moves.acceptance.mean(-1) > 0.8).all())
    wrong = hmc(chains, terms, weights.flip(1), **settings(0.5, 4, factor))[0].points - points
    assert float((wrong.mean(1) / wrong.std(1) * 200).abs().max()) > 10


def test_a_place_that_is_not_finite_is_never_passed_on():
    def steep(x):
        if not bool(x.isfinite().all()):
            raise RuntimeError("not finite")
        return -(x**4).sum(-1).unsqueeze(0)

    points = exact_draws(200) * 1e3
    moved, moves = hmc(start(steep, points, ONE), steep, ONE, **settings(1.0, 60))
    assert bool(moves.divergent.all())
    assert not moves.accepted.any()
    assert torch.equal(moved.points, points)
    assert bool(moves.proposal.isfinite().all() & moves.velocity.isfinite().all())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_density_that_is_not_finite_is_rejected(value):
    def holey(x):
        return torch.where(x[:, 0].abs() < 1, normal(x), value)

    points = torch.zeros(1, 500, 2).double()
    moved, moves = hmc(start(holey, points, ONE), holey, ONE, **settings(1.0, 3))
    outside = moves.proposal[..., 0].abs() >= 1
    assert outside.any()
    assert not moves.accepted[outside].any()
    assert bool((moved.points[..., 0].abs() < 1).all())
    assert torch.equal(moves.not_finite, outside & (value != -math.inf))
    assert torch.equal(moves.outside, outside)
    outward = start(holey, points + 3, ONE)
    assert bool((outward.terms == -math.inf).all())


def test_a_term_of_weight_zero_may_be_infinite():
    weights = torch.tensor([[0.0], [1.0]])
    for value in (math.inf, math.nan, -math.inf):
        assert log_density(torch.tensor([[[value]], [[2.0]]]), weights) == 2
    assert log_density(torch.tensor([[[-math.inf]], [[2.0]]]), torch.ones(2, 1)) == -math.inf


def test_a_chain_where_the_density_is_zero_may_leave():
    def box(x):
        return torch.where(x[:, 0].abs() < 1, 0 * x[:, 0], -math.inf).unsqueeze(0)

    moves = hmc(start(box, torch.full((1, 100, 2), 1.5).double(), ONE), box, ONE, **settings(1.0, 1))[1]
    inside = moves.proposal[..., 0].abs() < 1
    assert inside.any()
    assert torch.equal(moves.accepted, inside)


def test_a_constant_density_has_no_gradient():
    def constant(x):
        return torch.zeros(1, len(x)).double()

    moved, moves = hmc(start(constant, exact_draws(10), ONE), constant, ONE, **settings())
    assert bool(moves.accepted.all())
    assert not moved.gradient.any()


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    hmc(start(normal, exact_draws(10), ONE), normal, ONE, **settings())
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "at least one leapfrog step"),
        ({"step_size": torch.ones(2)}, r"step_size \(2,\)"),
        ({"scale": torch.ones(2)}, r"scale \(2,\)"),
    ],
)
def test_settings_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        hmc(start(normal, exact_draws(3), ONE), normal, ONE, **settings() | changes)


def test_starts_that_do_not_fit():
    with pytest.raises(ValueError, match=r"give \(G, C, d\) and \(J, G\)"):
        start(normal, torch.zeros(3, 2).double(), ONE)
    with pytest.raises(ValueError, match="not finite"):
        start(normal, torch.full((1, 3, 2), math.nan).double(), ONE)
    with pytest.raises(ValueError, match=r"terms returned \(3,\)"):
        start(lambda x: normal(x)[0], torch.zeros(1, 3, 2).double(), ONE)


def test_the_limit_of_divergence():
    assert kernel.DIVERGENCE == 1000
