import math

import pytest
import torch
from torch.testing import assert_close

from jensen import bounds
from jensen.evaluation.streaming import BLOCKS, BlockMeans, BoundStream, DrawStream, Moments, Regroup, RunningLogSumExp

SPLITS = [1, 3, 7, 50, 64, 1000]


def draws(samples, batch=4, *, dtype=torch.float64, at=-90.0, spread=1.5):
    generator = torch.Generator().manual_seed(3)
    return (at + spread * torch.randn(samples, batch, generator=generator, dtype=torch.float64)).to(dtype)


def fed(stream, rows, chunk):
    out = [stream.update(part) for part in rows.split(chunk)]
    return stream if out[0] is None else torch.cat(out)


def direct(kind, k, log_w):
    """The bound by its own definition, from draws that lie side by side."""
    groups = log_w[: len(log_w) // k * k].reshape(-1, k, log_w.shape[1])
    if kind == "elbo":
        return bounds.elbo(log_w)
    if kind == "iwae":
        return bounds.iwae(groups, dim=1).mean(0)
    if kind == "jackknife":
        return bounds.jackknife(groups, order=1, dim=1).mean(0)
    groups = groups.double()  # float32 cannot hold 100 times a difference of neighbours
    blocks = groups.reshape(len(groups), BLOCKS, k // BLOCKS, -1)
    rest = [bounds.iwae(torch.cat([blocks[:, :i], blocks[:, i + 1 :]], 1).flatten(1, 2), dim=1) for i in range(BLOCKS)]
    return (BLOCKS * bounds.iwae(groups, dim=1) - (BLOCKS - 1) * torch.stack(rest).mean(0)).mean(0)


@pytest.mark.parametrize("chunk", SPLITS)
def test_moments_do_not_depend_on_the_chunks(chunk):
    rows = draws(101)
    moments = fed(Moments(), rows, chunk)
    assert moments.count == 101
    assert_close(moments.mean, rows.mean(0), rtol=1e-13, atol=0)
    assert_close(moments.variance, rows.var(0), rtol=1e-12, atol=0)
    assert_close(moments.population_variance, rows.var(0, correction=0), rtol=1e-12, atol=0)


def test_moments_far_from_zero():
    rows = draws(400, at=800.0, spread=1e-2, dtype=torch.float32)
    exact = rows.double().var(0)
    assert_close(fed(Moments(), rows, 7).variance, exact, rtol=1e-9, atol=0)
    textbook = (rows.square().mean(0) - rows.mean(0).square()) * 400 / 399
    assert ((textbook.double() - exact).abs() > 0.5 * exact).any(), "the control must go wrong"


def test_moments_of_a_single_row_have_no_variance():
    moments = fed(Moments(), torch.ones(1, 2), 1)
    assert moments.variance.isnan().all()
    assert moments.population_variance.tolist() == [0.0, 0.0]


def test_moments_with_an_infinite_row():
    moments = fed(Moments(), torch.tensor([[0.0, 1.0], [-math.inf, 2.0], [1.0, 3.0]]), 1)
    assert moments.mean.tolist() == [-math.inf, 2.0]
    assert moments.variance.tolist() == [math.inf, 1.0]


@pytest.mark.parametrize("chunk", SPLITS)
@pytest.mark.parametrize("size", [1, 2, 5, 13, 50, 101, 102])
def test_blocks_and_groups_do_not_depend_on_the_chunks(chunk, size):
    rows = draws(101)
    whole = rows[: 101 // size * size].reshape(-1, size, 4)
    assert torch.equal(fed(Regroup(size), rows, chunk), whole)
    assert_close(
        fed(BlockMeans(size), rows, chunk), bounds.iwae(whole, dim=1) if len(whole) else rows[:0], rtol=1e-14, atol=0
    )


def test_groups_hold_back_less_than_one_group():
    groups = Regroup(10)
    for part in draws(1000).split(7):
        groups.update(part)
        assert sum(len(held) for held in groups._held) < 10


@pytest.mark.parametrize("chunk", SPLITS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_every_bound_is_the_direct_one(chunk, dtype, tolerance):
    log_w = draws(2100, dtype=dtype)
    stream = fed(DrawStream((1, 2, 5, 13, 50, 500, 1000, 2000)), log_w, chunk)
    assert [(bound.kind, bound.k) for bound in stream.bounds][-4:] == [
        ("iwae", 1000),
        ("jackknife", 1000),
        ("iwae", 2000),
        ("block_jackknife", 2000),
    ]
    for bound in stream.bounds:
        expected = direct(bound.kind, bound.k, log_w)
        assert bound.moments.count == 2100 // bound.k
        assert_close(bound.moments.mean, expected.double(), rtol=tolerance, atol=0)
    assert_close(
        stream.effective_sample_size, bounds.effective_sample_size(log_w).double(), rtol=10 * tolerance, atol=0
    )
    assert_close(stream.log_total, torch.logsumexp(log_w, 0).double(), rtol=tolerance, atol=0)


def test_a_group_that_is_cut_at_the_chunk_is_caught():
    log_w = draws(2100)
    twin = torch.cat([bounds.iwae(part).unsqueeze(0) for part in log_w.split(7)]).mean(0)  # groups of 7 in place of 5
    assert ((twin - direct("iwae", 5, log_w)).abs() > 1e-2).all()


def test_the_variance_is_the_one_over_groups():
    log_w = draws(1000)
    stream = fed(DrawStream((50,)), log_w, 7)
    assert_close(
        stream.bounds[0].moments.variance, bounds.iwae(log_w.reshape(20, 50, 4), dim=1).var(0), rtol=1e-11, atol=0
    )


def test_a_block_jackknife_rounds_k_down_and_says_so():
    stream = fed(DrawStream((1234,)), draws(1300), 50)
    assert [(bound.kind, bound.k, bound.blocks) for bound in stream.bounds] == [
        ("iwae", 1234, 0),
        ("block_jackknife", 1200, 100),
    ]
    assert_close(stream.bounds[1].moments.mean, direct("block_jackknife", 1200, draws(1300)), rtol=1e-12, atol=0)


def test_a_bound_is_listed_once():
    assert [(b.kind, b.k) for b in DrawStream((2000, 2001)).bounds] == [
        ("iwae", 2000),
        ("block_jackknife", 2000),
        ("iwae", 2001),
    ]


@pytest.mark.parametrize("g", [2, 10, 100])
def test_leaving_out_blocks_removes_the_first_term_of_the_bias(two_points, g):
    """The expectation of g L_k - (g - 1) mean L_(k - k/g) is exact by linearity: the derivation in numbers."""
    k, log_p = 1000, math.log(2)
    b = k**2 * (k * (two_points(k) - log_p) - (k - 1) * (two_points(k - 1) - log_p)) * -(k - 1) / k
    bias = g * two_points(k) - (g - 1) * two_points(k - k // g) - log_p
    assert bias == pytest.approx(-b / k**2 * g / (g - 1), rel=0.02)
    assert abs(bias) < abs(two_points(k) - log_p) / 500


@pytest.mark.parametrize("at", [-104.0, -750.0, 800.0])
def test_log_weights_that_float32_or_float64_cannot_exponentiate(at):
    log_w = torch.full((120, 2), at)
    log_w[::2] += math.log(3.0)
    stream = fed(DrawStream((1, 5, 60)), log_w, 7)
    for bound in stream.bounds[1:]:
        assert_close(bound.moments.mean - at, direct(bound.kind, bound.k, log_w.double() - at), atol=1e-4, rtol=0)
    assert_close(stream.effective_sample_size, torch.full((2,), 120 * 16 / 20, dtype=torch.float64), rtol=1e-3, atol=0)
    naive = log_w.exp().mean(0).log()
    assert ((naive - at - math.log(2)).abs() > 1e-2).all(), "the control must go wrong"


def test_weights_of_zero_are_counted_and_only_hurt_where_they_must():
    log_w = draws(100)
    log_w[3, 0] = -math.inf
    log_w[:, 1] = -math.inf
    stream = fed(DrawStream((1, 5, 50)), log_w, 7)
    assert stream.zeros.tolist() == [1, 100, 0, 0]
    means = {(bound.kind, bound.k): bound.moments.mean for bound in stream.bounds}
    assert means["elbo", 1][0] == -math.inf
    assert_close(means["iwae", 5][[0, 2, 3]], direct("iwae", 5, log_w)[[0, 2, 3]], rtol=1e-12, atol=0)
    assert all(mean[1] == -math.inf for mean in means.values())
    expected = bounds.effective_sample_size(log_w[:, [0, 2, 3]])
    assert_close(stream.effective_sample_size[[0, 2, 3]], expected, rtol=1e-12, atol=0)
    assert stream.effective_sample_size[1] == 0


def test_an_undefined_weight_shows_in_the_total():
    log_w = draws(10)
    log_w[4, 2], log_w[7, 3] = math.nan, math.inf
    total = fed(DrawStream((1, 5)), log_w, 3).log_total
    assert total[:2].isfinite().all()
    assert total[2].isnan()
    assert total[3] == math.inf


def test_the_jackknife_of_a_bound_stream_holds_no_more_than_its_group():
    stream = BoundStream("block_jackknife", 5000)
    for part in draws(4999).split(50):
        stream.update(part)
    assert sum(len(held) for held in stream._groups._held) < BLOCKS


def test_the_running_sum_of_nothing_is_zero_weight():
    running = RunningLogSumExp()
    running.update(torch.zeros(0, 3))
    assert running.value == -math.inf
