import itertools
import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from jensen.layers.shrinking import BitFormat, bit_formats, bit_precision, cluster, masked, round_to_bits
from jensen.layers.variational import Variational, sparsify

DOUBLE = torch.float64


def every_number(form):
    """All numbers of a format, from its definition."""
    lowest = 2.0 ** (form.bottom - form.mantissa)
    small = [f * lowest for f in range(2**form.mantissa)]
    exponents = range(form.bottom, form.top + 1)
    large = [2.0**e * (1 + f / 2**form.mantissa) for e, f in itertools.product(exponents, range(2**form.mantissa))]
    return torch.tensor([sign * each for sign in (-1, 1) for each in small + large], dtype=DOUBLE)


FORMATS = [BitFormat(e, m, t) for e in (1, 2, 3) for m in (0, 1, 3) for t in (-4, 0, 2)]


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_rounding_finds_the_nearest_number(form):
    numbers = every_number(form)
    assert len(numbers) == 2**form.bits
    torch.manual_seed(0)
    weights = torch.randn(2000, dtype=DOUBLE) * 2.0**form.top
    rounded = form.round(weights)
    assert_close((rounded - weights).abs(), (numbers[:, None] - weights).abs().min(0).values, rtol=0, atol=1e-15)
    assert torch.equal(form.round(numbers), numbers)
    assert torch.equal(form.round(rounded), rounded)


@pytest.mark.parametrize("exponent", [1, 2, 4])
@pytest.mark.parametrize("deviation", [0.3, 0.05, 0.031, 0.002, 1e-5])
def test_no_weight_moves_further_than_the_posterior(deviation, exponent):
    """And a format with one bit less moves one further: the negative control."""
    weights = torch.linspace(-3.9, 3.8, 50_001, dtype=DOUBLE)
    form = bit_precision(weights, torch.full_like(weights, deviation), exponent=exponent, tolerance=1)
    assert (form.round(weights) - weights).abs().max() <= deviation
    if form.mantissa:
        coarser = BitFormat(exponent, form.mantissa - 1, form.top)
        assert (coarser.round(weights) - weights).abs().max() > deviation


@pytest.mark.parametrize(
    ("largest", "deviation", "mantissa", "top"),
    [
        (1.0, 0.5, 0, 0),
        (1.0, 0.25, 1, 0),
        (1.0, 0.26, 1, 0),
        (1.9, 0.25, 2, 1),
        (0.75, 2.0**-6, 4, -1),
        (3.0, 100.0, 0, 1),
    ],
)
def test_the_formula(largest, deviation, mantissa, top):
    found = bit_precision(torch.tensor([largest, 0.1]), torch.full((2,), deviation), tolerance=1)
    assert (found.mantissa, found.top, found.bits) == (mantissa, top, 2 + mantissa)


def test_the_largest_weight_rounds_up_into_the_next_exponent():
    weights = torch.tensor([0.99, 0.3])
    form = bit_precision(weights, torch.full((2,), 0.1), tolerance=1)
    assert form == BitFormat(1, 3, 0)
    assert form.round(weights)[0] == 1.0
    assert weights[0] - BitFormat(1, 2, -1).round(weights)[0] > 0.1


def test_pruned_weights_have_no_say():
    weights, deviations = torch.tensor([0.5, 0.0]), torch.tensor([0.01, 10.0])
    assert bit_precision(weights, deviations) == bit_precision(weights[:1], deviations[:1])
    assert bit_precision(torch.zeros(3), torch.ones(3)).bits == 2


def test_tolerance_and_certainty():
    weights, deviations = torch.randn(100), torch.full((100,), 0.01)
    assert bit_precision(weights, deviations, tolerance=0.125).bits == bit_precision(weights, deviations).bits + 2
    assert bit_precision(weights, torch.zeros(100)).mantissa == 23
    assert torch.equal(bit_precision(weights, torch.zeros(100), exponent=8).round(weights), weights)


def test_a_network_layer_by_layer():
    torch.manual_seed(0)
    net = sparsify(nn.Sequential(nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 5)))
    with torch.no_grad():
        net[2].log_sigma2.fill_(2 * math.log(0.05))
    formats = bit_formats(net)
    assert list(formats) == ["0", "2"]
    assert formats["0"].bits > formats["2"].bits
    plain = masked(net)
    rounded = round_to_bits(plain, formats)
    for i, deviation in (("0", math.exp(-5)), ("2", 0.05)):
        moved = rounded.get_submodule(i).weight - plain.get_submodule(i).weight
        assert 0 < moved.abs().max() <= deviation / 2
        assert len(rounded.get_submodule(i).weight.unique()) <= 2 ** formats[i].bits
    assert torch.equal(rounded[0].bias, plain[0].bias)


def test_a_random_layer_within_another_is_refused():
    net = nn.Sequential(Variational(nn.Sequential(sparsify(nn.Linear(3, 2))), parameters="*.bias"))
    with pytest.raises(ValueError, match=r"'0\.layer\.0' is within random layer '0'; make only one"):
        bit_formats(net)
    with pytest.raises(ValueError, match=r"'layer\.0' is within random layer ''"):
        bit_formats(net[0])


def test_clusters_are_the_best_of_their_kind():
    """Every weight is at its nearest centre, every centre the mean of its weights, zeros stay."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(40, 30))
    with torch.no_grad():
        net[0].weight[:, :10] = 0
    before, after = net[0].weight, cluster(net, clusters=8)[0].weight
    assert torch.equal(after == 0, before == 0)
    centres = after[after != 0].unique()
    assert len(centres) == 8
    nearest = centres[(before[before != 0][:, None] - centres).abs().argmin(1)]
    assert_close(nearest, after[after != 0])
    for centre in centres:
        assert_close(before[after == centre].mean(), centre, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: BitFormat(0, 3, 0), "out of range"),
        (lambda: BitFormat(1, 53, 0), "out of range"),
        (lambda: bit_precision(torch.zeros(2), torch.zeros(3)), r"shapes \(2,\) and \(3,\)"),
        (lambda: bit_precision(torch.tensor([math.nan]), torch.ones(1)), "must be finite"),
        (lambda: bit_precision(torch.ones(1), -torch.ones(1)), "not negative"),
        (lambda: round_to_bits(nn.Linear(2, 1), {"x": BitFormat(1, 1, 0)}), "no layer 'x' with a weight"),
        (lambda: cluster(nn.Linear(2, 1), clusters=0), "at least one value"),
        (lambda: bit_formats(nn.Linear(2, 1)), "no random layer"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
