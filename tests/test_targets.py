"""The map between a model's space and real coordinates, and what a target refuses."""

import math

import pytest
import torch
from torch.distributions import (
    AffineTransform,
    Beta,
    Binomial,
    Categorical,
    Cauchy,
    Dirichlet,
    Exponential,
    Gamma,
    Gumbel,
    HalfCauchy,
    HalfNormal,
    Independent,
    InverseGamma,
    Kumaraswamy,
    LKJCholesky,
    LogisticNormal,
    LogNormal,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    Pareto,
    Poisson,
    SigmoidTransform,
    StudentT,
    TransformedDistribution,
    Uniform,
    VonMises,
    Weibull,
)
from torch.testing import assert_close

from jensen._random import seeded_generator
from jensen._targets import Target
from jensen.evidence import bridge_from_ratios, log_evidence
from jensen.samplers import find_mode, fit_gaussian, hamiltonian, nested_sampling

ZERO, ONE = torch.zeros(()).double(), torch.ones(()).double()


def flat(*parameters, **named):
    first = next(iter([*parameters, *named.values()]))
    return torch.zeros(first.shape[0]).double()


PRIORS = {
    "real": Normal(torch.zeros(3).double(), 2.0),
    "positive": Exponential(torch.ones(2).double()),
    "interval": Uniform(-ONE, 3 * ONE),
    "simplex": Dirichlet(torch.ones(3).double()),
    "correlation": LKJCholesky(2, ONE),
    "named": {"scale": HalfNormal(ONE), "shift": lambda scale: Normal(0 * scale, scale)},
}


@pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)
def test_draws_survive_the_way_there_and_back(prior):
    target = Target(flat, prior)
    points = target.sample_prior(50, generator=seeded_generator(3))
    assert points.shape == (50, target.dim)
    assert_close(target.unconstrain(target.constrain(points)), points, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", ["positive", "interval", "real", "correlation"])
def test_the_prior_of_the_real_coordinates_integrates_to_one(name):
    prior = PRIORS[name]
    target = Target(flat, type(prior)(ONE, ONE * 3) if name == "interval" else prior)
    u = torch.linspace(-40, 40, 8001).double()
    points = torch.zeros(len(u), target.dim).double()
    points[:, 0] = u
    log_prior = target.log_terms(points)[1]
    rest = target.log_terms(points[:1] * 0)[1] * (target.dim - 1) / target.dim
    assert_close(torch.trapezoid((log_prior - rest).exp(), u), ONE, atol=1e-6, rtol=0)


def test_a_simplex_integrates_to_one():
    target = Target(flat, PRIORS["simplex"])
    axis = torch.linspace(-25, 25, 401).double()
    points = torch.cartesian_prod(axis, axis)
    step = float(axis[1] - axis[0])
    assert_close(target.log_terms(points)[1].exp().sum() * step**2, ONE, atol=1e-6, rtol=0)


def test_a_prior_without_its_jacobian_would_not():
    target = Target(flat, Exponential(ONE))
    u = torch.linspace(-40, 40, 8001).double()[:, None]
    without = target.log_terms(u)[1] - target.log_jacobian(u)
    assert torch.trapezoid(without.exp(), u[:, 0]) > 10


def test_named_parameters_reach_the_likelihood_by_name():
    prior = PRIORS["named"]
    target = Target(lambda shift, scale: Normal(shift, scale).log_prob(torch.tensor(2.0)), prior)
    points = target.unconstrain({"scale": torch.tensor([0.5]).double(), "shift": torch.tensor([1.0]).double()})
    log_likelihood, log_prior = target.log_terms(points)
    assert_close(log_likelihood, Normal(1.0, 0.5 * ONE).log_prob(2 * ONE)[None])
    expected = HalfNormal(ONE).log_prob(ONE / 2) + Normal(0.0, ONE / 2).log_prob(ONE) + math.log(0.5)
    assert_close(log_prior, expected[None])


def test_a_density_over_a_reference_is_the_density():
    target = Target.from_density(lambda x: -(x**2).sum(-1) / 2, Normal(torch.zeros(2).double(), 3.0))
    points = torch.randn(5, 2, generator=seeded_generator(0)).double()
    assert_close(target.log_joint(points), -(points**2).sum(-1) / 2)


def test_a_seeded_draw_leaves_the_global_generator_alone():
    target = Target(flat, PRIORS["real"])
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = target.sample_prior(4, generator=seeded_generator(1))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first, target.sample_prior(4, generator=seeded_generator(1)))


def test_positive_targets_are_known():
    assert Target(flat, PRIORS["positive"]).is_positive
    assert not Target(flat, PRIORS["interval"]).is_positive
    assert not Target(flat, PRIORS["named"]).is_positive


class DroppedConstant(Normal):
    def log_prob(self, value):
        return super().log_prob(value) + 1.0


class OwnCauchy(Cauchy):
    pass


class OwnHalfCauchy(HalfCauchy):
    pass


@pytest.mark.parametrize("prior", [OwnCauchy(ZERO, ONE), OwnHalfCauchy(torch.ones(5).double())])
def test_a_heavy_tail_counts_as_normalised(prior):
    Target(flat, prior)


@pytest.mark.parametrize(
    ("likelihood", "prior", "message"),
    [
        (flat, None, "normalised prior"),
        (flat, {}, "no parameter"),
        (flat, Poisson(ONE), "discrete"),
        (flat, Uniform(-ONE * math.inf, ONE * math.inf), "improper"),
        (flat, DroppedConstant(ZERO, ONE), r"integrates to about 2\.7"),
        (flat, {"a": HalfNormal(ONE), "b": lambda a: Uniform(0 * a, a)}, "support of b depends"),
        (flat, {"a": HalfNormal(ONE), "b": lambda c: Normal(c, 1.0)}, r"asks for \['c'\]"),
        (flat, {"a b": HalfNormal(ONE)}, "identifier"),
        (flat, {"a": lambda: 3}, "not a torch Distribution"),
        (lambda x: x.sum(), Normal(ZERO, ONE), "must take a batch"),
        (lambda x: 1 / 0, Normal(ZERO, ONE), r"ZeroDivisionError.*first at theta = "),
        (lambda x: Binomial(3, x.sigmoid()).log_prob(7 * ONE), Normal(ZERO, ONE), "every draw"),
        ("likelihood", Normal(ZERO, ONE), "must be a function"),
        (flat, VonMises(ZERO, ONE), "periodic"),
        (flat, Independent(VonMises(ZERO.expand(2), ONE), 1), "periodic"),
        (flat, TransformedDistribution(Exponential(ONE), [AffineTransform(2.0, 1.0)]), "narrower than torch says"),
        (flat, TransformedDistribution(Exponential(ONE), [AffineTransform(0.0, -1.0)]), "narrower than torch says"),
        (flat, TransformedDistribution(Poisson(ONE), [AffineTransform(0.0, 1.0)]), "discrete"),
        (flat, MixtureSameFamily(Categorical(ONE.expand(2)), Uniform(0.0, 1 + torch.arange(2.0))), "same bounds"),
        (flat, {"a": HalfNormal(ONE), "b": lambda a: Normal(a, 1 / 0)}, "prior of b raised ZeroDivisionError"),
        (flat, {"a": HalfNormal(ONE), "b": lambda a: Normal(a, -a)}, r"^the prior of b raised ValueError: .*$"),
        (flat, Normal(ZERO.half(), ONE.half()), "float16: too coarse"),
        (lambda s: Exponential(ONE).log_prob(0.5 - s), Exponential(ONE), r"outside Exponential.*Return -inf there"),
    ],
)
def test_what_has_no_evidence_is_refused(likelihood, prior, message):
    with pytest.raises(ValueError, match=message):
        Target(likelihood, prior)


def test_the_first_offending_point_is_named():
    def picky(x):
        if bool((x > 5).any()):
            raise RuntimeError("too large")
        return -x

    target = Target(picky, Normal(ZERO, ONE))
    with pytest.raises(ValueError, match=r"RuntimeError: too large; first at theta = 6\.0"):
        target.log_terms(torch.tensor([[1.0], [6.0], [7.0]]).double())


def test_pointwise_terms_must_sum_to_the_likelihood():
    def right(x):
        return torch.stack([x, 2 * x], -1)

    target = Target(lambda x: 3 * x, Normal(ZERO, ONE), pointwise=right)
    assert target.pointwise(torch.ones(2, 1).double()).shape == (2, 2)
    with pytest.raises(ValueError, match="differ by up to 1"):
        Target(lambda x: 4 * x, Normal(ZERO, ONE), pointwise=right).pointwise(torch.ones(2, 1).double())
    with pytest.raises(ValueError, match="no pointwise"):
        Target(lambda x: 4 * x, Normal(ZERO, ONE)).pointwise(torch.ones(2, 1).double())


@pytest.mark.parametrize(
    "values", [{"scale": torch.ones(2)}, {"scale": torch.ones(2), "shift": torch.ones(2), "more": torch.ones(2)}]
)
def test_other_names_are_refused(values):
    with pytest.raises(ValueError, match=r"the target's parameters are \['scale', 'shift'\]"):
        Target(flat, PRIORS["named"]).unconstrain(values)


def test_a_likelihood_may_use_validated_distributions_where_a_scale_underflows():
    target = Target(lambda s: Normal(0 * s, s).log_prob(ONE), HalfCauchy(ONE))
    assert target.log_terms(torch.tensor([[-800.0]]).double()).shape == (2, 1)
    assert Normal(ZERO, ONE)._validate_args


def mixture(component):
    return MixtureSameFamily(Categorical(torch.ones(3)), component)


def supported(dtype):
    one, few, pair = torch.ones((), dtype=dtype), torch.ones(3, dtype=dtype), torch.ones(3, 2, dtype=dtype)
    yield from (Beta(few / 2, few / 2), Beta(50 * few, few), Dirichlet(few / 2), Dirichlet(torch.ones(99, dtype=dtype)))
    yield from (Uniform(-few, 3 * few), Uniform(1000 * one, 1001 * one), Gamma(few / 3, few), LKJCholesky(8, one))
    yield from (MultivariateNormal(few, few.diag()), LogNormal(few, few), Pareto(few, few), Weibull(few, few / 2))
    yield from (Gumbel(few, few), Kumaraswamy(few / 2, 3 * few), StudentT(2 * few), LogisticNormal(few, few))
    yield from (InverseGamma(few, few), Independent(Uniform(-few, few), 1), HalfCauchy(few), HalfNormal(few))
    yield from (
        mixture(Normal(few, few)),
        mixture(Gamma(few, few)),
        mixture(Beta(few, few)),
        mixture(Uniform(-few, few)),
    )
    yield from (mixture(Dirichlet(pair)), mixture(Independent(Uniform(-pair, pair), 1)))
    yield TransformedDistribution(Uniform(0 * few, few), [SigmoidTransform().inv])
    yield TransformedDistribution(Normal(few, few), [AffineTransform(2.0, -3.0)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_prior_whose_support_is_right_passes(dtype):
    for prior in supported(dtype):
        target = Target(lambda x: torch.zeros(len(x), dtype=dtype), prior)
        assert target.dtype == dtype, prior
        assert target.is_differentiable


def test_a_mixture_of_uniforms_with_the_same_bounds_integrates_to_one():
    target = Target(flat, mixture(Uniform(-torch.ones(3).double(), 2.0)))
    u = torch.linspace(-40, 40, 8001).double()[:, None]
    assert_close(torch.trapezoid(target.log_terms(u)[1].exp(), u[:, 0]), ONE, atol=1e-6, rtol=0)


def test_a_value_outside_the_support_is_allowed_where_the_likelihood_is_zero():
    def cut(s):
        return torch.where(s < 0.5, Exponential(ONE).log_prob(0.5 - s), -math.inf)

    found = log_evidence(Target(cut, Exponential(ONE)), method="naive", samples=20_000)
    assert abs(found.log_z - math.log(0.5 * math.exp(-0.5))) < 5 * found.std_error
    Target(lambda top: Uniform(0 * top, top).log_prob(ONE), Exponential(ONE))


def test_parameters_outside_are_allowed_at_some_draws():
    target = Target(lambda x: Normal(ZERO, x).log_prob(ONE), Normal(ZERO, ONE))
    assert bool(target.log_terms(torch.tensor([[-1.0]]).double())[0].isnan())


@pytest.mark.parametrize("data", [torch.float32, torch.float64])
@pytest.mark.parametrize("prior", [torch.float32, torch.float64])
def test_the_wider_precision_of_prior_and_likelihood_is_used(prior, data):
    zero, y = torch.zeros(2, dtype=prior), torch.ones(2, dtype=data)
    target = Target(lambda x: Normal(x, 1.0).log_prob(y).sum(-1).to(data), Normal(zero, 1.0))
    points = target.sample_prior(3, generator=seeded_generator(0))
    assert points.dtype == target.log_terms(points).dtype == target.dtype == torch.promote_types(prior, data)
    if data == torch.float32:
        expected = Normal(zero, 1.0).log_prob(points.to(prior)).sum(-1)
        assert_close(target.log_terms(points)[1], expected, atol=0, rtol=0)


@pytest.mark.parametrize("method", ["nested", "bridge", "smc"])
@pytest.mark.parametrize(("prior", "data"), [(torch.float32, torch.float64), (torch.float64, torch.float32)])
def test_methods_take_mixed_precision(method, prior, data):
    y = torch.ones(2, dtype=data)
    target = Target(lambda x: Normal(x, 1.0).log_prob(y).sum(-1).to(data), Normal(torch.zeros(2, dtype=prior), 1.0))
    found = log_evidence(target, method=method)
    assert abs(found.log_z - 2 * float(Normal(ZERO, math.sqrt(2)).log_prob(ONE))) < 5 * found.std_error + 1e-6


def test_precisions_that_do_not_mix_are_named():
    prior, design = Normal(torch.zeros(2), 1.0), torch.ones(2, 5)
    with pytest.raises(ValueError, match=r"prior is in torch.float32 .* give both torch.float64"):
        Target(lambda x: (x @ design).sum(-1).double(), prior)


def in_numpy(x):
    return torch.from_numpy(-(x.numpy() ** 2))


@pytest.mark.parametrize(
    ("likelihood", "reason"),
    [(in_numpy, "requires grad"), (lambda x: -(x.detach() ** 2), "its result does not require grad")],
)
@pytest.mark.parametrize("sampler", [find_mode, fit_gaussian, hamiltonian])
def test_what_torch_cannot_differentiate_is_known_beforehand(likelihood, reason, sampler):
    target = Target(likelihood, Normal(ZERO, ONE))
    assert not target.is_differentiable
    with pytest.raises(ValueError, match=rf"no gradient in torch \(.*{reason}.*nested and naive need none"):
        sampler(target)
    assert math.isfinite(log_evidence(target, method="naive").log_z)
    assert nested_sampling(target, live=50)


@pytest.mark.parametrize(
    "likelihood", [flat, lambda x: -(x**2), lambda x: torch.where(x > 0, ZERO, -math.inf), lambda x: (0 * x + 1).log()]
)
def test_a_constant_likelihood_counts_as_differentiable(likelihood):
    assert Target(likelihood, Normal(ZERO, ONE)).is_differentiable


def test_a_bridge_in_single_precision_converges():
    target = Target(lambda x: Normal(x, 1.0).log_prob(torch.tensor(1.0)), Normal(0.0, 1.0))
    found = log_evidence(target, method="bridge")
    assert found.diagnostics["converged"]
    assert not found.diagnostics["restarted"]
    l1, l2 = torch.randn(2, 4000, generator=seeded_generator(0)) / 3
    assert not bridge_from_ratios(l1 + 5.3, l2 + 5.3).diagnostics["restarted"]
