"""The control variate: REBAR's at the start, a function of draws and data after that."""

import pytest
import torch
from torch.testing import assert_close

from jensen.layers import ControlVariate


def cost(z):
    return z.flatten(2).square().sum(-1)


@pytest.mark.parametrize("units", [(3,), (3, 4)])
@pytest.mark.parametrize("hidden", [None, (), (5,)])
def test_it_starts_as_the_relaxed_cost(units, hidden):
    control = ControlVariate(units, inputs=6, hidden=hidden, tau=0.3)
    z, x = torch.rand(2, 7, *units), torch.rand(7, 6)
    assert_close(control(z, x=x, cost=cost), cost(z))
    assert_close(control.tau.item(), 0.3)
    assert (control.network is None) == (hidden is None)


def test_scale_network_and_datum_enter_as_written():
    torch.manual_seed(0)
    control = ControlVariate((3, 4), inputs=6, hidden=(5,))
    torch.nn.init.normal_(control.network[-1].weight)
    control.eta.data.fill_(0.7)
    z, x = torch.rand(2, 7, 3, 4), torch.rand(7, 6)
    rows = torch.cat([z.reshape(2, 7, 12), x.expand(2, 7, 6)], -1)
    assert_close(control(z, x=x, cost=cost), 0.7 * cost(z) + control.network(rows)[..., 0])
    assert not torch.allclose(control(z, x=x, cost=cost), control(z, x=1 - x, cost=cost))


def test_a_network_may_be_blind_to_the_datum():
    control = ControlVariate((3,), hidden=(5,))
    torch.nn.init.normal_(control.network[-1].weight)
    z = torch.rand(2, 7, 3)
    assert_close(control(z, x=torch.zeros(7, 6), cost=cost), control(z, x=torch.ones(7, 6), cost=cost))


@pytest.mark.parametrize("tau", [0.0, -1.0, float("inf"), float("nan")])
def test_a_temperature_must_be_positive(tau):
    with pytest.raises(ValueError, match="tau must be a positive number"):
        ControlVariate((3,), tau=tau)


def test_units_are_checked():
    with pytest.raises(ValueError, match="units must be"):
        ControlVariate((3, 1))
