import math

import pytest
import torch
from torch.testing import assert_close

from jensen.distributions import DiagonalNormal, IndependentBernoulli, IndependentContinuousBernoulli
from jensen.layers import BernoulliMLP, ContinuousBernoulliMLP, GaussianMLP

HEADS = [GaussianMLP, BernoulliMLP, ContinuousBernoulliMLP]


@pytest.mark.parametrize(
    ("head", "family"),
    list(zip(HEADS, [DiagonalNormal, IndependentBernoulli, IndependentContinuousBernoulli], strict=True)),
)
def test_a_head_returns_a_distribution_of_its_family_for_any_batch(head, family):
    p = head(7, (5,), 3)(torch.zeros(4, 6, 7))
    assert type(p) is family
    assert (p.batch_shape, p.event_shape) == ((4, 6), (3,))


@pytest.mark.parametrize("head", HEADS)
def test_without_hidden_layers_it_is_linear(head):
    layer = head(2, (), 3).double()
    a, b = torch.randn(2, 2, dtype=torch.float64)

    def natural(x):
        p = layer(x)
        return p.loc if isinstance(p, DiagonalNormal) else p.logits

    assert_close(natural(a + b) + natural(0 * a), natural(a) + natural(b))


def test_the_scale_is_conditional_learned_or_fixed():
    x = torch.randn(4, 7)
    conditional = GaussianMLP(7, (5,), 3)
    assert conditional(x).stddev.std(0).min() > 0
    assert conditional.network[-1].out_features == 6

    learned = GaussianMLP(7, (5,), 3, scale="learned")
    assert (learned(x).stddev == 1).all()
    fixed = GaussianMLP(7, (5,), 3, scale=0.25)
    assert_close(fixed(x).stddev, torch.full((4, 3), 0.25))

    for layer, has_gradient in ((learned, True), (fixed, False)):
        layer(x).log_prob(torch.zeros(3)).sum().backward()
        assert (layer.log_scale.grad is not None) == has_gradient
        assert "log_scale" in layer.state_dict()


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf, "free"])
def test_another_scale_is_refused(scale):
    with pytest.raises(ValueError, match="give 'conditional', 'learned' or a positive number"):
        GaussianMLP(7, (5,), 3, scale=scale)


def test_a_bounded_mean_is_a_pixel():
    mean = GaussianMLP(7, (5,), 3, bounded_mean=True)(10 * torch.randn(50, 7)).mean
    assert ((mean > 0) & (mean < 1)).all()
    assert GaussianMLP(7, (5,), 3)(10 * torch.randn(50, 7)).mean.min() < 0


@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)])
@pytest.mark.parametrize("scale", ["conditional", "learned", 0.1])
def test_a_gaussian_starts_at_the_given_mean_and_unit_scale(hidden, scale):
    mean = torch.tensor([-1.0, 0.5, 3.0])
    p = GaussianMLP(7, hidden, 3, mean=mean, scale=scale)(torch.zeros(2, 7))
    assert torch.equal(p.mean, mean.expand(2, 3))
    assert_close(p.stddev, torch.full((2, 3), 0.1 if scale == 0.1 else 1.0))


@pytest.mark.parametrize("head", [BernoulliMLP, lambda *args, mean: GaussianMLP(*args, bounded_mean=True, mean=mean)])
def test_pixels_start_at_their_means_clipped_to_a_thousandth(head):
    p = head(7, (5,), 4, mean=torch.tensor([0.0, 0.3, 0.9995, 1.0]))(torch.zeros(7))
    assert_close(p.mean, torch.tensor([0.001, 0.3, 0.999, 0.999]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("head", [BernoulliMLP, GaussianMLP])
def test_a_mean_of_another_shape_is_refused(head):
    with pytest.raises(ValueError, match=r"shape \(2,\); expected \(3,\)"):
        head(7, (5,), 3, mean=torch.zeros(2))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("shape", [(4, 6), (6,), (4, 1), ()])
def test_an_input_of_another_width_is_refused(head, shape):
    with pytest.raises(ValueError, match=r"the input has shape \(.*\); this network expects \(\*batch, 7\)"):
        head(7, (5,), 3)(torch.zeros(shape))


@pytest.mark.parametrize("head", HEADS)
def test_log_densities_are_single_precision_under_autocast(head):
    torch.manual_seed(0)
    layer, x, value = head(70, (50,), 30), torch.randn(4, 70), torch.rand(30).round()
    plain = layer(x).log_prob(value)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = layer(x).log_prob(value)
        assert layer.network(x).dtype == torch.bfloat16
        assert layer(x).mean.dtype == layer(x).entropy().dtype == torch.float32
    assert plain.dtype == mixed.dtype == torch.float32
    assert_close(mixed, plain, rtol=0.05, atol=0)
    assert not torch.equal(mixed, plain)
    assert not torch.equal(mixed, mixed.bfloat16().float())


@pytest.mark.parametrize("head", HEADS)
def test_double_stays_double(head):
    layer = head(7, (5,), 3).double()
    assert layer(torch.zeros(7).double()).log_prob(torch.zeros(3).double()).dtype == torch.float64
