import math

import pytest
import torch
from torch import nn

from jensen.layers import mlp


def test_it_maps_the_first_size_to_the_last_through_the_others():
    network = mlp([7, 5, 3, 2])
    assert [tuple(p.shape) for p in network.parameters()] == [(5, 7), (5,), (3, 5), (3,), (2, 3), (2,)]
    assert network(torch.zeros(4, 6, 7)).shape == (4, 6, 2)


def test_the_activation_stands_between_linear_layers_only():
    kinds = [type(module) for module in mlp([7, 5, 3], activation=nn.ReLU)]
    assert kinds == [nn.Linear, nn.ReLU, nn.Linear]
    assert [type(module) for module in mlp([7, 3])] == [nn.Linear]


def test_weights_are_uniform_up_to_the_bound_of_glorot_and_biases_zero():
    torch.manual_seed(0)
    network = mlp([300, 200, 100])
    for linear, bound in ((network[0], math.sqrt(6 / 500)), (network[2], math.sqrt(6 / 300))):
        n = linear.weight.numel()
        assert linear.weight.abs().max() <= bound
        assert linear.weight.abs().max() > 0.999 * bound
        z = (linear.weight.double().square().mean() - bound**2 / 3) / (bound**2 * math.sqrt(4 / 45 / n))
        assert abs(z.item()) < 4.56
        assert (linear.bias == 0).all()


@pytest.mark.parametrize("sizes", [[], [3], [3, 0], [0, 3], [3, -1, 2]])
def test_bad_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match="at least two sizes, all positive"):
        mlp(sizes)
