import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from jensen.layers.shrinking import bit_formats, compression_report, masked, round_to_bits, save_compact, shrink
from jensen.layers.variational import compressible, sparsify


def lenet_300_100():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))


def grouped():
    """The widths that Louizos et al. publish for LeNet-300-100, 278-98-13."""
    net = compressible(lenet_300_100())
    with torch.no_grad():
        for i, kept in ((0, 278), (2, 98), (4, 13)):
            net[i].scales.log_variance[kept:] = 5
    return net


def test_the_published_widths_have_the_published_rate():
    report = compression_report(grouped(), tolerance=1 / 64)
    assert (report.before, report.after) == ((784, 300, 100), (278, 98, 13))
    assert report.pruning == pytest.approx(266_200 / (278 * 98 + 98 * 13 + 13 * 10))
    assert round(report.pruning) == 9  # as in their table 2
    assert [each.left for each in report.layers] == [(98, 278), (13, 98), (10, 13)]
    assert report.fast_prediction > 2 * report.pruning
    left = [(278 * 98, 5 * 278 * 98), (98 * 13, 5 * 98 * 13), (13 * 10, 5 * 13 * 10)]
    bits = [min(indices + 32 * 32, n * layer.bits) for (n, indices), layer in zip(left, report.layers, strict=True)]
    assert report.maximum_compression == pytest.approx(32 * 266_200 / sum(bits))
    assert bits[0] < report.layers[0].bits * 278 * 98


def test_the_file_is_smaller_by_the_stated_rate(tmp_path):
    net = grouped()
    report = compression_report(net)
    plain = masked(net)
    rounded = shrink(round_to_bits(plain, bit_formats(net, plain)))
    size = save_compact(rounded, tmp_path / "net")
    assert size == report.file_after
    extra = 4 * (98 + 13 + 10) + 784 // 8 + 1000
    assert size < 4 * 266_200 / report.fast_prediction + extra
    assert 0.85 * report.fast_prediction < report.file_before / report.file_after < 1.05 * report.fast_prediction
    small = shrink(plain)
    x = torch.randn(4, 784)
    assert_close(small(x), plain(x), rtol=0, atol=1e-5)


def test_unstructured_sparsity():
    net = sparsify(lenet_300_100())
    torch.manual_seed(1)
    shares = (0.011, 0.028, 0.38)
    with torch.no_grad():
        for layer, share in zip((net[0], net[2], net[4]), shares, strict=True):
            layer.log_sigma2[torch.rand_like(layer.log_sigma2) > share] = 9
    report = compression_report(net)
    for each, share in zip(report.layers, shares, strict=True):
        assert each.sparsity == pytest.approx(1 - share, abs=0.02)
    kept = sum(each.nonzero for each in report.layers)
    assert report.sparsity_rate == 266_200 / kept
    assert report.pruning < report.sparsity_rate < report.fast_prediction
    assert report.pruning >= 32 * 266_200 / (64 * kept + 32 * 413)


def test_a_plain_network_keeps_its_bits():
    net = lenet_300_100()
    report = compression_report(net)
    assert (report.pruning, report.fast_prediction, report.sparsity_rate) == (1, 1, 1)
    assert {each.bits for each in report.layers} == {32}
    assert report.file_after < report.file_before * 1.001


def test_everything_pruned():
    report = compression_report(nn.Sequential(nn.Linear(3, 2)), {"0": torch.zeros(1)})
    assert report.sparsity_rate == math.inf
    assert report.layers[0].sparsity == 1


def test_the_table():
    lines = str(compression_report(grouped())).splitlines()
    assert lines[0].split() == ["layer", "weights", "sparsity", "%", "left", "bits"]
    assert lines[1].split()[:4] == ["0", "235200", "64.5", "98x278"]
    assert lines[4] == "architecture 784 - 300 - 100, now 278 - 98 - 13"
    assert len(lines) == 7
