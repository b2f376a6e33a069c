import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from jensen import _chains
from jensen._chains import effective_sample_size, mcse, split_r_hat

DOUBLE = torch.float64

TABULATED = [  # draws, chains, ESS of the mean, of the bulk, R-hat, split R-hat, error of the mean: arviz-stats 0.8.0
    (500, 4, 259.6613088696727, 265.94170515617515, 1.0022248217053735, 0.9987314323839483, 0.06284154767801049),
    (601, 3, 186.01535975538852, 188.27622946774886, 1.0017759379031035, 1.0019237992047696, 0.07253341023220865),
    (1500, 2, 231.02796775779768, 234.12445581873044, 0.9999731407529292, 0.9996165945507354, 0.06471167408557847),
]
SHORT = [  # draws, chains, R-hat, split R-hat
    (10, 4, 1.00641227540688, 1.00230874023393),
    (45, 3, 1.1743385797544017, 1.1796411323049896),
    (101, 2, 1.0570242405059844, 1.0526479544394154),
]


def wave(S, C):
    t, c = torch.arange(1, S + 1, dtype=DOUBLE)[:, None], torch.arange(1, C + 1, dtype=DOUBLE)
    return torch.sin(0.37 * c * t**2) + torch.cos(0.05 * c * t)


def autoregression(rho, shape, seed=0):
    """Stationary chains of variance one with autocorrelation rho^t."""
    x = torch.randn(shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))
    for t in range(1, shape[0]):
        x[t] = rho * x[t - 1] + math.sqrt(1 - rho**2) * x[t]
    return x


@pytest.mark.parametrize(("S", "C", "ess", "bulk", "rank_r_hat", "r_hat", "error"), TABULATED)
def test_tabulated_values(S, C, ess, bulk, rank_r_hat, r_hat, error):
    x = wave(S, C)
    assert effective_sample_size(x).item() == pytest.approx(ess, rel=1e-11)
    assert effective_sample_size(x, rank_normalized=True).item() == pytest.approx(bulk, rel=1e-11)
    assert split_r_hat(x).item() == pytest.approx(rank_r_hat, rel=1e-11)
    assert split_r_hat(x, rank_normalized=False).item() == pytest.approx(r_hat, rel=1e-11)
    assert mcse(x).item() == pytest.approx(error, rel=1e-11)


@pytest.mark.parametrize(("S", "C", "rank_r_hat", "r_hat"), SHORT)
def test_tabulated_values_of_short_chains(S, C, rank_r_hat, r_hat):
    assert split_r_hat(wave(S, C)).item() == pytest.approx(rank_r_hat, rel=1e-11)
    assert split_r_hat(wave(S, C), rank_normalized=False).item() == pytest.approx(r_hat, rel=1e-11)


@pytest.mark.parametrize("rho", [-0.6, 0.0, 0.9, 0.99])
@pytest.mark.parametrize(("S", "C"), [(500, 4), (601, 3)])
def test_the_same_as_arviz(S, C, rho):
    peer = pytest.importorskip("arviz_stats.base").array_stats
    for x in (autoregression(rho, (S, C)), autoregression(rho, (S, C)).round(decimals=1)):
        chains = np.ascontiguousarray(x.numpy().T)
        assert effective_sample_size(x).item() == pytest.approx(peer.ess(chains, method="mean"), rel=1e-10)
        assert effective_sample_size(x, rank_normalized=True).item() == pytest.approx(peer.ess(chains), rel=1e-10)
        assert split_r_hat(x).item() == pytest.approx(peer.rhat(chains), rel=1e-10)
        assert mcse(x).item() == pytest.approx(peer.mcse(chains, method="mean"), rel=1e-10)


@pytest.mark.parametrize(("S", "C"), [(2000, 20), (200, 200), (45, 1000)])
@pytest.mark.parametrize("rho", [-0.3, 0.0, 0.5, 0.8])
def test_autoregression_has_the_size_of_its_theory(rho, S, C):
    chain = 1 + 2 * sum((1 - t / S) * rho**t for t in range(1, S))
    assert chain == pytest.approx((1 + rho) / (1 - rho), rel=10 / S)
    assert effective_sample_size(autoregression(rho, (S, C))).item() == pytest.approx(S * C / chain, rel=0.13)


def test_autocovariances_around_their_own_means_would_mislead_short_chains(monkeypatch):
    x = autoregression(-0.3, (45, 1000))
    chain = 1 + 2 * sum((1 - t / 45) * (-0.3) ** t for t in range(1, 45))
    monkeypatch.setattr(_chains, "_LONG", 0)
    assert effective_sample_size(x).item() > 1.3 * x.numel() / chain


@pytest.mark.parametrize("n", [5, 6, 22, 100])
def test_lags_from_squared_differences(n):
    x = autoregression(0.5, (n, 7, 2))
    found = _chains._variogram(x)
    by_hand = torch.stack([(x[t:] - x[: n - t]).square().mean((0, 1)) / 2 for t in range(n)])
    assert_close(found, by_hand, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(("S", "C"), [(400, 4), (45, 50)])
@pytest.mark.parametrize("rho", [0.0, 0.7])
def test_the_error_of_a_mean_is_its_spread_over_replications(rho, S, C):
    x = autoregression(rho, (S, C, 400))
    spread = x.mean((0, 1)).std().item()
    assert mcse(x).square().mean().sqrt().item() == pytest.approx(spread, rel=0.16)  # 4.56 / sqrt(2 * 400)
    as_if_independent = x.flatten(0, 1).std(0).mean().item() / math.sqrt(S * C)
    assert (as_if_independent == pytest.approx(spread, rel=0.16)) is (rho == 0)


def test_chains_that_disagree_are_worth_no_more_than_their_number():
    x = autoregression(0.0, (200, 4)) + torch.tensor([0.0, 0.0, 5.0, 5.0])
    assert effective_sample_size(x) < 6
    assert split_r_hat(x) > 1.7

    def of_one_chain_alone(x):
        return sum(effective_sample_size(x[:, [c]]).item() for c in range(x.shape[1]))

    assert of_one_chain_alone(x) > 600


@pytest.mark.parametrize("S", range(4, 10))
def test_very_short_chains(S):
    x = autoregression(0.0, (S, 1000))
    assert 0.7 < effective_sample_size(x).item() / x.numel() < 1.3
    still = x[:1].expand(S, 1000)
    assert 900 < effective_sample_size(still).item() < 1500
    assert split_r_hat(still).item() == math.inf


def test_one_chain_that_drifts_is_caught_by_its_halves():
    x = autoregression(0.0, (1000, 1)) + torch.linspace(0, 3, 1000, dtype=DOUBLE)[:, None]
    assert split_r_hat(x) > 1.2
    assert split_r_hat(autoregression(0.0, (1000, 1))) < 1.01


def test_chains_that_differ_in_scale_alone_are_caught_by_their_distances():
    x = autoregression(0.0, (500, 4)) * torch.tensor([1.0, 1.0, 1.0, 3.0])
    assert split_r_hat(x) > 1.1
    assert split_r_hat(x, rank_normalized=False) < 1.02


def test_ranks_need_no_moments():
    cauchy = torch.tan(math.pi * (torch.rand(500, 4, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)) - 0.5))
    assert split_r_hat(cauchy) < 1.01
    assert 1500 < effective_sample_size(cauchy, rank_normalized=True) < 2600
    assert_close(split_r_hat(cauchy), split_r_hat(cauchy.atan()), rtol=1e-12, atol=0)


@pytest.mark.parametrize("function", [effective_sample_size, split_r_hat, mcse])
def test_the_batch_is_many_at_once_in_any_chunks(function, monkeypatch):
    x = autoregression(0.5, (30, 7, 3, 2))
    together = function(x)
    apart = torch.stack([function(x[..., i, j]) for i in range(3) for j in range(2)]).reshape(3, 2)
    assert together.shape == (3, 2)
    assert together.dtype == DOUBLE
    assert_close(together, apart, rtol=1e-12, atol=0)
    monkeypatch.setattr(_chains, "_CHUNK_ELEMENTS", 50)
    assert_close(function(x), together, rtol=1e-12, atol=0)
    assert function(x[..., :0]).shape == (3, 0)


@pytest.mark.parametrize("function", [effective_sample_size, split_r_hat, mcse])
def test_values_that_are_not_finite_spoil_their_own_column_alone(function):
    x = autoregression(0.5, (30, 4, 4))
    good = function(x)
    x[3, 1, 1], x[4, 2, 2], x[5, 3, 3] = math.nan, math.inf, -math.inf
    assert function(x).isnan().tolist() == [False, True, True, True]
    assert function(x)[0] == good[0]


def test_a_constant_has_no_error():
    x = torch.full((20, 3), 7.25, dtype=DOUBLE)
    assert effective_sample_size(x) == 60
    assert mcse(x) == 0
    assert split_r_hat(x).isnan()


def test_shift_and_scale_do_not_matter():
    x = autoregression(0.5, (50, 4))
    assert_close(effective_sample_size(1e-3 * x - 1e4), effective_sample_size(x), rtol=1e-7, atol=0)
    assert_close(split_r_hat(1e-3 * x - 1e4), split_r_hat(x), rtol=1e-12, atol=0)


@pytest.mark.parametrize("S", [1, 2, 3])
def test_too_few_draws_have_no_answer(S):
    for function in (effective_sample_size, split_r_hat, mcse):
        assert function(torch.zeros(S, 5, 2)).isnan().all()


@pytest.mark.parametrize(
    "x", [torch.zeros(10), torch.zeros(10, 4, dtype=torch.long), torch.zeros(0, 4), torch.ones(4, 0)]
)
def test_what_is_no_chain_is_refused(x):
    with pytest.raises(ValueError, match=r"\(draws, chains, \*batch\)"):
        effective_sample_size(x)
