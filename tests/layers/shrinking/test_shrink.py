"""Equal outputs, whatever is pruned; and that less would not do."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from jensen.layers.shrinking import Select, architecture, shrink

DOUBLE = torch.float64


NETS = ["dense", "nested", "lenet", "padded", "wrapped", "solid"]


def numbers(net):
    return sum(each.numel() for each in net.parameters())


@pytest.mark.parametrize("build", NETS)
@pytest.mark.parametrize(("weights", "units"), [(1, 1), (0.5, 0.7), (0.1, 1), (0.05, 0.4), (0, 1)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (DOUBLE, 1e-10)])
def test_outputs_are_equal(pruned, build, weights, units, dtype, tolerance):
    for seed in range(4):
        net, x = pruned(build, seed, weights, units, dtype)
        before = copy.deepcopy(net.state_dict())
        small = shrink(net)
        assert_close(small(x), net(x), rtol=0, atol=tolerance)
        assert numbers(small) <= numbers(net) + 16  # a bias may appear
        assert {each.dtype for each in small.parameters()} == {dtype}
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("build", NETS)
def test_nothing_is_left_to_remove(pruned, build):
    for seed in range(4):
        net, x = pruned(build, seed, 0.2, 0.6)
        small = shrink(net)
        assert architecture(shrink(small)) == architecture(small)
        assert_close(shrink(small)(x), net(x), rtol=0, atol=1e-10)


def test_widths_of_groups(pruned):
    """Inputs of linear layers and filters of convolutions: what Louizos et al. count."""
    net, _ = pruned("lenet", 0, 1, 1)
    with torch.no_grad():
        net[0].weight[5:] = 0
        net[3].weight[7:] = 0
        net[7].weight[:, 4 * 16 + 3 :] = 0
        net[9].weight[:, 6:] = 0
    small = shrink(net)
    assert architecture(net) == (8, 10, 160, 20)
    assert architecture(small) == (5, 5, 67, 6)
    assert [type(each).__name__ for each in small].count("Select") == 1


def test_unread_inputs_are_selected():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 3))
    with torch.no_grad():
        net[0].weight[:, [1, 4]] = 0
    small = shrink(net)
    assert small[0].index.tolist() == [0, 2, 3, 5]
    for shape in ((6,), (4, 6), (2, 5, 6)):
        assert_close(small(torch.ones(shape)), net(torch.ones(shape)))


def test_an_empty_network_is_a_constant(pruned):
    net, x = pruned("dense", 0, 0, 1)
    small = shrink(net)
    assert architecture(small) == (1, 1, 1)
    assert_close(small(x), net(x), rtol=0, atol=1e-12)


def drops_without_folding(net, unit):
    """A twin that forgets what a dead unit still puts out."""
    twin = copy.deepcopy(net)
    with torch.no_grad():
        twin[2].weight[:, unit] = 0
    return twin


def test_a_dead_unit_still_speaks_through_its_bias():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 2)).double()
    with torch.no_grad():
        net[0].weight[1] = 0
    x = torch.randn(5, 4, dtype=DOUBLE)
    small = shrink(net)
    assert architecture(small) == (4, 2)
    assert_close(small[2].bias, net[2].bias + net[2].weight[:, 1] * torch.sigmoid(net[0].bias[1]), rtol=0, atol=1e-12)
    assert_close(small(x), net(x), rtol=0, atol=1e-12)
    assert (drops_without_folding(net, 1)(x) - net(x)).abs().max() > 0.01


@pytest.mark.parametrize("padding", [0, 1])
def test_a_constant_channel_stays_where_zeros_are_padded(padding):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Sigmoid(), nn.Conv2d(3, 2, 3, padding=padding)).double()
    with torch.no_grad():
        net[0].weight[1] = 0
    x = torch.randn(2, 1, 8, 8, dtype=DOUBLE)
    small = shrink(net)
    assert architecture(small)[0] == (3 if padding else 2)
    assert_close(small(x), net(x), rtol=0, atol=1e-12)
    twin = drops_without_folding(net, 1)
    with torch.no_grad():
        twin[2].bias += net[2].weight[:, 1].sum((1, 2)) * torch.sigmoid(net[0].bias[1])
    assert bool((twin(x) - net(x)).abs().max() > 0.01) == bool(padding)


def test_a_silent_channel_goes_through_padding():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(1, 3, 3), nn.ReLU(), nn.AvgPool1d(2, padding=1), nn.Conv1d(3, 2, 3, padding=1))
    with torch.no_grad():
        net[0].weight[1] = 0
        net[0].bias[1] = -0.5
    assert architecture(shrink(net)) == (2, 2)


def test_constants_beyond_numbers_are_not_folded():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 2), nn.Hardtanh(-1, 1), nn.Linear(2, 1))
    with torch.no_grad():
        net[0].weight[0] = 0
        net[0].bias[0] = 3e38
    assert_close(shrink(net)(torch.ones(1, 2)), net(torch.ones(1, 2)))


def test_one_layer_twice():
    torch.manual_seed(0)
    layer = nn.Linear(3, 3)
    with torch.no_grad():
        layer.weight[0] = 0
    net = nn.Sequential(layer, nn.Tanh(), layer)
    small = shrink(net)
    assert len(small) == 3
    assert_close(small(torch.ones(2, 3)), net(torch.ones(2, 3)))


class Residual(nn.Module):
    def forward(self, x):
        return x + 1


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (Residual(), "the network is a Residual, which no chain can hold"),
        (nn.Sequential(nn.Linear(2, 2), nn.Sequential(Residual())), "1.0 is a Residual"),
        (nn.Sequential(nn.LSTM(2, 2)), "0 is a LSTM"),
        (nn.Sequential(nn.ReLU()), "nothing to shrink"),
        (nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2)), "0 normalises what no affine layer put out"),
        (nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=False)), "keeps no running statistics"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(2, 2)), "0, followed by 1, needs a Flatten"),
        (nn.Sequential(nn.Linear(2, 2), nn.Conv1d(2, 2, 1)), "0, followed by 1, needs a Flatten or an Unflatten"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(2), nn.Linear(4, 2)), r"needs Flatten\(start_dim=1"),
        (nn.Sequential(nn.Linear(2, 4), nn.MaxPool1d(2), nn.Linear(2, 2)), "is pooled over its units"),
        (nn.Sequential(nn.Linear(2, 4), nn.Linear(3, 2)), "0, followed by 1, has 4 outputs for 3 inputs"),
        (nn.Sequential(nn.Conv1d(1, 4, 2), nn.MaxPool1d(2, return_indices=True)), "1 returns indices"),
        (nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))), "0 is a parametrized"),
    ],
)
def test_no_chain(net, message):
    with pytest.raises(ValueError, match=message):
        shrink(net)


def test_weights_that_are_no_numbers():
    net = nn.Sequential(nn.Linear(2, 2))
    net[0].weight.data[0, 0] = math.nan
    with pytest.raises(ValueError, match="0 holds a weight that is NaN"):
        shrink(net)


@pytest.mark.parametrize(("index", "axis"), [(torch.zeros(0, dtype=torch.long), -1), (torch.tensor([0]), 1)])
def test_a_selection_of_nothing(index, axis):
    with pytest.raises(ValueError, match="at least one position, and a negative axis"):
        Select(index, axis=axis)
