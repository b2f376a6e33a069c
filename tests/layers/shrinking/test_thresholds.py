import math

import numpy as np
import pytest
import torch
from torch import nn

from jensen.layers.shrinking import Threshold, propose_threshold, propose_thresholds
from jensen.layers.variational import SparseDropout, Variational, compressible

DOUBLE = torch.float64


def two_modes(seed, kept, dropped, *, at, spreads):
    generator = torch.Generator().manual_seed(seed)
    low = at[0] + spreads[0] * torch.randn(kept, generator=generator, dtype=DOUBLE)
    high = at[1] + spreads[1] * torch.randn(dropped, generator=generator, dtype=DOUBLE)
    return torch.cat([low, high])[torch.randperm(kept + dropped, generator=generator)]


def otsu(log_alphas):
    """The cut with the least variance within its two sides, the plausible rule for modes of unlike size."""
    x = log_alphas.sort().values
    left = torch.arange(1, len(x), dtype=DOUBLE)
    sums = x.cumsum(0)
    between = (sums[:-1] / left - (sums[-1] - sums[:-1]) / (len(x) - left)).square() * left * (len(x) - left)
    i = int(between.argmax())
    return (x[i] + x[i + 1]).item() / 2


MODES = [
    (278, 506, (-4.0, 2.0), (1.5, 0.3)),
    (98, 202, (-5.0, 1.0), (1.0, 0.5)),
    (13, 487, (-6.0, 0.0), (0.5, 0.5)),
    (8, 12, (-8.0, 2.0), (0.7, 0.7)),
]


@pytest.mark.parametrize(("kept", "dropped", "at", "spreads"), MODES)
@pytest.mark.parametrize("seed", range(3))
def test_the_cut_falls_between_two_modes(seed, kept, dropped, at, spreads):
    found = propose_threshold(two_modes(seed, kept, dropped, at=at, spreads=spreads))
    assert found.modes == 2
    assert at[0] < found.value < at[1]
    assert abs(found.kept - kept) <= 0.03 * kept
    assert found.depth < 0.2


def test_a_split_by_variance_cuts_the_large_mode_in_two():
    """Few survivors with a wide spread of dead units: the negative control of the rule that was chosen."""
    log_alphas = two_modes(0, 13, 487, at=(-9.0, 0.0), spreads=(0.5, 2.0))
    kept = int((log_alphas < propose_threshold(log_alphas).value).sum())
    assert kept == 13
    assert int((log_alphas < otsu(log_alphas)).sum()) > 100


ONE_MODE = {
    "normal": lambda n, g: g.normal(size=n),
    "uniform": lambda n, g: g.random(n),
    "exponential": lambda n, g: g.exponential(size=n),
    "clipped": lambda n, g: np.clip(g.normal(6, 2, size=n), -8, 8),
}


@pytest.mark.parametrize("density", ONE_MODE)
@pytest.mark.parametrize("n", [20, 300])
def test_one_mode_is_left_whole(density, n):
    generator = np.random.default_rng(1)
    found = [propose_threshold(torch.from_numpy(ONE_MODE[density](n, generator)), resamples=100) for _ in range(15)]
    assert sum(each.modes == 2 for each in found) <= 3
    assert all(each.value == math.inf and each.kept == n for each in found if each.modes == 1)


def test_without_the_test_one_mode_would_be_cut():
    """At level one only the depth of the valley is asked for, and small samples of one density are cut."""
    generator = np.random.default_rng(1)
    samples = [torch.from_numpy(generator.exponential(size=20)) for _ in range(15)]
    assert sum(propose_threshold(each, level=0.999, resamples=20).modes == 2 for each in samples) > 5


def test_shifts_and_scales_go_through():
    log_alphas = two_modes(0, 30, 70, at=(-4.0, 2.0), spreads=(1.0, 0.5))
    found, moved = propose_threshold(log_alphas), propose_threshold(3 * log_alphas - 7)
    assert moved.value == pytest.approx(3 * found.value - 7, abs=0.05)
    assert moved.kept == found.kept


def test_the_same_data_give_the_same_answer_and_no_global_draw():
    log_alphas = two_modes(0, 30, 70, at=(-4.0, 2.0), spreads=(1.0, 0.5))
    state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    assert propose_threshold(log_alphas) == propose_threshold(log_alphas.clone())
    assert torch.equal(state[0], torch.get_rng_state())
    assert (state[1] == np.random.get_state()[1]).all()  # noqa: NPY002


def test_an_outlier_is_no_mode():
    log_alphas = torch.cat([torch.randn(200, generator=torch.Generator().manual_seed(0)), torch.tensor([40.0])])
    assert propose_threshold(log_alphas).modes == 1


@pytest.mark.parametrize("log_alphas", [torch.tensor([1.0]), torch.full((50,), 8.0), torch.tensor([-1.0, 1.0])])
def test_too_little_to_tell(log_alphas):
    assert propose_threshold(log_alphas) == Threshold(math.inf, 1, len(log_alphas), 1.0, 1.0)


def test_many_rates_are_thinned():
    log_alphas = two_modes(0, 20_000, 80_000, at=(-5.0, 3.0), spreads=(1.0, 1.0))
    found = propose_threshold(log_alphas, resamples=50)
    assert found.modes == 2
    assert abs(found.kept - 20_000) < 100


class Grouped(nn.Module):
    def __init__(self, rates):
        super().__init__()
        self.rates = rates

    def group_log_alpha(self):
        return self.rates


def test_each_layer_of_a_network_has_its_own():
    """And groups beyond the clip, such as inputs that are never on, are no mode of their own."""
    rates = two_modes(0, 30, 70, at=(-5.0, 1.0), spreads=(0.5, 0.5))
    dead = torch.cat([rates, torch.full((20,), 60.0, dtype=DOUBLE)])
    found = propose_thresholds(nn.Sequential(Grouped(rates), nn.ReLU(), Grouped(dead.clamp(max=2)), Grouped(rates + 2)))
    assert list(found) == ["0", "2", "3"]
    assert [each.kept for each in found.values()] == [30, 30, 30]
    assert found["3"].value == pytest.approx(found["0"].value + 2, abs=0.1)


def test_layers_of_single_weights_keep_their_threshold():
    net = nn.Sequential(compressible(nn.Linear(20, 10)), SparseDropout(nn.Linear(10, 2)))
    assert list(propose_thresholds(net)) == ["0"]


@pytest.mark.parametrize("log_alphas", [torch.zeros(2, 3), torch.zeros(0), torch.tensor([0.0, math.nan, 1.0])])
def test_no_vector_of_numbers(log_alphas):
    with pytest.raises(ValueError, match="give a vector of finite numbers"):
        propose_threshold(log_alphas)


def test_bad_levels_and_networks():
    with pytest.raises(ValueError, match="cannot be reached"):
        propose_threshold(torch.zeros(3), level=0.01, resamples=50)
    with pytest.raises(ValueError, match="no layer with dropout rates of groups"):
        propose_thresholds(Variational(nn.Linear(2, 1)))
