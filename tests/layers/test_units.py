"""Discrete heads: products of bits or one-hot rows, by the shape of an event."""

import pytest
import torch
from torch.distributions import Bernoulli, OneHotCategorical
from torch.testing import assert_close

from jensen.layers import DiscreteMLP, check_units, discrete


@pytest.mark.parametrize(("units", "family"), [((3,), Bernoulli), ((3, 4), OneHotCategorical)])
def test_a_head_returns_a_product_of_its_units_for_any_batch(units, family):
    q = DiscreteMLP(7, (5,), units)(torch.randn(4, 6, 7))
    assert type(q.base_dist) is family
    assert (q.batch_shape, q.event_shape) == ((4, 6), units)
    z = q.sample((2,))
    assert z.shape == (2, 4, 6, *units)
    assert set(z.unique().tolist()) == {0.0, 1.0}


def test_the_logits_are_the_networks_output_row_by_row():
    torch.manual_seed(0)
    head, x = DiscreteMLP(7, (5,), (3, 4)), torch.randn(2, 7)
    assert_close(head(x).mean, head.network(x).reshape(2, 3, 4).softmax(-1))
    bits = DiscreteMLP(7, (5,), (3,))
    assert_close(bits(x).mean, bits.network(x).sigmoid())


def test_log_probabilities_are_those_of_the_product():
    logits = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    z = torch.eye(4, dtype=torch.float64)[torch.tensor([[0, 3, 1], [2, 2, 0]])]
    assert_close(discrete(logits, units=(3, 4)).log_prob(z), (logits.log_softmax(-1) * z).sum((-1, -2)))


@pytest.mark.parametrize("scale", [1e4, 1e-4])
@pytest.mark.parametrize("units", [(3,), (3, 4)])
def test_entropy_and_its_gradient_are_finite_at_extreme_logits(units, scale):
    logits = (scale * torch.randn(units, generator=torch.Generator().manual_seed(2))).requires_grad_()
    q = discrete(logits, units=units)
    q.entropy().backward()
    assert q.entropy().isfinite()
    assert logits.grad.isfinite().all()


def test_log_probabilities_are_single_precision_under_autocast():
    layer, x = DiscreteMLP(70, (50,), (3, 4)), torch.randn(4, 70)
    with torch.autocast("cpu", torch.bfloat16):
        q = layer(x)
        assert q.log_prob(q.sample()).dtype == q.entropy().dtype == torch.float32


@pytest.mark.parametrize("units", [(), (0,), (3, 1), (3, 4, 5), (0, 2)])
def test_what_is_neither_bits_nor_rows_is_refused(units):
    with pytest.raises(ValueError, match=r"units must be \(N,\) for N bits or \(N, C\)"):
        check_units(units)
    with pytest.raises(ValueError, match="units must be"):
        DiscreteMLP(7, (), units)


def test_an_input_of_another_width_is_refused():
    with pytest.raises(ValueError, match=r"the input has shape \(2, 6\); this network expects \(\*batch, 7\)"):
        DiscreteMLP(7, (), (3,))(torch.zeros(2, 6))
