"""Networks of every kind, pruned at random."""

import pytest
import torch
from torch import nn


def dense():
    layers = nn.Linear(20, 30), nn.ReLU(), nn.Dropout(), nn.Linear(30, 10), nn.Sigmoid(), nn.Linear(10, 3, bias=False)
    return nn.Sequential(*layers, nn.LogSoftmax(-1)), (5, 20)


def nested():
    body = nn.Sequential(nn.Linear(12, 9), nn.BatchNorm1d(9), nn.GELU())
    return nn.Sequential(nn.Flatten(), body, nn.Identity(), nn.Sequential(nn.Linear(9, 4), nn.Softplus())), (5, 3, 4)


def lenet():
    features = (
        nn.Conv2d(1, 8, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 10, 5, bias=False),
        nn.Tanh(),
        nn.MaxPool2d(2),
    )
    return nn.Sequential(*features, nn.Flatten(), nn.Linear(160, 20), nn.ReLU(), nn.Linear(20, 10)), (3, 1, 28, 28)


def padded():
    first = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Softplus(), nn.AvgPool2d(2, padding=1)
    second = nn.Conv2d(8, 6, 3, padding=1, stride=2), nn.PReLU(), nn.AvgPool2d(2, divisor_override=3)
    third = nn.Conv2d(6, 6, 1, groups=3), nn.ELU(), nn.Flatten(), nn.Linear(24, 4)
    return nn.Sequential(*first, *second, *third), (3, 3, 12, 12)


def wrapped():
    first = nn.Conv1d(3, 8, 3, padding=1, padding_mode="reflect"), nn.Sigmoid(), nn.Dropout1d()
    second = (
        nn.Conv1d(8, 6, 3, padding="same", padding_mode="circular", dilation=2),
        nn.PReLU(6),
        nn.AdaptiveAvgPool1d(2),
    )
    return nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(12, 4)), (3, 3, 12)


def solid():
    layers = nn.Unflatten(1, (2, 4, 4, 4)), nn.Conv3d(2, 5, 2), nn.Hardswish(), nn.MaxPool3d(2, padding=1)
    return nn.Sequential(*layers, nn.Conv3d(5, 4, 2, padding="valid"), nn.Sigmoid(), nn.Flatten(), nn.Linear(4, 2)), (
        3,
        128,
    )


NETS = {build.__name__: build for build in (dense, nested, lenet, padded, wrapped, solid)}


def _pruned(name, seed, weights, units, dtype=torch.float64):
    """A network of random weights, biases and statistics with single weights, rows and columns set to zero."""
    torch.manual_seed(seed)
    net, shape = NETS[name]()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(
                torch.randn_like(parameter) * (0.5 if parameter.ndim == 1 else parameter[0].numel() ** -0.5)
            )
        for module in net.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
            elif isinstance(weight := getattr(module, "weight", None), nn.Parameter) and weight.ndim > 1:
                ones = [1] * (weight.ndim - 2)
                weight *= torch.rand_like(weight) < weights
                weight *= (torch.rand(weight.shape[0]) < units).view(-1, 1, *ones)
                weight *= (torch.rand(weight.shape[1]) < units).view(1, -1, *ones)
    return net.to(dtype).eval(), torch.randn(shape, dtype=dtype)


@pytest.fixture
def pruned():
    """`pruned(name, seed, weights, units, dtype)`: a network with that share of weights and units, and an input."""
    return _pruned
