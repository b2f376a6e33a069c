import time

import pytest
import torch
from torch import nn

from jensen.layers.shrinking import cost


def test_numbers_of_a_perceptron():
    net = nn.Sequential(nn.Linear(20, 30), nn.Dropout(), nn.ReLU(), nn.Linear(30, 10))
    with torch.no_grad():
        net[0].weight[:, :5] = 0
    found = cost(net, torch.zeros(8, 20), repeats=3)
    assert found.parameters == 30 * 21 + 10 * 31
    assert found.nonzero == found.parameters - 150
    assert found.flops == 2 * 8 * (20 * 30 + 30 * 10)
    assert 4 * found.parameters < found.bytes < 4 * found.parameters + 400
    assert net.training
    assert net[1].training


def test_numbers_of_a_convolution():
    assert cost(nn.Conv2d(3, 5, 3), torch.zeros(2, 3, 10, 10), repeats=1).flops == 2 * 2 * 64 * 5 * 27


class Slow(nn.Module):
    def forward(self, x):
        time.sleep(0.01)
        return x


def test_latency_is_in_seconds():
    assert 0.01 <= cost(Slow(), torch.zeros(1), repeats=3).latency < 0.1


def test_no_repeats():
    with pytest.raises(ValueError, match="time at least one call"):
        cost(nn.Linear(1, 1), torch.zeros(1, 1), repeats=0)
