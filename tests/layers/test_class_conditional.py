import pytest
import torch
from torch import nn
from torch.nn.functional import leaky_relu
from torch.testing import assert_close

from jensen.layers import ClassConditional


@pytest.fixture
def network():
    torch.manual_seed(0)
    found = ClassConditional(nn.Linear(5, 4), nn.Linear(4, 3), nn.Linear(3, 2), classes=3).double()
    for table in found.tables.parameters():
        nn.init.normal_(table)
    return found


def test_the_class_is_added_before_every_activation_but_not_to_the_output(network):
    x, y = torch.randn(6, 5, dtype=torch.double), torch.tensor([0, 1, 2, 2, 1, 0])
    first, second, last = network.layers
    h = leaky_relu(first(x) + network.tables[0].weight[y], 0.2)
    h = leaky_relu(second(h) + network.tables[1].weight[y], 0.2)
    assert_close(network(x, y), last(h))


def test_before_training_the_class_says_nothing_and_afterwards_it_does(network):
    x, y = torch.randn(4, 5, dtype=torch.double), torch.tensor([0, 1, 2, 0])
    fresh = ClassConditional(nn.Linear(5, 4), nn.Linear(4, 1), classes=3).double()
    assert_close(fresh(x, y), fresh(x, y.flip(0)))
    assert (network(x, y) - network(x, (y + 1) % 3)).abs().min() > 1e-3


def test_behind_a_convolution_a_channel_has_one_number_for_all_pixels():
    network = ClassConditional(
        nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 3, 2, stride=2), nn.Flatten(), nn.Linear(12, 1), classes=2
    )
    nn.init.normal_(network.tables[0].weight)
    x, y = torch.randn(2, 16), torch.tensor([1, 0])
    h = network.layers[1](x.reshape(2, 1, 4, 4)) + network.tables[0].weight[y][:, :, None, None]
    assert_close(network(x, y), network.layers[3](leaky_relu(h, 0.2).flatten(1)))


def test_layers_with_spectral_norm_count_as_what_they_wrap():
    wrapped = [nn.utils.parametrizations.spectral_norm(nn.Linear(*sizes)) for sizes in ((5, 4), (4, 1))]
    network = ClassConditional(*wrapped, classes=3)
    assert [table.weight.shape for table in network.tables] == [(3, 4)]
    assert network(torch.zeros(2, 5), torch.tensor([0, 2])).shape == (2, 1)


@pytest.mark.parametrize(
    ("layers", "classes", "message"),
    [
        ((nn.Linear(2, 1),), 1, "at least two"),
        ((), 3, "got nothing"),
        ((nn.Linear(2, 1), nn.ReLU()), 3, "got ReLU"),
    ],
)
def test_what_is_no_such_network_is_refused(layers, classes, message):
    with pytest.raises(ValueError, match=message):
        ClassConditional(*layers, classes=classes)
