import pytest
import torch
from torch import nn
from torch.testing import assert_close

from jensen.layers.shrinking import Threshold, masked, shrink
from jensen.layers.shrinking.masks import posterior_deviations, posterior_means
from jensen.layers.variational import (
    FullGaussian,
    GroupSparse,
    SparseDropout,
    Variational,
    at_means,
    bayesianize,
    compressible,
    sparsify,
)


def plain():
    torch.manual_seed(0)
    features = nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    return nn.Sequential(*features, nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 3))


X = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(1))
WRAPPERS = {"bayes": bayesianize, "sparse": sparsify, "jeffreys": compressible,
            "horseshoe": lambda net: compressible(net, prior="horseshoe")}  # fmt: skip


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_fresh_network_is_masked_to_its_means(wrapper):
    net = WRAPPERS[wrapper](plain())
    small = masked(net, thresholds=None if wrapper == "bayes" else dict.fromkeys("046", torch.inf))
    assert [type(each) for each in small] == [type(each) for each in plain()]
    assert not small.training
    with at_means(net):
        assert_close(small(X), net(X))
    assert small[0].weight.data_ptr() != net[0].layer.weight.data_ptr()


@pytest.mark.parametrize("wrapper", ["sparse", "jeffreys", "horseshoe"])
def test_layers_prune_by_their_own_threshold_or_the_one_given(wrapper):
    net = WRAPPERS[wrapper](plain())
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter += 2 * torch.randn_like(parameter) * ("log" in name)
    for i in (0, 4, 6):
        rates = net[i].log_alpha() if wrapper == "sparse" else net[i].group_log_alpha()
        net[i].threshold = rates.median().item()
    own = masked(net)
    for i in (0, 4, 6):
        assert torch.equal(own[i].weight != 0, net[i].mask())
        assert 0.2 < net[i].mask().float().mean() < 0.6
    none = masked(net, thresholds={"0": torch.inf, "4": Threshold(torch.inf, 1, 0, 1.0, 1.0)})
    assert none[0].weight.all()
    assert none[4].weight.all()
    assert torch.equal(none[6].weight, own[6].weight)
    assert_close(shrink(own)(X), own(X), rtol=0, atol=1e-5)


def test_masks_multiply():
    net = bayesianize(plain())
    found = masked(net, {"4": torch.arange(36) < 10, "0": torch.tensor([1.0, 0, 1, 0]).view(4, 1, 1, 1)})
    assert not found[4].weight[:, 10:].any()
    assert torch.equal(found[4].weight[:, :10], net[4].layer.weight[:, :10])
    assert found[0].weight.flatten(1).any(1).tolist() == [True, False, True, False]
    assert torch.equal(found[6].weight, net[6].layer.weight)


def test_layers_themselves_and_repeated_ones():
    assert isinstance(masked(SparseDropout(nn.Linear(2, 1))), nn.Linear)
    layer = Variational(nn.Linear(2, 2))
    assert [type(each) for each in masked(nn.Sequential(layer, nn.ReLU(), layer))] == [nn.Linear, nn.ReLU, nn.Linear]


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale, self.linear = nn.Parameter(torch.ones(3)), nn.Linear(3, 2)

    def forward(self, x):
        return self.linear(x * self.scale)


@pytest.mark.parametrize("net", [Scaled(), nn.Sequential(Scaled(), nn.ReLU())])
def test_random_layers_inside_random_layers(net):
    found, x = masked(bayesianize(net)), torch.randn(4, 3)
    assert not any(isinstance(module, Variational) for module in found.modules())
    assert torch.equal(found(x), net(x))


@pytest.mark.parametrize(
    "layer",
    [
        Variational(nn.Linear(3, 2)),
        Variational(nn.Linear(3, 2), posterior=FullGaussian(initial_scale=0.3)),
        SparseDropout(nn.Linear(3, 2), initial_log_variance=-2.0),
        GroupSparse(nn.Linear(3, 2), initial_log_variance=-1.0),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_moments_are_those_of_draws(layer):
    torch.manual_seed(0)
    draws = layer.draw(20_000)["weight"].detach()
    deviation = posterior_deviations(layer)["weight"]
    z = (draws.mean(0) - posterior_means(layer)["weight"]) / (deviation / 20_000**0.5)
    assert z.abs().max() < 4.56
    assert_close(draws.std(0), deviation, rtol=0.05, atol=0)


@pytest.mark.parametrize(
    ("masks", "thresholds", "message"),
    [
        ({"9": torch.ones(1)}, None, "no layer '9' for a mask"),
        ({"1": torch.ones(1)}, None, "1 is a ReLU without a weight"),
        ({"6": torch.ones(5)}, None, r"'6' have shapes \(5,\) and \(3, 8\), which do not broadcast"),
        (None, {"6": 3.0}, "no layer '6' with dropout rates"),
        (None, {"x": 3.0}, "no layer 'x' with dropout rates"),
    ],
)
def test_bad_masks(masks, thresholds, message):
    with pytest.raises(ValueError, match=message):
        masked(bayesianize(plain()), masks, thresholds=thresholds)


def test_a_layer_without_deviations():
    class Odd(nn.Module):
        layer = nn.Linear(2, 1)

    with pytest.raises(ValueError, match="Odd knows no standard deviations"):
        posterior_deviations(Odd())
