import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from jensen._pareto import pareto_k, pareto_smooth, reliable_k

DOUBLE = torch.float64
INF = math.inf

TABULATED = [  # N, scale, k, log of the sum of squares of the smooth shares, log of the largest: arviz-stats 0.8.0
    (25, 0.5, 0.07027590932794106, -3.090028137524174, -2.629266497503046),
    (100, 1.0, 0.2939353170856525, -3.596290567603683, -2.7190846635513157),
    (225, 1.0, 0.1935826007284185, -4.38372025533077, -3.364088661556506),
    (226, 0.2, -0.19725202140572937, -5.36367224321946, -4.90673617504042),
    (1000, 1.0, -0.07658187130288677, -5.872566423992706, -4.580516665112073),
    (5000, 2.0, 0.057743063124707256, -6.153556233812247, -4.82552775085112),
]


def wave(N, scale):
    n = torch.arange(1, N + 1, dtype=DOUBLE)
    return scale * (torch.sin(0.7 * n**2) + torch.cos(0.3 * n) + (n % 17) / 8)


def pareto(k, N, seed=0):
    """Logarithms of weights (1 - u)^(-k), whose whole distribution is a Pareto tail of shape k."""
    u = torch.rand(N, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))
    return -k * torch.log1p(-u)


@pytest.mark.parametrize(("N", "scale", "k", "squares", "largest"), TABULATED)
def test_tabulated_values(N, scale, k, squares, largest):
    smooth, found = pareto_smooth(wave(N, scale))
    normalised = smooth.log_softmax(0)
    assert found == pytest.approx(k, abs=1e-10)
    assert (2 * normalised).logsumexp(0).item() == pytest.approx(squares, abs=1e-10)
    assert normalised.max().item() == pytest.approx(largest, abs=1e-10)
    assert pareto_k(wave(N, scale)) == found


@pytest.mark.parametrize("N", [25, 225, 226, 1000, 10_000])
@pytest.mark.parametrize("k", [0.2, 0.7, 1.3])
def test_the_same_as_arviz(N, k):
    peer = pytest.importorskip("arviz_stats.base").array_stats
    x = pareto(k, N)
    log_w, expected = peer.psislw(-x.numpy(), r_eff=1.0)
    smooth, found = pareto_smooth(x)
    assert found == pytest.approx(expected, abs=1e-10)
    assert_close(smooth.log_softmax(0), torch.from_numpy(log_w), rtol=0, atol=1e-10)


@pytest.mark.parametrize("k", [0.1, 0.5, 0.9, 1.5])
def test_the_shape_of_a_pareto_tail_is_found(k):
    found = [pareto_k(pareto(k, 10_000, seed)) for seed in range(20)]
    M = 300
    pulled = (M * k + 5) / (M + 10)  # the prior's ten draws at one half
    spread = (1 + k) / math.sqrt(M)  # of the maximum-likelihood estimate
    assert abs(sum(found) / 20 - pulled) < 4.56 * spread / math.sqrt(20) + 0.02
    of_the_logs = sum(pareto_k(pareto(k, 10_000, seed).log()) for seed in range(20)) / 20
    assert abs(of_the_logs) < 0.1  # an exponential tail, which a forgotten exponential would see


def test_smoothing_lowers_the_error_of_a_heavy_mean():
    k, N = 0.6, 1000
    raw, smooth = [], []
    for seed in range(200):
        x = pareto(k, N, seed)
        raw.append(x.exp().mean().item())
        smooth.append(pareto_smooth(x)[0].exp().mean().item())
    exact = 1 / (1 - k)
    assert np.std(smooth) < 0.8 * np.std(raw)
    assert np.sqrt(np.mean((np.array(smooth) - exact) ** 2)) < 0.8 * np.sqrt(np.mean((np.array(raw) - exact) ** 2))


def test_only_the_tail_changes_and_never_above_the_largest():
    x = pareto(0.8, 2000)
    smooth, _ = pareto_smooth(x)
    M = math.floor(3 * math.sqrt(2000))
    changed = (smooth - x).abs() > 1e-12
    assert changed.sum() <= M
    assert x[changed].min() >= x.sort().values[-M]
    assert smooth.max() <= x.max()
    assert smooth[changed].argsort().equal(x[changed].argsort())
    assert x.equal(pareto(0.8, 2000))


@pytest.mark.parametrize("shift", [-1e4, 0.0, 900.0])
def test_a_constant_factor_does_not_matter(shift):
    x = pareto(0.6, 1000)
    smooth, k = pareto_smooth(x + shift)
    assert k == pytest.approx(pareto_k(x), abs=1e-8)
    assert_close(smooth - shift, pareto_smooth(x)[0], rtol=0, atol=1e-8)


def test_equal_weights_have_no_tail():
    smooth, k = pareto_smooth(torch.full((1000,), -700.0))
    assert k == -INF
    assert smooth.tolist() == [-700.0] * 1000


def test_zero_weights_are_draws_and_stay_zero():
    x = pareto(0.5, 1000)
    x[::3] = -INF
    smooth, k = pareto_smooth(x)
    assert 0.2 < k < 0.8
    assert (smooth[::3] == -INF).all()
    few = torch.full((1000,), -INF, dtype=DOUBLE)
    few[:50] = pareto(0.3, 50)
    assert math.isfinite(pareto_k(few))
    assert (pareto_smooth(few)[0] == -INF).sum() == 950
    few[4:] = -INF
    assert pareto_k(few) == INF


def test_weights_that_underflow_beside_the_largest_leave_it_alone():
    assert pareto_k(torch.linspace(0, -1e6, 1000, dtype=DOUBLE)) == INF


def test_ties_at_the_cutoff():
    x = torch.zeros(1000, dtype=DOUBLE)
    x[:30] = pareto(0.3, 30)
    assert math.isfinite(pareto_k(x))


def test_shape_and_type_are_kept():
    x = pareto(0.4, 1000).float().reshape(250, 4)
    smooth, k = pareto_smooth(x)
    assert smooth.shape == x.shape
    assert smooth.dtype == torch.float32
    assert k == pytest.approx(pareto_k(x.flatten()), abs=1e-12)


def test_too_few_draws_have_no_tail():
    assert math.isnan(pareto_k(torch.arange(24.0)))
    assert not math.isnan(pareto_k(torch.arange(25.0) / 10))


@pytest.mark.parametrize("bad", [math.nan, INF])
def test_what_is_no_weight_is_refused(bad):
    x = torch.zeros(100)
    x[7] = bad
    with pytest.raises(ValueError, match="tail needs finite"):
        pareto_k(x)


def test_no_weight_at_all_is_refused():
    with pytest.raises(ValueError, match="all -inf"):
        pareto_k(torch.full((100,), -INF))
    with pytest.raises(ValueError, match="no log-ratios"):
        pareto_k(torch.zeros(0))


def test_reliable_shapes():
    assert reliable_k(10) == 0
    assert reliable_k(100) == 0.5
    assert reliable_k(2200) == pytest.approx(0.7, abs=1e-3)
    assert reliable_k(10**6) == 0.7
    assert reliable_k(1) == -INF
