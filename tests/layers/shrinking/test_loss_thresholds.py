import math

import pytest
import torch
from torch import nn

from jensen.layers.shrinking import masked, thresholds_by_loss
from jensen.layers.variational import SparseDropout, compressible


def two_layers():
    """Ten inputs of which three matter, eight units of which two do, in float64."""
    generator = torch.Generator().manual_seed(0)
    plain = nn.Sequential(nn.Linear(10, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    net = compressible(plain)
    with torch.no_grad():
        for layer, matter in ((net[0], 3), (net[2], 2)):
            layer.layer.weight.copy_(torch.randn(layer.layer.weight.shape, generator=generator))
            layer.scales.mean.fill_(1e-4)
            layer.scales.mean[:matter] = 1.0
    x = torch.randn(200, 10, generator=generator, dtype=torch.float64)
    return net, x


def squared_error(net, x):
    with torch.no_grad():
        target = masked(net, thresholds={"0": 99.0, "2": 99.0})(x)
    return lambda plain: (plain(x) - target).square().mean().detach()


def kept(net, cuts):
    return [int((layer.group_log_alpha() < cuts[name]).sum()) for name, layer in (("0", net[0]), ("2", net[2]))]


def test_what_does_not_matter_goes_and_nothing_else():
    net, x = two_layers()
    cuts = thresholds_by_loss(net, squared_error(net, x), tolerance=1e-4)
    assert kept(net, cuts) == [3, 2]


def test_the_loss_grows_by_no_more_than_the_tolerance():
    net, x = two_layers()
    loss = squared_error(net, x)
    for tolerance in (0.0, 1e-9, 0.1, 1.0):
        cuts = thresholds_by_loss(net, loss, tolerance=tolerance)
        assert float(loss(masked(net, thresholds=cuts))) <= tolerance + 1e-12


def test_one_rate_less_would_cost_too_much():
    net, x = two_layers()
    loss = squared_error(net, x)
    cuts = thresholds_by_loss(net, loss, tolerance=1e-4)
    for name, layer in (("0", net[0]), ("2", net[2])):
        rates = layer.group_log_alpha().detach()
        below = rates[rates < cuts[name]].max()
        assert float(loss(masked(net, thresholds={**cuts, name: float(below) - 1e-9}))) > 1e-4


def test_single_weights_have_rates_too():
    net = nn.Sequential(SparseDropout(nn.Linear(4, 1, bias=False)))
    with torch.no_grad():
        net[0].layer.weight.copy_(torch.tensor([[1.0, 1.0, 1e-3, 1e-3]]))
    cuts = thresholds_by_loss(net, lambda plain: (plain[0].weight.sum() - 2).abs(), tolerance=0.01)
    assert masked(net, thresholds=cuts)[0].weight.ne(0).tolist() == [[True, True, False, False]]


def test_equal_rates_cannot_be_told_apart():
    net = nn.Sequential(compressible(nn.Linear(4, 2)))
    with torch.no_grad():
        net[0].scales.mean.fill_(1.0)
        net[0].scales.log_variance.fill_(-3.0)
    assert thresholds_by_loss(net, lambda plain: 0.0) == {"0": math.inf}


def test_bad_input():
    net, _ = two_layers()
    with pytest.raises(ValueError, match="tolerance must not be negative"):
        thresholds_by_loss(net, lambda plain: 0.0, tolerance=-1.0)
    with pytest.raises(ValueError, match="before any cut is nan"):
        thresholds_by_loss(net, lambda plain: math.nan)
    with pytest.raises(ValueError, match="no layer with dropout rates"):
        thresholds_by_loss(nn.Linear(2, 1), lambda plain: 0.0)
