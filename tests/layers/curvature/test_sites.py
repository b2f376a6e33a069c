"""Layers read as matrices: their rows, their parameters, and those that are refused."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.testing import assert_close

from jensen.layers.curvature import find_sites, last_site, record

DOUBLE = torch.float64

LAYERS = [
    (nn.Linear(3, 2), (4, 3)),
    (nn.Linear(3, 2, bias=False), (4, 5, 3)),
    (nn.Conv1d(4, 6, 3, stride=2, padding=2, dilation=2, groups=2), (4, 4, 9)),
    (nn.Conv2d(2, 3, (2, 3), padding="same", padding_mode="reflect"), (4, 2, 5, 6)),
    (nn.Conv2d(2, 4, 1, groups=2, bias=False), (4, 2, 3, 3)),
    (nn.Conv3d(2, 2, (2, 1, 3), padding=(1, 0, 2), padding_mode="replicate"), (4, 2, 3, 4, 5)),
]


@pytest.mark.parametrize(("layer", "shape"), LAYERS)
def test_a_layer_is_its_matrix_times_rows(layer, shape):
    layer, x = layer.double(), torch.randn(shape, dtype=DOUBLE)
    (site,) = find_sites(layer, "all")
    outputs = torch.einsum("goi,btgi->btgo", site.matrix, site.rows(x))
    assert_close(outputs, site.columns(layer(x).detach()), rtol=0, atol=1e-13)
    named = site.parameters(site.matrix.unsqueeze(0))
    assert all(torch.equal(named[name][0], each) for name, each in layer.named_parameters())
    assert site.count == sum(each.numel() for each in layer.parameters())


def test_layers_by_name():
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1))
    assert [site.name for site in find_sites(network, ["0", "[24]"])] == ["0", "2", "4"]
    assert last_site(network.eval(), torch.zeros(1, 2)).name == "4"
    with pytest.raises(ValueError, match=r"not for 1 \(BatchNorm1d\).*layers=\['0', '2', '4'\]"):
        find_sites(network, "all")
    with pytest.raises(ValueError, match="no layer with parameters is named"):
        find_sites(network, ["3"])
    with pytest.raises(ValueError, match="no layer with parameters"):
        find_sites(nn.Tanh(), "all")
    with pytest.raises(ValueError, match="calls no Linear"):
        last_site(nn.Tanh(), torch.zeros(1, 2))


def test_shared_and_reparametrised_weights_are_refused():
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    with pytest.raises(ValueError, match=r"0.weight and 1.weight are one parameter"):
        find_sites(tied, "all")
    with pytest.raises(ValueError, match="not for"):
        find_sites(nn.Sequential(parametrizations.weight_norm(nn.Linear(2, 2))), "all")


def test_a_pass_that_does_not_keep_the_batch_first_is_refused():
    class Merged(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(2, 3), nn.Linear(2, 3)

        def forward(self, x):
            return self.used(x.flatten(0, 1)).unflatten(0, x.shape[:2]).sum(1)

    merged = Merged()
    with pytest.raises(ValueError, match=r"'used' sees \[20\] rows for 4 data"):
        record(merged, find_sites(merged, ["used"]), torch.zeros(4, 5, 2))
    with pytest.raises(ValueError, match="does not call its layer 'unused'"):
        record(merged, find_sites(merged, ["unused"]), torch.zeros(4, 5, 2))
    pooled = nn.Sequential(nn.Linear(2, 3), nn.Flatten(0))
    with pytest.raises(ValueError, match=r"the network returns \(12,\)"):
        record(pooled, find_sites(pooled, "all"), torch.zeros(4, 2))
    lstm = nn.LSTM(2, 3)
    with pytest.raises(ValueError, match="LSTM"):
        find_sites(lstm, "all")
