import math

import pytest
import scipy.stats
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.distributions import Independent, Normal, kl_divergence
from torch.testing import assert_close

from jensen.distributions import DiagonalNormal

SHAPES = [
    ((3,), ()),
    ((3,), (5,)),
    ((5, 3), ()),
    ((5, 3), (1,)),
    ((1, 3), (5,)),
    ((5, 3), (4, 5)),
    ((4, 1, 3), (2, 1, 5)),
]


@pytest.fixture
def parameters(draw):
    """Mean and log-scale of the given shape."""
    return lambda *shape: (draw(*shape), 0.5 * draw(*shape))


def torch_twin(q):
    return Independent(Normal(q.loc, q.log_scale.exp()), 1)


@pytest.mark.parametrize(("shape", "value_batch"), SHAPES)
def test_log_density_is_that_of_torch_and_scipy(parameters, draw, shape, value_batch):
    q, z = DiagonalNormal(*parameters(*shape)), draw(*value_batch, 3)
    assert_close(q.log_prob(z), torch_twin(q).log_prob(z), atol=1e-12, rtol=0)
    scipys = scipy.stats.norm.logpdf(z.numpy(), q.mean.numpy(), q.stddev.numpy()).sum(-1)
    assert_close(q.log_prob(z), torch.as_tensor(scipys), atol=1e-12, rtol=0)


@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 5, 3)])
def test_moments_and_entropy_are_those_of_torch(parameters, shape):
    q = DiagonalNormal(*parameters(*shape))
    for name in ("batch_shape", "event_shape", "mean", "mode", "stddev", "variance"):
        assert_close(getattr(q, name), getattr(torch_twin(q), name))
    assert_close(q.entropy(), torch_twin(q).entropy(), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("left", "right"), [((3,), (3,)), ((5, 3), (3,)), ((3,), (5, 3)), ((2, 1, 3), (5, 3))])
def test_divergence_is_registered_and_that_of_torch(parameters, left, right):
    p, q = DiagonalNormal(*parameters(*left)), DiagonalNormal(*parameters(*right))
    expected = kl_divergence(torch_twin(p), torch_twin(q))
    assert_close(kl_divergence(p, q), expected, atol=1e-12, rtol=0)
    assert_close(p.kl_per_unit(q).sum(-1), expected, atol=1e-12, rtol=0)


def test_divergence_of_neighbours_keeps_its_digits():
    p, q = (DiagonalNormal(torch.zeros(1), torch.tensor([s])) for s in (1e-4, 0.0))
    assert_close(p.kl_per_unit(q), torch.tensor([1e-8]), rtol=1e-3, atol=0)


@pytest.mark.parametrize(("mean", "log_scale"), [((4, 3), (3,)), ((3,), (4, 3)), ((4, 1), (3,)), ((1, 3), (4, 1))])
def test_parameters_broadcast(draw, mean, log_scale):
    q = DiagonalNormal(draw(*mean), draw(*log_scale))
    assert (q.batch_shape, q.event_shape) == ((4,), (3,))
    assert q.rsample().shape == q.stddev.shape == (4, 3)


def test_expanding_repeats_the_parameters_and_keeps_the_validation(parameters, draw):
    q, z = DiagonalNormal(*parameters(5, 3), validate_args=True), draw(2, 5, 3)
    expanded = q.expand((2, 5))
    assert expanded.batch_shape == (2, 5)
    assert_close(expanded.log_prob(z), q.log_prob(z))
    for copy in (expanded, q.detached()):
        with pytest.raises(ValueError, match="support"):
            copy.log_prob(z * math.nan)


def test_the_density_of_a_draw_is_known_from_its_noise_with_its_total_gradient(parameters):
    q = DiagonalNormal(*(parameter.requires_grad_() for parameter in parameters(5, 3)))
    noise = q.noise((4,)).requires_grad_()
    by_value, by_noise = q.log_prob(q.from_noise(noise)), q.log_prob_from_noise(noise)
    assert_close(by_noise, by_value, atol=1e-12, rtol=0)
    inputs = (q.loc, q.log_scale, noise)
    gradients = [torch.autograd.grad(f.sum(), inputs, materialize_grads=True) for f in (by_value, by_noise)]
    assert_close(*gradients, atol=1e-12, rtol=0)


def test_draws_are_reparameterised(parameters):
    def draw(mean, log_scale):
        torch.manual_seed(3)
        return DiagonalNormal(mean, log_scale).rsample((2,))

    def log_prob(mean, log_scale, z):
        return DiagonalNormal(mean, log_scale).log_prob(z)

    leaves = tuple(parameter.requires_grad_() for parameter in parameters(2, 3))
    assert gradcheck(draw, leaves)
    assert gradgradcheck(draw, leaves)
    assert gradcheck(log_prob, (*leaves, torch.zeros(2, 3).double().requires_grad_()))
    assert gradgradcheck(log_prob, (*leaves, torch.ones(2, 3).double().requires_grad_()))


def test_a_detached_copy_has_the_same_density_and_no_gradient(parameters, draw):
    q = DiagonalNormal(*(parameter.requires_grad_() for parameter in parameters(3)))
    z = draw(2, 3).requires_grad_()
    density = q.detached().log_prob(z)
    assert_close(density, q.log_prob(z))
    gradients = torch.autograd.grad(density.sum(), (q.loc, q.log_scale, z), allow_unused=True)
    assert gradients[:2] == (None, None)
    assert gradients[2] is not None


def test_a_plain_draw_has_no_gradient(parameters):
    q = DiagonalNormal(*(parameter.requires_grad_() for parameter in parameters(3)))
    assert not q.sample((2,)).requires_grad


def test_noise_follows_its_generator(parameters):
    q = DiagonalNormal(*parameters(2, 3))
    first, second = (q.noise((4,), generator=torch.Generator().manual_seed(5)) for _ in range(2))
    assert first.shape == (4, 2, 3)
    assert torch.equal(first, second)


@pytest.mark.parametrize(("log_scale_of_draws", "fits"), [(-0.4, True), (-0.38, False)])
def test_draws_fit_the_density(log_scale_of_draws, fits):
    """-2 log p + constant is chi-squared; the twin's scale is 2 % off."""
    torch.manual_seed(0)
    q = DiagonalNormal(torch.tensor([1.0, -2.0]).double(), torch.tensor(-0.4).double())
    n = 200_000
    z = DiagonalNormal(q.loc, torch.tensor(log_scale_of_draws).double()).sample((n,))
    squared = -2 * (q.log_prob(z) + q.entropy() - 1)
    assert (abs((squared.mean() - 2) / math.sqrt(4 / n)) < 4.56) == fits
    assert ((z.mean(0) - q.mean).abs() < 4.56 * q.stddev / math.sqrt(n)).all()


@pytest.mark.parametrize("log_scale", [-80.0, 80.0])
def test_extreme_scales_are_finite_in_single_precision(log_scale):
    q = DiagonalNormal(torch.zeros(2), torch.full((2,), log_scale))
    z = q.rsample()
    assert_close(q.log_prob(z), q.log_prob_from_noise(z * math.exp(-log_scale)), rtol=1e-5, atol=1e-4)
    assert_close(q.log_prob(q.loc).item(), -math.log(2 * math.pi) - 2 * log_scale, rtol=1e-6, atol=0)
    assert_close(q.entropy().item(), math.log(2 * math.pi) + 1 + 2 * log_scale, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("mean", "log_scale", "message"),
    [
        (torch.zeros(3), torch.zeros(2), r"\(3,\) and \(2,\) do not broadcast"),
        (torch.tensor(0.0), torch.tensor(0.0), "scalars"),
        (torch.tensor([math.nan]), torch.zeros(1), "parameter mean"),
        (torch.zeros(1), torch.tensor([math.nan]), "parameter log_scale"),
    ],
)
def test_bad_parameters_are_refused(mean, log_scale, message):
    with pytest.raises(ValueError, match=message):
        DiagonalNormal(mean, log_scale, validate_args=True)


def test_bad_values_are_refused_only_under_validation():
    value = torch.tensor([0.0, math.nan])
    with pytest.raises(ValueError, match="support"):
        DiagonalNormal(torch.zeros(2), torch.zeros(2), validate_args=True).log_prob(value)
    assert DiagonalNormal(torch.zeros(2), torch.zeros(2), validate_args=False).log_prob(value).isnan()
    assert DiagonalNormal(value, torch.zeros(2), validate_args=False).mean[1].isnan()


def test_noise_of_another_width_is_refused_even_if_it_would_broadcast():
    with pytest.raises(ValueError, match=r"\(5, 1\); expected \(\*sample, 3\)"):
        DiagonalNormal(torch.zeros(3), torch.zeros(3)).from_noise(torch.zeros(5, 1))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_it_is_a_function_of_its_parameters_to_functorch(parameters, draw):
    (mean, log_scale), z = parameters(4, 3), draw(4, 3)

    def log_prob(m, s, v):
        return DiagonalNormal(m, s, validate_args=False).log_prob(v)

    assert_close(torch.vmap(log_prob)(mean, log_scale, z), log_prob(mean, log_scale, z))
    hessian = torch.func.hessian(log_prob)(mean[0], log_scale[0], z[0])
    assert_close(hessian, torch.diag(-(-2 * log_scale[0]).exp()), atol=1e-12, rtol=0)
