"""Any module becomes Bayesian by the names of its parameters."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from jensen.layers.variational import (
    FullGaussian,
    LaplacePrior,
    MeanField,
    NormalPrior,
    Variational,
    at_means,
    bayesianize,
    random_layers,
    total_kl,
)


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def chosen(bayesian):
    return {f"{name}.{own}" for name, layer in random_layers(bayesian).items() for own in layer.means()}


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ({}, {"0.weight", "0.bias", "2.weight", "2.bias"}),
        ({"include": "*.weight"}, {"0.weight", "2.weight"}),
        ({"exclude": "*.bias"}, {"0.weight", "2.weight"}),
        ({"include": ["2.*", "0.bias"]}, {"2.weight", "2.bias", "0.bias"}),
        ({"include": "2.*", "exclude": ["*.bias"]}, {"2.weight"}),
    ],
)
def test_patterns_choose_parameters(patterns, expected):
    assert chosen(bayesianize(net(), **patterns)) == expected


def test_the_original_is_left_alone_and_trained_means_are_kept():
    original, x = net(), torch.randn(5, 3)
    before = {name: p.clone() for name, p in original.named_parameters()}
    bayesian = bayesianize(original)
    with at_means(bayesian):
        assert torch.equal(bayesian(x), original(x))
    with torch.no_grad():
        for parameter in bayesian.parameters():
            parameter += 1
    assert all(torch.equal(p, before[name]) for name, p in original.named_parameters())
    assert [type(layer) for layer in original] == [nn.Linear, nn.ReLU, nn.Linear]


def test_new_means_are_drawn_as_the_module_draws_them():
    original = net()
    torch.manual_seed(1)
    bayesian = bayesianize(original, keep_means=False, exclude="0.bias")
    assert not torch.equal(bayesian[0].layer.weight, original[0].weight)
    assert torch.equal(bayesian[0].layer.bias, original[0].bias)
    assert bayesian[0].layer.weight.abs().max() <= 1 / math.sqrt(3)
    with pytest.raises(ValueError, match=r"Scaled has no reset_parameters for \['scale'\]"):
        bayesianize(Scaled(), include="scale", keep_means=False)
    attention = nn.MultiheadAttention(4, 2)
    again = bayesianize(attention, keep_means=False)
    assert not torch.equal(again.layer.in_proj_weight, attention.in_proj_weight)
    assert not torch.equal(again.layer.out_proj.weight, attention.out_proj.weight)


def test_options_reach_every_layer():
    bayesian = bayesianize(net(), prior=LaplacePrior(0.3), posterior=MeanField(0.1, "softplus"), estimator="flipout")
    for layer in random_layers(bayesian).values():
        assert (layer.prior, layer.estimator) == (LaplacePrior(0.3), "flipout")
        assert_close(layer.scales()["bias"], torch.full_like(layer.means()["bias"], 0.1))
    full = bayesianize(net(), posterior=FullGaussian(0.1))
    assert full[0].posterior.factor().shape == (16, 16)


def test_a_second_call_gives_other_parameters_another_prior():
    once = bayesianize(net(), include="0.*", prior=NormalPrior(0.1))
    twice = bayesianize(once, include="2.*", prior=NormalPrior(10.0))
    assert {name: layer.prior.scale for name, layer in random_layers(twice).items()} == {"0": 0.1, "2": 10.0}
    with pytest.raises(ValueError, match="no parameter"):
        bayesianize(twice)


def test_the_mode_of_each_layer_is_kept():
    original = net()
    original[0].eval()
    bayesian = bayesianize(original)
    assert [layer.training for layer in bayesian] == [False, True, True]


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale, self.child = nn.Parameter(torch.ones(2)), nn.Linear(3, 2)
        self.shifts = nn.ParameterList([nn.Parameter(torch.zeros(2)), nn.Parameter(torch.ones(2))])

    def forward(self, x):
        return self.scale * self.child(x) + self.shifts[0] + self.shifts[1]


def test_parameters_of_a_module_with_children_and_lists_of_parameters_are_random():
    bayesian, x = bayesianize(nn.Sequential(Scaled())), torch.randn(4, 3)
    layers = random_layers(bayesian)
    assert {name: list(layer.means()) for name, layer in layers.items()} == {
        "0": ["scale", "shifts.0", "shifts.1"],
        "0.layer.child": ["weight", "bias"],
    }
    assert not torch.equal(bayesian(x), bayesian(x))
    with at_means(bayesian):
        assert torch.equal(bayesian(x), bayesian(x))
    (bayesian(x).square().mean() + total_kl(bayesian)).backward()
    assert all(p.grad is not None for p in bayesian.parameters())


def test_modules_that_use_their_parts_weights_are_random_as_wholes():
    whole = bayesianize(nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 2)).eval()
    assert list(random_layers(whole)) == ["layers.0", "layers.1"]
    with torch.no_grad():
        x = torch.randn(2, 3, 4)
        assert not torch.equal(whole(x), whole(x))
        with at_means(whole):
            assert torch.equal(whole(x), whole(x))


class UsesWeight(nn.Module):
    """Multiplies by its child's weight itself: silently deterministic, if that could be read."""

    def __init__(self):
        super().__init__()
        self.child = nn.Linear(3, 2)

    def forward(self, x):
        return x @ self.child.weight.T


def test_a_weight_that_is_used_past_its_layer_is_an_error():
    with pytest.raises(AttributeError, match="'weight' of this Linear is random"):
        bayesianize(UsesWeight())(torch.randn(2, 3))
    whole = Variational(UsesWeight(), parameters="child.weight")
    x = torch.randn(2, 3)
    assert not torch.equal(whole(x), whole(x))


def tied():
    network = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 5, bias=False))
    network[1].weight = network[0].weight
    return network


def twice_the_same():
    layer = nn.Linear(3, 3)
    return nn.Sequential(layer, nn.Tanh(), layer)


def with_nan():
    network = net()
    network[2].bias.data[0] = math.nan
    return network


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (net, {"include": "fc*"}, r"no parameter of Sequential matches 'fc\*' .*'0.weight'"),
        (net, {"exclude": "*"}, "no parameter of Sequential"),
        (nn.ReLU, {}, "no parameter of ReLU"),
        (tied, {}, r"'0.weight' and '1.weight' are one parameter"),
        (tied, {"include": "1.*"}, r"'0.weight' and '1.weight' are one parameter"),
        (twice_the_same, {}, r"'0.weight' and '2.weight' are one parameter"),
        (with_nan, {}, "2: 'bias' of Linear holds NaN"),
        (lambda: nn.Sequential(nn.LSTM(3, 2)), {"estimator": "local"}, "0: estimator 'local' is for nn.Linear"),
        (lambda: nn.utils.parametrizations.orthogonal(nn.Linear(3, 3)), {}, "behind a parametrization"),
        (lambda: nn.ParameterList([torch.ones(2)]), {}, "only holds parameters"),
        (lambda: nn.Sequential(nn.LazyLinear(3)), {}, "has no shape yet"),
    ],
)
def test_bad_input_is_refused(make, options, message):
    with pytest.raises(ValueError, match=message):
        bayesianize(make(), **options)


def test_tied_weights_that_are_not_chosen_are_no_trouble():
    network = nn.Sequential(tied(), nn.Linear(5, 2))
    assert chosen(bayesianize(network, include="1.*")) == {"1.weight", "1.bias"}


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_a_prior_without_scale_is_refused(scale):
    with pytest.raises(ValueError, match="positive and finite"):
        bayesianize(net(), prior=NormalPrior(scale))
