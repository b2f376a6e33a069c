import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from jensen.layers.shrinking import prune_by_signal_to_noise, shrink, signal_to_noise, signal_to_noise_density
from jensen.layers.variational import Variational, bayesianize, sparsify


def bayesian():
    """Two layers whose ratios differ by a factor of ten."""
    torch.manual_seed(0)
    net = sparsify(nn.Sequential(nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 5)))
    with torch.no_grad():
        net[0].log_sigma2.fill_(math.log(0.1**2))
        net[2].log_sigma2.fill_(math.log(0.01**2))
    return net


def test_ratios():
    ratios = signal_to_noise(bayesian())
    assert_close(ratios["0"], bayesian()[0].layer.weight.abs() / 0.1)
    assert_close(ratios["2"], bayesian()[2].layer.weight.abs() / 0.01)


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.95, 1])
def test_the_lowest_of_all_layers_go(share):
    net = bayesian()
    plain = prune_by_signal_to_noise(net, share)
    kept = {name: plain[int(name)].weight != 0 for name in ("0", "2")}
    ratios = signal_to_noise(net)
    assert sum(int((~each).sum()) for each in kept.values()) == round(share * 700)
    if 0 < share < 1:
        lost = max(ratios[name][~kept[name]].max() for name in kept if not kept[name].all())
        assert lost <= min(ratios[name][kept[name]].min() for name in kept if kept[name].any())
    assert torch.equal(plain[0].bias, net[0].layer.bias)
    assert_close(shrink(plain)(torch.ones(2, 30)), plain(torch.ones(2, 30)), rtol=0, atol=1e-5)


def test_a_share_of_each_layer_is_something_else():
    """The plausible twin that ranks within layers keeps weights that carry less than some it removes."""
    ratios = signal_to_noise(bayesian())
    cuts = [each.flatten().quantile(0.5) for each in ratios.values()]
    assert max(cuts) > 5 * min(cuts)
    kept = prune_by_signal_to_noise(bayesian(), 0.5)
    shares = [float((kept[i].weight != 0).float().mean()) for i in (0, 2)]
    assert shares[0] < 0.5 < 0.9 < shares[1]


def test_the_density_is_one():
    net = bayesian()
    found = signal_to_noise_density(net, bins=50)
    width = float(found.decibels[1] - found.decibels[0])
    assert float(found.density.sum()) * width == pytest.approx(1)
    assert float(found.cumulative[-1]) == 1
    decibels = torch.cat([20 * each.flatten().log10() for each in signal_to_noise(net).values()])
    assert_close(found.cumulative[24], (decibels <= found.decibels[24] + width / 2).double().mean(), rtol=0, atol=2e-3)


def test_ratios_without_an_end():
    net = bayesian()
    with torch.no_grad():
        net[0].layer.weight[0] = 0
        net[0].log_sigma2[:2] = -torch.inf
    ratio = signal_to_noise(net)["0"]
    assert not ratio[0].any()
    assert ratio[1].isinf().all()
    assert float(signal_to_noise_density(net).cumulative[0]) >= 30 / 700
    assert not prune_by_signal_to_noise(net, 0.2)[0].weight[0].any()
    assert prune_by_signal_to_noise(net, 0.2)[0].weight[1].all()


def test_bad_input():
    with pytest.raises(ValueError, match=r"share is 1\.5"):
        prune_by_signal_to_noise(bayesian(), 1.5)
    with pytest.raises(ValueError, match="no random layer"):
        prune_by_signal_to_noise(nn.Linear(2, 2), 0.5)
    with pytest.raises(ValueError, match="no random parameter 'weight'"):
        signal_to_noise(Variational(nn.Linear(2, 2), parameters="bias"))
    with pytest.raises(ValueError, match="0 bins"):
        signal_to_noise_density(bayesianize(nn.Linear(2, 2)), bins=0)
